//! Targets in JSON.

use serde_json::Value;

use super::{Collector, Place};
use crate::{
    json_path::JsonPath,
    target::{Target, TargetError, form, is_var_name, scalars},
};

pub(super) fn read(collector: &mut Collector, text: &str, path: Option<&str>) {
    let path = match path.map(str::parse::<JsonPath>).transpose() {
        Ok(path) => path,
        Err(error) => return collector.wrong(Place::All, error),
    };
    let document = match serde_json::from_str::<Value>(text) {
        Ok(document) => document,
        // It says the line itself.
        Err(error) => return collector.wrong(Place::All, format_args!("not JSON: {error}")),
    };
    let found = match &path {
        None => vec![&document],
        Some(path) => path.find(&document),
    };
    if let (Some(path), true) = (&path, found.is_empty()) {
        return collector.wrong(Place::All, format_args!("there is nothing at `{path}`"));
    }
    if path.is_none() && !document.is_array() {
        return collector.wrong(
            Place::All,
            "expected a list: give the path of the list, such as `/nodes` or `$.nodes[*].name`",
        );
    }
    let entries = found.into_iter().flat_map(|value| match value {
        Value::Array(list) => list.iter().collect(),
        other => vec![other],
    });
    for (at, entry) in (1..).zip(entries) {
        collector.add(Place::Entry(at), target(entry));
        if collector.is_full() {
            return;
        }
    }
}

fn target(entry: &Value) -> Result<Target, TargetError> {
    let object = match entry {
        Value::String(host) => return Target::plain(host),
        Value::Object(object) => object,
        _ => return Err(form("expected a text or an object with `host`")),
    };
    if object.get("vars").is_some_and(Value::is_object) {
        return Target::from_object(entry);
    }
    let key = if object.contains_key("host") { "host" } else { "target" };
    let host = object.get(key).and_then(Value::as_str);
    let host = host.ok_or_else(|| form("an object needs a text `host`"))?;
    // What no template can name is no variable; inventories are full of it.
    let named = object.iter().filter(|(name, value)| {
        *name != key && is_var_name(name) && !value.is_object() && !value.is_array()
    });
    Target::new(host, scalars(named)?)
}
