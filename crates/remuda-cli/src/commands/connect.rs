//! A client for the cluster that the user means.

use remuda::client::{Ca, Client, ClientConfig};
use remuda_model::ErrorKind;

use crate::{
    args::Connect,
    context::{self, Contexts, Target},
    environment::Environment,
    error::{Report, Stop},
};

/// A client as options, environment and contexts say. Nothing is connected yet.
pub(super) fn client(connect: &Connect, environment: &Environment) -> Result<Client, Stop> {
    let contexts = match context::path(environment) {
        Some(path) => Contexts::load(&path)?,
        None => Contexts::default(),
    };
    let target = Target::resolve(connect, environment, &contexts)?;
    let Some(token) = target.token else {
        let message = format!("no API token is known for {}", target.addr);
        return Err(Report::new(ErrorKind::Unauthenticated, message)
            .hint("start a cluster on this machine with `remuda dev`, or say where one is with --addr and --token")
            .into());
    };
    let mut config = ClientConfig::new(target.addr, token);
    if let Some(path) = target.ca {
        let pem = std::fs::read(&path).map_err(|error| {
            Report::new(ErrorKind::Invalid, format!("cannot read `{}`", path.display()))
                .caused_by(&error)
        })?;
        config.ca = Some(Ca::Pem(pem));
    }
    Ok(Client::new(config)?)
}
