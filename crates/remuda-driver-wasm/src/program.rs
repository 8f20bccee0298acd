//! A compiled component that is a job class.

use remuda_model::{ErrorKind, Failure};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::{
    bindings::exports::remuda::job::{functions, requests, tasks},
    host::Host,
    spec::Grants,
};

/// The package of `wit/`.
const PACKAGE: &str = "remuda:job/";

/// A compiled component that is a job class.
pub(crate) struct Program {
    pub(crate) pre: InstancePre<Host>,
    pub(crate) requests: Option<requests::GuestIndices>,
    pub(crate) functions: Option<functions::GuestIndices>,
    pub(crate) tasks: Option<tasks::GuestIndices>,
    imports: Vec<String>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("exports", &self.exports()).finish_non_exhaustive()
    }
}

impl Program {
    /// Compiles a component and checks what it imports and exports. Takes long, and blocks.
    pub(crate) fn compile(
        linker: &Linker<Host>,
        bytes: &[u8],
        grants: &Grants,
    ) -> Result<Self, Failure> {
        let engine = linker.engine();
        let component = Component::from_binary(engine, bytes).map_err(|error| {
            Failure::invalid(format!("the component cannot be compiled: {error:#}"))
                .code("malformed_component")
        })?;
        let ty = component.component_type();
        let imports: Vec<_> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        check_imports(&imports, grants)?;
        let pre = linker.instantiate_pre(&component).map_err(|error| {
            Failure::invalid(format!("the component cannot be linked: {error:#}"))
                .code("unknown_import")
                .hint(WHAT_THERE_IS)
        })?;
        let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let program = Self {
            requests: export(&exports, "requests", || requests::GuestIndices::new(&pre))?,
            functions: export(&exports, "functions", || functions::GuestIndices::new(&pre))?,
            tasks: export(&exports, "tasks", || tasks::GuestIndices::new(&pre))?,
            pre,
            imports,
        };
        if program.exports().is_empty() {
            return Err(Failure::invalid("the component is no job class")
                .code("no_job_class")
                .hint("it must export `requests`, `functions` or `tasks` of remuda:job@1.0.0"));
        }
        Ok(program)
    }

    /// Whether these grants suffice.
    pub(crate) fn check(&self, grants: &Grants) -> Result<(), Failure> {
        check_imports(&self.imports, grants)
    }

    /// What it offers.
    pub(crate) fn exports(&self) -> Vec<String> {
        let all = [
            ("requests", self.requests.is_some()),
            ("functions", self.functions.is_some()),
            ("tasks", self.tasks.is_some()),
        ];
        all.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()).collect()
    }
}

const WHAT_THERE_IS: &str = "a job class may import the interfaces of remuda:job@1.0.0, and those of \
                             WASI 0.2 except HTTP";

/// An export, when there is one of this name; one of another form is refused.
fn export<T>(
    exports: &[String],
    interface: &str,
    find: impl FnOnce() -> wasmtime::Result<T>,
) -> Result<Option<T>, Failure> {
    let full = format!("{PACKAGE}{interface}@1.");
    match (exports.iter().find(|name| name.starts_with(&full)), find()) {
        (Some(name), Err(error)) => {
            let text = format!("the component exports `{name}` in another form: {error:#}");
            Err(Failure::invalid(text).code("bad_export"))
        }
        (None, _) => Ok(None),
        (Some(_), Ok(found)) => Ok(Some(found)),
    }
}

fn check_imports(imports: &[String], grants: &Grants) -> Result<(), Failure> {
    for import in imports {
        let Some(interface) = import.strip_prefix(PACKAGE) else { continue };
        let (interface, _version) = interface.split_once('@').unwrap_or((interface, ""));
        let (grant, granted) = match interface {
            "log" => ("{\"log\":true}", grants.log),
            "clock" => ("{\"clock\":true}", grants.clock),
            "key-value" => ("{\"key_value\":true}", grants.key_value),
            "events" => ("{\"events\":true}", grants.events),
            "http" => ("{\"http\":[\"HOST\"]}", !grants.http.is_empty()),
            _ => continue,
        };
        if !granted {
            let text = format!("the component imports `{import}`, which is not granted");
            return Err(Failure::new(ErrorKind::Forbidden, text)
                .code("missing_grant")
                .hint(format!("load it with the grants {grant}, or build it without")));
        }
    }
    Ok(())
}
