//! What the configuration says, and what was answered.

use remuda_model::run::RunView;
use remuda_run::Filter;
use serde_json::json;

use super::{Face, Reply, Wrong, results};
use crate::{job, params::Call};

impl Face {
    /// A command as the configuration has it; `null` if there is none of this id.
    pub(super) fn show_command(&self, id: &str) -> Result<Reply, Wrong> {
        let command = self.catalogue.commands.get(id).map(|command| {
            json!({
                "agentCommandType": command.id,
                "httpMethod": command.method,
                "requestUrlPostfix": command.postfix,
                "requestContentTemplate": command.content,
                "requestProtocol": command.protocol.as_str(),
                "requestPort": command.port.to_string(),
                "pauseIntervalWorkerMillis": 0,
                "responseExtractIndexStart": command.extract.0,
                "responseExtractIndexEnd": command.extract.1,
                "maxConcurrency": command.width,
                "httpHeaderType": command.headers,
            })
        });
        Reply::json(&command)
    }

    /// A group of nodes, or on wish only its nodes, one in a line.
    pub(super) fn show_group(&self, call: &Call) -> Result<Reply, Wrong> {
        let id = call.need("nodeGroupType").map_err(|wrong| Wrong::from(wrong).into_result())?;
        let group = self.group(id).map_err(Wrong::into_result)?;
        if call.flag("isTxtFqdnOnly")?.unwrap_or_default() {
            return Ok(Reply::Text(group.nodes.join("\n")));
        }
        Reply::json(&json!({
            "nodeGroupType": id,
            "dataSourceType": "ADHOC",
            "statehubUrlPrefix": group.statehub,
            "envStr": group.env,
            "nodeCount": group.nodes.len(),
            "nodeList": group.nodes,
            "clusterList": [],
        }))
    }

    /// The results of the last job of a command on a group.
    pub(super) async fn show_data(&self, call: &Call) -> Result<Reply, Wrong> {
        let wanted = (call.need("nodeGroupType")?, call.need("agentCommandType")?);
        let is_wanted = |view: &RunView| {
            let job = job::of(&view.spec.vars);
            job.is_some_and(|job| (job.group, job.command) == wanted)
        };
        // The newest is first.
        let Some(view) = self.control.runs().await.runs.into_iter().find(is_wanted) else {
            let text = format!("no results of {} on {}", wanted.1, wanted.0);
            return Err(Wrong::from(text).into_result());
        };
        let records = self.control.run_records(&view.id, Filter::default(), false).await?;
        let fqdn = call.get("fqdn").map(str::to_owned);
        Ok(Reply::Stream(results::map(records, view, Vec::new(), fqdn)))
    }
}
