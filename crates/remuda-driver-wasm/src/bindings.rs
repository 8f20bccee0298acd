//! What `wit/` says, as Rust.

wasmtime::component::bindgen!({
    path: "../../wit/remuda-job@1.0.0",
    world: "job-class",
    imports: {
        "remuda:job/events.emit": async,
        "remuda:job/http.fetch": async,
    },
    exports: { default: async },
});
