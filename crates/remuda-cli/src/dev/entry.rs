//! The entry of a running `remuda dev` in `contexts.toml`.

use std::path::PathBuf;

use nix::{sys::signal::kill, unistd::Pid};

use super::start::Running;
use crate::{
    context::{self, Context, Contexts},
    environment::Environment,
    error::Report,
};

/// An entry, to be removed when the cluster stops.
#[derive(Debug)]
pub(super) struct Entry {
    /// Absent when there is no place for contexts.
    place: Option<(PathBuf, String)>,
}

impl Entry {
    /// Writes the entry. It becomes the current context unless the user has chosen another.
    pub(super) fn write(cluster: &Running, environment: &Environment) -> Result<Self, Report> {
        let Some(path) = context::path(environment) else { return Ok(Self { place: None }) };
        let mut name = String::new();
        Contexts::change(&path, |known| {
            known.contexts.retain(|_name, context| !context.dev_process.is_some_and(is_dead));
            name = free_name(known);
            let context = Context {
                addr: cluster.api.clone(),
                token: Some(cluster.admin_token.clone()),
                ca: None,
                dev_process: Some(std::process::id()),
            };
            known.contexts.insert(name.clone(), context);
            if !known.current.as_ref().is_some_and(|name| known.contexts.contains_key(name)) {
                known.current = Some(name.clone());
            }
        })?;
        Ok(Self { place: Some((path, name)) })
    }

    /// The name of the context.
    pub(super) fn name(&self) -> Option<&str> {
        self.place.as_ref().map(|(_path, name)| name.as_str())
    }

    /// Removes the entry, if it is still ours.
    pub(super) fn remove(self) {
        let Some((path, name)) = self.place else { return };
        // The next `remuda dev` removes what cannot be removed now.
        let _stays = Contexts::change(&path, |known| {
            let own = |context: &Context| context.dev_process == Some(std::process::id());
            if known.contexts.get(&name).is_some_and(own) {
                known.contexts.remove(&name);
                known.current.take_if(|current| *current == name);
            }
        })
        .is_err();
    }
}

/// `dev`, or the first of `dev-2`, `dev-3`, … that nobody uses.
fn free_name(known: &Contexts) -> String {
    let numbered = (2_u32..).map(|number| format!("dev-{number}"));
    std::iter::once("dev".to_owned())
        .chain(numbered)
        .find(|name| !known.contexts.contains_key(name))
        .expect("there are more numbers than contexts")
}

fn is_dead(process: u32) -> bool {
    i32::try_from(process).is_ok_and(|pid| kill(Pid::from_raw(pid), None).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(api: &str) -> Running {
        Running { api: api.to_owned(), admin_token: "t".to_owned(), nodes: Vec::new() }
    }

    #[test]
    fn a_second_cluster_has_its_own_name_and_both_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::from([("XDG_CONFIG_HOME", dir.path().to_str().unwrap())]);
        let path = context::path(&environment).unwrap();
        let first = Entry::write(&cluster("http://a"), &environment).unwrap();
        let second = Entry::write(&cluster("http://b"), &environment).unwrap();
        assert_eq!((first.name(), second.name()), (Some("dev"), Some("dev-2")));
        assert_eq!(Contexts::load(&path).unwrap().current.as_deref(), Some("dev"));
        second.remove();
        first.remove();
        assert!(Contexts::load(&path).unwrap() == Contexts::default());
    }

    #[test]
    fn entries_of_the_dead_are_swept_and_those_of_users_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::from([("XDG_CONFIG_HOME", dir.path().to_str().unwrap())]);
        let path = context::path(&environment).unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let dead = Context { dev_process: Some(ended.id()), ..Context::default() };
        Contexts::change(&path, |known| {
            known.contexts.insert("dev".to_owned(), dead);
            known.contexts.insert("prod".to_owned(), Context::default());
            known.current = Some("prod".to_owned());
        })
        .unwrap();
        let entry = Entry::write(&cluster("http://a"), &environment).unwrap();
        assert_eq!(entry.name(), Some("dev"));
        let known = Contexts::load(&path).unwrap();
        assert_eq!(known.current.as_deref(), Some("prod"));
        assert_eq!(known.contexts["dev"].addr, "http://a");
    }
}
