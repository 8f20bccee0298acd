//! How TLS is done.

use std::borrow::Cow;

use remuda_model::{Failure, run::Tls};

use super::{
    field::{bad, size, template},
    fill::{self, FillError},
};
use crate::{Template, Values, host};

/// How TLS is done, checked.
#[derive(Debug)]
pub struct TlsPlan {
    /// Accepts every certificate.
    pub insecure: bool,
    /// Certificate authorities in PEM.
    pub ca: Option<String>,
    name: Option<Template>,
}

impl TlsPlan {
    pub(super) fn check(field: &str, tls: &Tls) -> Result<Self, Failure> {
        if let Some(ca) = &tls.ca {
            let field = format!("{field}.ca");
            size(&field, ca)?;
            if !ca.contains("-----BEGIN CERTIFICATE-----") {
                return Err(bad(&field, "no certificate in PEM"));
            }
        }
        let name = tls.name.as_deref().map(|name| template(&format!("{field}.name"), name));
        Ok(Self { insecure: tls.insecure, ca: tls.ca.clone(), name: name.transpose()? })
    }

    /// The name that the certificate must have, if it is another than the host.
    pub(super) fn name<'a>(
        &'a self,
        field: &'static str,
        values: &Values<'a>,
    ) -> Result<Option<Cow<'a, str>>, FillError> {
        let Some(template) = &self.name else { return Ok(None) };
        let name = fill::text(field, template, values)?;
        let canonical = host::canonical(&name).map_err(|error| FillError::new(field, error))?;
        Ok(Some(Cow::Owned(canonical.into_owned())))
    }
}
