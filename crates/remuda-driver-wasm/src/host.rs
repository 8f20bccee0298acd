//! What a guest may ask of its node.

mod http;
mod key_value;
mod lines;

use std::{path::Path, sync::Arc, time::Duration};

use remuda_model::{ClassName, NodeId, NodeStatus, TaskId};
use remuda_plugin::EventSink;
use remuda_runtime::wall_ms;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{FsPerms, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

pub(crate) use self::key_value::KeyValue;
use self::lines::{Lines, LogStream};
use crate::{
    bindings::remuda::job::{
        clock, events, http as http_api, key_value as key_value_api, log, node, types,
    },
    limits::Limiter,
    meter::Meter,
    version::Version,
};

/// The longest event.
const MAX_EVENT: usize = 64 << 10;

/// Whether a text is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// For whom an instance is made.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) node: NodeId,
    /// The name under which the class was addressed.
    pub(crate) class: ClassName,
    pub(crate) task: Option<TaskId>,
    pub(crate) events: EventSink,
}

/// What belongs to one instance.
pub(crate) struct Host {
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) status: NodeStatus,
    version: Arc<Version>,
    caller: Caller,
    lines: Lines,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Host {
    pub(crate) fn new(
        version: Arc<Version>,
        caller: Caller,
        folder: Option<Folder>,
    ) -> wasmtime::Result<Self> {
        let limits = &version.limits;
        let limiter = Limiter::new(limits.memory(), Arc::clone(&version.budget));
        let meter = Arc::new(Meter::new(Duration::from_millis(limits.cpu_ms)));
        let lines = Lines::new(version.grants.log.then(|| caller.class.clone()));
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(LogStream(lines.clone())).stderr(LogStream(lines.clone()));
        wasi.allow_tcp(false).allow_udp(false).max_random_size(limits.output_bytes);
        if !version.grants.clock {
            wasi.wall_clock(NoClock);
        }
        if let Some(folder) = folder {
            let perms = if folder.is_full { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(&folder.path, "/", perms)?;
        }
        let (wasi, table) = (wasi.build(), ResourceTable::new());
        let status = NodeStatus::Ready;
        Ok(Self { limiter, meter, status, version, caller, lines, wasi, table })
    }

    pub(crate) fn class(&self) -> &ClassName {
        &self.caller.class
    }

    /// The next call of this instance begins.
    pub(crate) fn begin_call(&mut self) {
        self.meter.reset();
        self.lines.reset();
        self.limiter.denied = None;
    }
}

/// The folder of a class.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: Arc<Path>,
    pub(crate) is_full: bool,
}

/// What a class has without the grant `clock`.
struct NoClock;

impl HostWallClock for NoClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

struct Itself;

impl HasData for Itself {
    type Data<'a> = &'a mut Host;
}

/// Offers everything. Which of it a component may import is checked when it is loaded.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    types::add_to_linker::<Host, Itself>(linker, |host| host)?;
    node::add_to_linker::<Host, Itself>(linker, |host| host)?;
    log::add_to_linker::<Host, Itself>(linker, |host| host)?;
    clock::add_to_linker::<Host, Itself>(linker, |host| host)?;
    key_value_api::add_to_linker::<Host, Itself>(linker, |host| host)?;
    http_api::add_to_linker::<Host, Itself>(linker, |host| host)?;
    events::add_to_linker::<Host, Itself>(linker, |host| host)
}

impl types::Host for Host {}

impl node::Host for Host {
    fn name(&mut self) -> String {
        self.caller.node.to_string()
    }

    fn status(&mut self) -> node::NodeStatus {
        match self.status {
            NodeStatus::Launching => node::NodeStatus::Launching,
            NodeStatus::Connecting => node::NodeStatus::Connecting,
            NodeStatus::Ready => node::NodeStatus::Ready,
            NodeStatus::Standby => node::NodeStatus::Standby,
            NodeStatus::Stopping => node::NodeStatus::Stopping,
            NodeStatus::Stopped => node::NodeStatus::Stopped,
            NodeStatus::NotConnected => node::NodeStatus::NotConnected,
        }
    }

    fn class(&mut self) -> String {
        self.caller.class.to_string()
    }

    fn version(&mut self) -> String {
        self.version.names.version.clone()
    }

    fn task(&mut self) -> Option<String> {
        self.caller.task.as_ref().map(ToString::to_string)
    }
}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, line: String) {
        self.lines.write(level, &line);
    }
}

impl clock::Host for Host {
    fn now_ms(&mut self) -> u64 {
        wall_ms()
    }
}

impl key_value_api::Host for Host {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.version.values.get(&key)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), key_value_api::Error> {
        self.version.values.set(key, value, self.version.limits.key_value())
    }

    fn delete(&mut self, key: String) -> bool {
        self.version.values.delete(&key)
    }

    fn keys(&mut self, prefix: String) -> Vec<String> {
        self.version.values.keys(&prefix)
    }
}

impl http_api::Host for Host {
    async fn fetch(
        &mut self,
        request: http_api::Request,
    ) -> Result<http_api::Response, http_api::Error> {
        http::fetch(&self.version.grants.http, self.version.limits.output(), request).await
    }
}

impl events::Host for Host {
    async fn emit(&mut self, payload: String) -> Result<(), events::Error> {
        if payload.len() > MAX_EVENT {
            return Err(events::Error::TooLarge);
        }
        if !is_json(&payload) {
            return Err(events::Error::Invalid);
        }
        self.caller.events.emit_json(self.caller.task.clone(), payload).await;
        Ok(())
    }
}
