//! Functions and components: what other classes of the node do, asked in the words of this one.

use remuda_model::{ClassName, Failure};
use remuda_plugin::RequestContext;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::NodeClass;

/// A function to call: one of a loaded component, or one that comes with the call.
///
/// It runs beside everything else that the node does, whether it computes or waits, so that there
/// is no second kind of call for those that take long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The loaded component; excludes `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassName>,
    /// The name of the function in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// A function in JavaScript; excludes `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<Value>,
    /// How long a function in JavaScript may run, in milliseconds: 10 s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl NodeClass {
    pub(super) async fn call(&self, context: RequestContext, call: Call) -> Result<Value, Failure> {
        let Call { class, function, source, args, timeout_ms } = call;
        match (class, function, source) {
            (Some(class), Some(function), None) => {
                let call = json!({ "class": class, "function": function, "args": args });
                self.ask(context, "wasm", &json!({ "call": call })).await
            }
            (None, None, Some(source)) => {
                let mut call = json!({ "source": source, "args": args });
                if let Some(ms) = timeout_ms {
                    call["timeout_ms"] = ms.into();
                }
                let mut reply = self.ask(context, "function", &call).await?;
                Ok(reply.get_mut("result").map(Value::take).unwrap_or_default())
            }
            _ => Err(Failure::invalid("call: expected `class` and `function`, or `source`")),
        }
    }

    /// Asks another class of this node.
    pub(super) async fn ask(
        &self,
        context: RequestContext,
        class: &str,
        request: &Value,
    ) -> Result<Value, Failure> {
        let name: ClassName = class.parse().map_err(|error| Failure::internal(&error))?;
        let handler = self.classes.get(&name)?;
        let context = RequestContext {
            events: context.events.of_class(name.clone()),
            class: name,
            ..context
        };
        let reply = handler.request(context, request.to_string().into_bytes()).await?;
        serde_json::from_slice(&reply).map_err(|error| Failure::internal(&error))
    }
}
