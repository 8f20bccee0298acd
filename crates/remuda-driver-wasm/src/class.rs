//! The job class `wasm`.

mod change;
mod reload;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use remuda_model::{Digest, Failure};
use remuda_plugin::{Class, ClassTable, JobClass, RequestContext, erase};

use crate::{
    book::Book,
    host::{Caller, KeyValue},
    instance::Instance,
    machine::Machine,
    spec::{Call, WasmReply, WasmRequest},
    store::Store,
};

/// Finds the file that has this content, if the node has one.
pub type Lookup = Arc<dyn Fn(&Digest) -> Option<PathBuf> + Send + Sync>;

/// What the class needs from its agent.
#[derive(Clone)]
pub struct WasmConfig {
    /// A folder of its own.
    pub data_dir: PathBuf,
    /// The classes of the node, to which loaded ones are added.
    pub classes: ClassTable,
    /// Where components are found; what it finds is checked. Called on a thread that may block.
    pub lookup: Lookup,
    /// The largest component that is loaded, in bytes.
    pub max_component_bytes: u64,
    /// Memory that all components of the node may have together, in bytes.
    pub max_memory_bytes: usize,
}

impl WasmConfig {
    /// The usual limits: components of 64 MiB, 4 GiB of memory.
    pub fn new(
        data_dir: PathBuf,
        classes: ClassTable,
        lookup: impl Fn(&Digest) -> Option<PathBuf> + Send + Sync + 'static,
    ) -> Self {
        let lookup = Arc::new(lookup);
        Self { data_dir, classes, lookup, max_component_bytes: 64 << 20, max_memory_bytes: 4 << 30 }
    }
}

impl fmt::Debug for WasmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmConfig").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// Why there can be no class `wasm`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmError {
    /// The folder cannot be used.
    #[error("cannot use the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Makes the class `wasm`, and takes up the classes that were loaded when the agent ended: they are
/// in the table at once, and compiled in the background.
///
/// To be called when the fixed classes are in the table.
///
/// # Errors
///
/// When the folder cannot be used.
pub fn wasm_class(config: WasmConfig) -> BoxFuture<'static, Result<Arc<dyn Class>, WasmError>> {
    Box::pin(async move {
        let path = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(config.data_dir.clone())?;
            let shared = Arc::new(Shared {
                store,
                config,
                machine: Mutex::default(),
                book: Mutex::default(),
                values: Mutex::default(),
                changing: Mutex::default(),
            });
            reload::take_up(&shared)?;
            Ok(shared)
        });
        let opened = opened.await.unwrap_or_else(|error| Err(error.into()));
        let shared = opened.map_err(|cause| WasmError::Folder { path, cause })?;
        Ok(erase(Wasm { shared }))
    })
}

/// The class.
#[derive(Debug)]
struct Wasm {
    shared: Arc<Shared>,
}

/// What the class and its background work share.
#[derive(Debug)]
struct Shared {
    config: WasmConfig,
    store: Store,
    /// Made when it is needed first: most nodes load nothing.
    machine: Mutex<Option<Arc<Machine>>>,
    book: Mutex<Book>,
    /// The values of each class.
    values: Mutex<BTreeMap<String, Arc<KeyValue>>>,
    /// Held while the files, the book and the table change together.
    changing: Mutex<()>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self) -> Result<Arc<Machine>, Failure> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machine) = &*machine {
            return Ok(Arc::clone(machine));
        }
        let made = Machine::new(self.config.max_memory_bytes).map_err(|error| {
            Failure::failed(format!("this node cannot run WebAssembly: {error:#}"))
                .code("no_wasm_here")
        })?;
        Ok(Arc::clone(machine.insert(Arc::new(made))))
    }

    /// The values of a class. Blocks.
    fn values(&self, name: &str) -> Arc<KeyValue> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || Arc::new(KeyValue::open(self.store.values(name)));
        Arc::clone(values.entry(name.to_owned()).or_insert_with(open))
    }
}

impl JobClass for Wasm {
    const NAME: &'static str = "wasm";
    type Request = WasmRequest;
    type Reply = WasmReply;
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = ();

    async fn request(
        &self,
        context: RequestContext,
        request: WasmRequest,
    ) -> Result<WasmReply, Failure> {
        match request {
            WasmRequest::Load(load) => {
                change::load(&self.shared, context, *load).await.map(WasmReply::Loaded)
            }
            WasmRequest::List => Ok(WasmReply::Classes(self.shared.book().show())),
            WasmRequest::Unload(unload) => {
                change::unload(&self.shared, unload).await.map(WasmReply::Classes)
            }
            WasmRequest::Call(call) => self.call(context, call).await,
        }
    }
}

impl Wasm {
    async fn call(&self, context: RequestContext, call: Call) -> Result<WasmReply, Failure> {
        let Call { class, function, args } = call;
        let found = self.shared.book().class(&class);
        let Some(version) = found else {
            self.shared.config.classes.get(&class)?;
            let text = format!("class `{class}` is no loaded component");
            return Err(Failure::invalid(text).code("no_component"));
        };
        let _place = version.place().await?;
        let events = context.events.of_class(class.clone());
        let caller = Caller { node: context.node, class, task: None, events };
        let mut instance = Instance::new(&version, caller).await?;
        let result = instance.function(&function, &args.to_string()).await?;
        let result = serde_json::from_str(&result).map_err(|error| Failure::internal(&error))?;
        Ok(WasmReply::Value(result))
    }
}
