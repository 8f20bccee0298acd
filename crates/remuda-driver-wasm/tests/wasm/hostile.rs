//! What is refused, and leaves the node as it was.

use remuda_model::ErrorKind;
use serde_json::json;

use super::{
    support::Node,
    text::{answers, answers_with, says},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused() {
    let node = Node::start().await;
    let module = wat::parse_str("(module)").expect("a module");
    let no_text = vec![0xff; 100];
    for (bytes, code) in [
        (b"".as_slice(), "no_wasm"),
        (b"(component)", "no_wasm"),
        (&no_text, "no_wasm"),
        (&module, "core_module"),
        (b"\0asm\x0d\0\x01\0 and nonsense", "malformed_component"),
    ] {
        let failure = node.load("a", bytes, json!({})).await.expect_err(code);
        assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, code));
    }
    assert_eq!(node.wasm(json!("list")).await, Ok(json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn precompiled_code_is_refused() {
    let node = Node::start().await;
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::new(&engine, says("1")).expect("a component");
    let native = component.serialize().expect("native code");
    let failure = node.load("native", &native, json!({})).await.expect_err("refused");
    assert_eq!(failure.code, "precompiled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_refused() {
    let node = Node::start().await;
    let digest = node.bring(b"");
    let file = std::fs::File::create(node.content(&digest)).expect("a file");
    file.set_len(1 << 30).expect("sparse");
    let load = json!({ "load": { "name": "big", "digest": digest.as_str() } });
    // It would be another content too; nobody has read it to find out.
    assert_eq!(node.wasm(load).await.expect_err("refused").code, "component_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_than_was_named_is_refused() {
    let node = Node::start().await;
    let digest = node.bring(&says("1"));
    std::fs::write(node.content(&digest), says("2")).expect("written");
    let load = json!({ "load": { "name": "a", "digest": digest.as_str() } });
    assert_eq!(node.wasm(load.clone()).await.expect_err("refused").code, "digest_mismatch");
    std::fs::remove_file(node.content(&digest)).expect("removed");
    assert_eq!(node.wasm(load).await.expect_err("refused").code, "unknown_content");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_range_is_named() {
    let node = Node::start().await;
    for (more, begins) in [
        (json!({ "quota": { "cpu_ms": 60_001 } }), "quota.cpu_ms:"),
        (json!({ "quota": { "memory_bytes": 1 } }), "quota.memory_bytes:"),
        (json!({ "grants": { "http": ["http://x"] } }), "grants.http:"),
        (json!({ "version": "a b" }), "version:"),
        (json!({ "name": "a.b" }), "name:"),
    ] {
        let failure = node.load("a", &says("1"), more).await.expect_err(begins);
        assert!(failure.message.starts_with(begins), "{failure}");
    }
    let unknown = node.load("a", &says("1"), json!({ "quotas": {} })).await.expect_err("unknown");
    assert!(unknown.message.contains("unknown field `quotas`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_offers_is_refused() {
    let node = Node::start().await;
    let engine_text = |import: &str| {
        let text = format!(r#"(component (import "{import}" (instance (export "f" (func)))))"#);
        wat::parse_str(text).expect("a component")
    };
    for import in ["wasi:http/types@0.2.0", "remuda:job/sockets@1.0.0", "other:package/x", "plain"]
    {
        let failure = node.load("a", &engine_text(import), json!({})).await.expect_err(import);
        assert_eq!(failure.code, "unknown_import", "{failure}");
        assert!(failure.message.contains(import), "{failure}");
    }
    // The right name with another form.
    let failure = node.load("a", &engine_text("remuda:job/node@1.0.0"), json!({})).await;
    assert_eq!(failure.expect_err("another form").code, "unknown_import");
    let exports = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $e (export "request" (func $f)))
            (export "remuda:job/requests@1.0.0" (instance $e)))"#,
    );
    let exports = exports.expect("a component");
    let loaded = node.load("a", &exports, json!({})).await.expect_err("another form");
    assert_eq!(loaded.code, "bad_export", "{loaded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_ends_one_request() {
    let node = Node::start().await;
    let traps = answers(
        "(if (i32.gt_u (local.get $length) (i32.const 4)) (then (unreachable))) (call $ok (local.get $at) (local.get $length))",
    );
    node.load("traps", &traps, json!({})).await.expect("loads");
    for _ in 0..10 {
        let failure = node.request("traps", json!("long")).await.expect_err("trapped");
        assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Failed, "trapped"));
        assert!(failure.message.contains("unreachable"), "{failure}");
        assert_eq!(node.request("traps", json!(1)).await, Ok(json!(1)));
    }
    // Answers from where there is no memory.
    let lies = answers("(call $ok (i32.const -16) (i32.const 64))");
    node.load("lies", &lies, json!({})).await.expect("loads");
    assert_eq!(node.request("lies", json!(1)).await.expect_err("trapped").code, "trapped");
    let no_result = answers("(i32.const -4)");
    node.load("none", &no_result, json!({})).await.expect("loads");
    assert_eq!(node.request("none", json!(1)).await.expect_err("trapped").code, "trapped");
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_components_harm_nobody() {
    let node = Node::start().await;
    let world = "import remuda:job/clock@1.0.0;";
    let more = r#"(import "remuda:job/clock@1.0.0" "now-ms" (func $now (result i64)))"#;
    let whole = answers_with(
        world,
        more,
        "(drop (call $now)) (call $ok (local.get $at) (local.get $length))",
    );
    let mut numbers = Numbers(1);
    let mut refused = 0;
    for round in 0..300 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(numbers.below(bytes.len())),
            1 => {
                let at = numbers.below(bytes.len());
                bytes[at] ^= 1 << numbers.below(8);
            }
            _ => {
                let (from, to) = (numbers.below(bytes.len()), numbers.below(bytes.len()));
                let piece: Vec<_> = bytes[from..].iter().copied().take(40).collect();
                bytes.splice(to..to, piece);
            }
        }
        let more = json!({ "version": round.to_string(), "grants": { "clock": true }, "quota": { "cpu_ms": 20 } });
        match node.load("damaged", &bytes, more).await {
            // Whatever it does now, it does to itself.
            Ok(_) => {
                drop(node.request("damaged", json!(1)).await);
                node.wasm(json!({ "unload": { "name": "damaged" } })).await.expect("unloads");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 150, "only {refused} were refused");
    node.load("whole", &whole, json!({ "grants": { "clock": true } })).await.expect("loads");
    assert_eq!(node.request("whole", json!(1)).await, Ok(json!(1)));
}
