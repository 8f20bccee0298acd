//! Components written as text: a core module, and what of `wit/` it implements.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Makes a component of a core module that imports and exports this, such as
/// `export remuda:job/requests@1.0.0;`.
pub(crate) fn component(world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/remuda-job@1.0.0");
    resolve.push_dir(wit).expect("the package of `wit/`");
    let text = format!("package test:guest; world guest {{ {world} }}");
    let package = resolve.push_str("guest.wit", &text).expect("a world");
    let world = resolve.select_world(&[package], Some("guest")).expect("the world");
    let mut module = wat::parse_str(module).expect("a module");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("fits");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("a module");
    encoder.encode().expect("a component")
}

/// What every guest needs: memory, and an allocator that never frees. What begins at 1024 is free for
/// the guest; answers are made at 0.
const PRELUDE: &str = r#"
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get $at) (local.get 3)))
        (block $fits
            (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
            (drop (memory.grow (i32.const 16))))
        (local.get $at))
    (func $ok (param $at i32) (param $length i32) (result i32)
        (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store (i32.const 4) (local.get $at))
        (i32.store (i32.const 8) (local.get $length))
        (i32.const 0))
    (func $refuse (param $at i32) (param $length i32) (result i32)
        (i32.store8 (i32.const 0) (i32.const 1))
        (i32.store8 (i32.const 4) (i32.const 4))
        (i32.store (i32.const 8) (local.get $at))
        (i32.store (i32.const 12) (local.get $length))
        (i32.store (i32.const 16) (local.get $at))
        (i32.store (i32.const 20) (local.get $length))
        (i32.store8 (i32.const 24) (i32.const 0))
        (i32.const 0))
"#;

/// A component that answers requests: `answer` is the body of a function that gets the request as
/// `$at` and `$length` and ends with `$ok` or `$refuse`.
pub(crate) fn answers(answer: &str) -> Vec<u8> {
    answers_with("", "", answer)
}

/// The same with imports, in the world and in the module, and more definitions.
pub(crate) fn answers_with(world: &str, more: &str, answer: &str) -> Vec<u8> {
    let world = format!("{world} export remuda:job/requests@1.0.0;");
    let (imports, more): (Vec<_>, Vec<_>) =
        more.split('\n').partition(|line| line.trim_start().starts_with("(import"));
    let module = format!(
        r#"(module {} {PRELUDE} {}
            (func (export "remuda:job/requests@1.0.0#request")
                (param $at i32) (param $length i32) (result i32) (local $i i32)
                {answer}))"#,
        imports.join("\n"),
        more.join("\n"),
    );
    component(&world, &module)
}

/// Answers every request with this text.
pub(crate) fn says(text: &str) -> Vec<u8> {
    let data = text.replace('\\', "\\\\").replace('"', "\\22");
    let more = format!("(data (i32.const 1024) \"{data}\")");
    let answer = format!("(call $ok (i32.const 1024) (i32.const {}))", text.len());
    answers_with("", &more, &answer)
}

/// A task: the bodies of `start`, `run` and `command`. `run` ends with `$wait`, `$idle` or `$done`.
pub(crate) fn task(more: &str, start: &str, run: &str, command: &str) -> Vec<u8> {
    let module = format!(
        r#"(module {PRELUDE}
            (func $next (param $what i32) (result i32)
                (i32.store8 (i32.const 0) (i32.const 0))
                (i32.store8 (i32.const 8) (local.get $what))
                (i32.const 0))
            (func $wait (param $ms i64) (result i32)
                (i64.store (i32.const 16) (local.get $ms))
                (call $next (i32.const 0)))
            (func $idle (result i32) (call $next (i32.const 1)))
            (func $done (param $at i32) (param $length i32) (result i32)
                (i32.store (i32.const 16) (local.get $at))
                (i32.store (i32.const 20) (local.get $length))
                (call $next (i32.const 2)))
            {more}
            (func (export "remuda:job/tasks@1.0.0#start")
                (param $at i32) (param $length i32) (result i32) {start})
            (func (export "remuda:job/tasks@1.0.0#run") (result i32) {run})
            (func (export "remuda:job/tasks@1.0.0#command")
                (param $at i32) (param $length i32) (result i32) {command})
            (global $stopped (mut i32) (i32.const 0))
            (func (export "remuda:job/tasks@1.0.0#stop") (param $grace i64)
                (global.set $stopped (i32.const 1))))"#
    );
    component("export remuda:job/tasks@1.0.0;", &module)
}

/// The start of a task that accepts everything.
pub(crate) const ACCEPT: &str = "(call $ok (i32.const 0) (i32.const 0))";
/// A command that is answered with itself.
pub(crate) const ECHO: &str = "(call $ok (local.get $at) (local.get $length))";
/// A task that waits until it is stopped.
pub(crate) const UNTIL_STOPPED: &str = r"
    (if (result i32) (global.get $stopped)
        (then (call $done (i32.const 1024) (i32.const 1)))
        (else (call $idle)))";
