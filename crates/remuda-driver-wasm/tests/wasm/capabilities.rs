//! What a component may ask of its node.

use remuda_model::ErrorKind;
use serde_json::json;

use super::{support::Node, text::answers_with};

const ECHO: &str = "(call $ok (local.get $at) (local.get $length))";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_not_linked() {
    let node = Node::start().await;
    for (interface, function, grant) in [
        ("log", r#""write" (func (param i32 i32 i32))"#, json!({ "log": true })),
        ("clock", r#""now-ms" (func (result i64))"#, json!({ "clock": true })),
        (
            "key-value",
            r#""delete" (func (param i32 i32) (result i32))"#,
            json!({ "key_value": true }),
        ),
        ("events", r#""emit" (func (param i32 i32 i32))"#, json!({ "events": true })),
        (
            "http",
            r#""fetch" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32))"#,
            json!({ "http": ["localhost"] }),
        ),
    ] {
        let world = format!("import remuda:job/{interface}@1.0.0;");
        let more = format!("(import \"remuda:job/{interface}@1.0.0\" {function})");
        let guest = answers_with(&world, &more, ECHO);
        let all = json!({ "log": true, "clock": true, "key_value": true, "files": true, "events": true, "http": ["localhost"] });
        let mut less = all.clone();
        for field in grant.as_object().expect("an object").keys() {
            less.as_object_mut().expect("an object").remove(field);
        }
        let failure =
            node.load("asks", &guest, json!({ "grants": less })).await.expect_err(interface);
        assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Forbidden, "missing_grant"));
        assert!(failure.message.contains(interface), "{failure}");
        node.load("asks", &guest, json!({ "grants": grant })).await.expect(interface);
        // Grants may not shrink below what it needs either.
        let failure = node.load("asks", &guest, json!({})).await.expect_err(interface);
        assert_eq!(failure.code, "missing_grant");
        assert_eq!(node.request("asks", json!(1)).await, Ok(json!(1)));
        node.wasm(json!({ "unload": { "name": "asks" } })).await.expect("unloads");
    }
}
