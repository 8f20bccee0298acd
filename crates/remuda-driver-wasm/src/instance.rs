//! One instance of a component, and the calls into it.

use std::sync::Arc;

use remuda_model::{Failure, NodeStatus};
use tokio::task::spawn_blocking;
use wasmtime::{Store, UpdateDeadline, component};

use crate::{
    bindings::exports::remuda::job::tasks::Next,
    host::{Caller, Host, is_json},
    program::Program,
    trap::failure_of,
    version::Version,
};

/// What a record of a failure may cost besides the output.
const SPARE: usize = 64 << 10;

/// Calls an export of the component, if it has it, and counts the time.
macro_rules! call {
    ($self:ident, $interface:ident, $call:ident($($argument:expr),*)) => {{
        let Some(indices) = &$self.program.$interface else {
            return Err(lacks($self.class(), stringify!($interface)));
        };
        match indices.load(&mut $self.store, &$self.exports) {
            Ok(guest) => {
                let meter = Arc::clone(&$self.store.data().meter);
                let call = guest.$call(&mut $self.store, $($argument),*);
                let outcome = meter.run(&$self.version.machine.ticker, call).await;
                $self.after(outcome).await
            }
            Err(error) => Err($self.trapped(&error)),
        }
    }};
}

/// One instance of a component. After a trap it must not be used again.
pub(crate) struct Instance {
    version: Arc<Version>,
    program: Arc<Program>,
    store: Store<Host>,
    exports: component::Instance,
}

impl Instance {
    /// Makes one. What its own code does on that occasion belongs to the first call.
    pub(crate) async fn new(version: &Arc<Version>, caller: Caller) -> Result<Self, Failure> {
        let program = version.program().await?;
        let class = caller.class.clone();
        let folder = version.folder().await;
        let host = Host::new(Arc::clone(version), caller, folder);
        let host =
            host.map_err(|error| Failure::failed(format!("no instance of `{class}`: {error:#}")))?;
        let meter = Arc::clone(&host.meter);
        let mut store = Store::new(program.pre.engine(), host);
        store.limiter(|host| &mut host.limiter);
        store.set_hostcall_fuel(version.limits.output() + SPARE);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            // Others run meanwhile, and the call can be dropped.
            let over = context.data().meter.is_over();
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Yield(1) })
        });
        let made =
            meter.run(&version.machine.ticker, program.pre.instantiate_async(&mut store)).await;
        let exports =
            made.map_err(|error| failure_of(&error, class.as_str(), store.data().limiter.denied))?;
        Ok(Self { version: Arc::clone(version), program, store, exports })
    }

    /// Makes one to see whether it can be made, and whether its exports have the right form.
    pub(crate) async fn try_out(version: &Arc<Version>, caller: Caller) -> Result<(), Failure> {
        let mut instance = Self::new(version, caller).await?;
        let Self { program, store, exports, .. } = &mut instance;
        let requests = program.requests.as_ref().map(|it| it.load(&mut *store, exports).map(drop));
        let functions =
            program.functions.as_ref().map(|it| it.load(&mut *store, exports).map(drop));
        let tasks = program.tasks.as_ref().map(|it| it.load(&mut *store, exports).map(drop));
        let checked: wasmtime::Result<()> =
            [requests, functions, tasks].into_iter().flatten().collect();
        checked.map_err(|error| {
            Failure::invalid(format!("the component has an export of another form: {error:#}"))
                .code("bad_export")
        })
    }

    /// The next call begins; it has the time of the quota anew.
    pub(crate) fn next_call(&mut self) {
        self.store.data_mut().begin_call();
    }

    /// The node has another status.
    pub(crate) fn see(&mut self, status: NodeStatus) {
        self.store.data_mut().status = status;
    }

    pub(crate) async fn request(&mut self, payload: &str) -> Result<String, Failure> {
        let answer = call!(self, requests, call_request(payload))?;
        self.json(answer?)
    }

    pub(crate) async fn function(&mut self, name: &str, args: &str) -> Result<String, Failure> {
        let answer = call!(self, functions, call_call(name, args))?;
        self.json(answer?)
    }

    pub(crate) async fn start(&mut self, spec: &str) -> Result<(), Failure> {
        Ok(call!(self, tasks, call_start(spec))??)
    }

    pub(crate) async fn run(&mut self) -> Result<Next, Failure> {
        match call!(self, tasks, call_run())?? {
            Next::Done(result) => Ok(Next::Done(self.json(result)?)),
            next => Ok(next),
        }
    }

    /// The inner failure is the answer.
    pub(crate) async fn command(
        &mut self,
        payload: &str,
    ) -> Result<Result<String, Failure>, Failure> {
        let answer = call!(self, tasks, call_command(payload))?;
        Ok(answer.map_err(Failure::from).and_then(|answer| self.json(answer)))
    }

    pub(crate) async fn stop(&mut self, grace_ms: u64) -> Result<(), Failure> {
        call!(self, tasks, call_stop(grace_ms))
    }

    fn class(&self) -> &str {
        self.store.data().class().as_str()
    }

    fn trapped(&self, error: &wasmtime::Error) -> Failure {
        failure_of(error, self.class(), self.store.data().limiter.denied)
    }

    /// What the guest has set is on disk before anybody hears of the call.
    async fn after<T>(&mut self, outcome: wasmtime::Result<T>) -> Result<T, Failure> {
        let values = &self.version.values;
        if values.is_changed() {
            let values = Arc::clone(values);
            let written = spawn_blocking(move || values.write()).await;
            if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
                let text = format!("the values of `{}` cannot be written: {error}", self.class());
                return Err(Failure::failed(text).code("key_value"));
            }
        }
        outcome.map_err(|error| self.trapped(&error))
    }

    fn json(&self, text: String) -> Result<String, Failure> {
        let class = self.class();
        if text.len() > self.version.limits.output() {
            return Err(Failure::failed(format!("`{class}` answered more than it may"))
                .code("output_too_large")
                .hint("answer less, or raise quota.output_bytes"));
        }
        if !is_json(&text) {
            return Err(
                Failure::failed(format!("what `{class}` answered is no JSON")).code("no_json")
            );
        }
        Ok(text)
    }
}

/// A request to something that a component does not export.
fn lacks(class: &str, interface: &str) -> Failure {
    Failure::invalid(format!("class `{class}` has no {interface}"))
        .code("no_such_export")
        .hint(format!("its component does not export `remuda:job/{interface}@1.0.0`"))
}
