//! What compiles and runs all components of a node.

use std::{sync::Arc, time::Duration};

use remuda_model::Failure;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use wasmtime::{Config, Engine, component::Linker};

use crate::{
    host::{self, Host},
    limits::Budget,
    program::Program,
    spec::Grants,
    ticker::Ticker,
};

/// The stack of a guest, and that of the host functions that it calls on top of it.
const WASM_STACK: usize = 512 << 10;
const STACK: usize = 1 << 20;
/// How long a component may take to compile. It cannot be interrupted, but it is alone.
const COMPILE_LIMIT: Duration = Duration::from_mins(2);

/// What compiles and runs all components of a node.
pub(crate) struct Machine {
    pub(crate) linker: Linker<Host>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) budget: Arc<Budget>,
    /// Held while a component is compiled.
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machine")
    }
}

impl Machine {
    pub(crate) fn new(memory: usize) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .wasm_memory64(false)
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(STACK);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        let ticker = Arc::new(Ticker::start(&engine)?);
        let (budget, turn) = (Arc::new(Budget::new(memory)), Arc::new(Semaphore::new(1)));
        Ok(Self { linker, ticker, budget, turn })
    }

    /// Compiles what `read` gives, one component at a time.
    pub(crate) async fn compile(
        self: &Arc<Self>,
        grants: Grants,
        read: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
    ) -> Result<(Program, Vec<u8>), Failure> {
        let machine = Arc::clone(self);
        let compiled = async move {
            let turn = Arc::clone(&machine.turn).acquire_owned().await;
            let compile = move || {
                let _turn = turn;
                let bytes = read()?;
                Ok((Program::compile(&machine.linker, &bytes, &grants)?, bytes))
            };
            spawn_blocking(compile).await.map_err(|error| Failure::internal(&error))?
        };
        timeout(COMPILE_LIMIT, compiled).await.unwrap_or_else(|_late| {
            let seconds = COMPILE_LIMIT.as_secs();
            Err(Failure::failed(format!("the component takes longer than {seconds} s to compile"))
                .code("compile_limit"))
        })
    }
}
