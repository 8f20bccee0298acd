//! The same on many nodes, side by side.

use futures_util::StreamExt as _;
use remuda_model::{Failure, NodeId};
use serde_json::json;

use crate::{
    error::{PARTIAL, PrintError, Stop},
    output::{Printer, escape_line, note},
};

/// Does something on so many nodes at once, and prints what comes of it as it comes; then how many
/// have failed, which the exit code says too.
pub(super) async fn each<T, F>(
    nodes: &[NodeId],
    parallel: u16,
    printer: Printer,
    ask: impl Fn(NodeId) -> F,
    print: impl Fn(&NodeId, T) -> Result<(), PrintError>,
) -> Result<(), Stop>
where
    F: Future<Output = Result<T, Failure>>,
{
    let ask = &ask;
    let asked = futures_util::stream::iter(nodes)
        .map(|node| async move { (node, ask(node.clone()).await) });
    let mut answers = asked.buffer_unordered(usize::from(parallel));
    let mut n_failed = 0;
    while let Some((node, answer)) = answers.next().await {
        match answer {
            Ok(answer) => print(node, answer)?,
            Err(error) => {
                n_failed += 1;
                if printer.is_json() {
                    printer.json_line(&json!({ "node": node, "error": error }))?;
                } else {
                    note(&format!("{node}: {}", escape_line(&error.message)));
                }
            }
        }
    }
    note(&format!("{} ok, {n_failed} failed, {} nodes", nodes.len() - n_failed, nodes.len()));
    if n_failed > 0 { Err(Stop::Exit(PARTIAL)) } else { Ok(()) }
}
