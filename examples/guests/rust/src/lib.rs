//! The job class `greeter` in Rust.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

wit_bindgen::generate!({
    world: "example:greeter/greeter",
    path: ["../../../wit/remuda-job@1.0.0", "../greeter.wit"],
    generate_all,
});

use exports::remuda::job::{
    functions,
    requests,
    tasks::{self, Next},
};
use remuda::job::{
    events::emit,
    key_value,
    types::{Failure, Kind},
};

struct Greeter;

fn refuse<T>(kind: Kind, code: &str, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { kind, code: code.to_owned(), message: message.into(), hint: None })
}

impl requests::Guest for Greeter {
    /// Greets whom the request names, and counts the greetings.
    fn request(payload: String) -> Result<String, Failure> {
        let request: Value = serde_json::from_str(&payload).expect("the host sends JSON");
        let Some(name) = request["name"].as_str() else {
            return refuse(Kind::Invalid, "no_name", "say whom to greet");
        };
        let kept = key_value::get("count").and_then(|kept| String::from_utf8(kept).ok());
        let count = kept.and_then(|kept| kept.parse().ok()).unwrap_or(0_u64) + 1;
        if key_value::set("count", count.to_string().as_bytes()).is_err() {
            return refuse(Kind::NoCapacity, "", "the count cannot be kept");
        }
        Ok(json!({ "greeting": format!("Hello, {name}!"), "count": count }).to_string())
    }
}

impl functions::Guest for Greeter {
    /// `add` adds numbers; `fail` shows what a panic becomes; `note` keeps its arguments in a file.
    fn call(function: String, args: String) -> Result<String, Failure> {
        match function.as_str() {
            "add" => {
                let values: Vec<i64> = serde_json::from_str(&args).expect("numbers");
                Ok(values.iter().sum::<i64>().to_string())
            }
            "fail" => panic!("on purpose"),
            "note" => note(&args),
            other => {
                refuse(Kind::NotFound, "no_such_function", format!("there is no function `{other}`"))
            }
        }
    }
}

/// Adds a line to a file. The folder of the class is `/`; the clock of WASI is that of the standard
/// library.
fn note(line: &str) -> Result<String, Failure> {
    let path = "/notes.txt";
    let before = std::fs::read_to_string(path).unwrap_or_default();
    if let Err(error) = std::fs::write(path, format!("{before}{line}\n")) {
        return refuse(Kind::Failed, "no_file", format!("the note cannot be kept: {error}"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    Ok(json!({ "notes": before.lines().count() + 1, "seconds": now }).to_string())
}

thread_local! {
    /// Each task is an instance of its own.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

impl tasks::Guest for Greeter {
    fn start(spec: String) -> Result<(), Failure> {
        match spec.parse() {
            Ok(left) => LEFT.set(left),
            Err(_) => return refuse(Kind::Invalid, "", "the spec is how far to count"),
        }
        Ok(())
    }

    /// Counts down and reports every step.
    fn run() -> Result<Next, Failure> {
        let left = LEFT.get();
        if left == 0 {
            return Ok(Next::Done(json!("lift-off").to_string()));
        }
        if emit(&json!({ "left": left }).to_string()).is_err() {
            return refuse(Kind::Failed, "", "the event is refused");
        }
        LEFT.set(left - 1);
        Ok(Next::Wait(1))
    }

    /// `{"add": N}` makes it longer; the answer is what is left.
    fn command(payload: String) -> Result<String, Failure> {
        let command: Value = serde_json::from_str(&payload).expect("the host sends JSON");
        LEFT.set(LEFT.get() + command["add"].as_u64().unwrap_or(0));
        Ok(LEFT.get().to_string())
    }

    fn stop(_grace_ms: u64) {
        LEFT.set(0);
    }
}

export!(Greeter);
