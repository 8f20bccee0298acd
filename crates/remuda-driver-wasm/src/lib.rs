//! Job classes as WebAssembly components, loaded while a node runs.
//!
//! The job class `wasm` takes components by digest, compiles them, and adds each as a job class of its
//! own to the [`ClassTable`](remuda_plugin::ClassTable) of the node. What a component exports and may
//! import is written in `wit/`.
//!
//! ```text
//! load ─► digest, limits ─► compile ─► imports ⊆ grants? ─► table ─► request, start
//!                                                                      │
//!                                    one instance each, with its own memory, time, output
//! ```
//!
//! Precompiled code is never taken. A guest that traps ends one call or one task.

mod bindings;
mod book;
mod class;
mod files;
mod host;
mod instance;
mod limits;
mod loaded;
mod machine;
mod meter;
mod program;
mod read;
mod spec;
mod store;
mod task;
mod ticker;
mod trap;
mod version;

pub use class::{Lookup, WasmConfig, WasmError, wasm_class};
pub use spec::{Call, Grants, Load, Loaded, Quota, State, Unload, WasmReply, WasmRequest};
