//! Calls that carry commands out.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::http::StatusCode;
use remuda_model::{Failure, run::RunView};
use remuda_run::Filter;
use remuda_runtime::wall_ms;

use super::{Face, Reply, Wrong, results, results::Awaited};
use crate::{
    aggregate::Aggregation,
    conf::{Command, Group, Rule},
    params::{AdhocRequest, Call},
    plan::{Order, Planned, TARGET_NODE, Vars, plan},
    time,
};

impl Face {
    /// Begins a command on a group; answers the id of the job at once.
    pub(super) async fn run_async(&self, call: &Call) -> Result<Reply, Wrong> {
        let (id, command) = self.group_and_command(call)?;
        let width = call.get("maxConcNum").map(str::parse);
        let width = width.transpose().map_err(|_bad| "maxConcNum: expected a number".to_owned())?;
        let local = call.flag("localMode")?.unwrap_or_default();
        let order = Order {
            width,
            // What was lost with a worker is not contacted again.
            at_most_once: !call.flag("failOver")?.unwrap_or(true),
            only_at: local.then_some(&self.node),
            ..self.order(id, command, &self.group(id)?.nodes, Vars::None)?
        };
        match self.begin(plan(&order)?).await? {
            (Some(view), _) => Ok(Reply::Text(view.id.to_string())),
            (None, _) => Err(Failure::invalid("there are no targets").into()),
        }
    }

    /// Carries a command out on a group.
    pub(super) async fn run_group(&self, call: &Call) -> Result<Reply, Wrong> {
        let done = async {
            let (id, command) = self.group_and_command(call)?;
            let order = self.order(id, command, &self.group(id)?.nodes, Vars::None)?;
            self.begin_and_wait(plan(&order)?).await
        };
        // This one did not hide its errors.
        done.await.map_err(|wrong| wrong.with_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let now = time::dotted(wall_ms());
        Reply::result(&format!("Successful generateUpdateSendAgentCommandToNodeGroup {now}"))
    }

    /// Carries a command out on nodes that are named in the call; answers what they are called.
    pub(super) async fn run_adhoc(&self, call: &Call) -> Result<Reply, Wrong> {
        let done = async {
            let nodes = call.lines("nodeListFromText")?;
            let command = self.command(call.need("agentCommandType")?)?;
            let group = adhoc_group();
            let order = self.order(&group, command, &nodes, Vars::None)?;
            self.begin_and_wait(plan(&order)?).await?;
            Reply::result(&group)
        };
        done.await.map_err(Wrong::into_result)
    }

    /// Sends a request for each value to one server.
    pub(super) async fn run_single_server(&self, call: &Call) -> Result<Reply, Wrong> {
        let done = async {
            let nodes = call.lines("nodeListFromText")?;
            let command = self.command(call.need("agentCommandType")?)?;
            let (variable, server) = (call.need("varName")?, call.need("targetServerNew")?);
            let maps = nodes.iter().map(|node| {
                let map = [(variable, node.as_str()), (TARGET_NODE, server)];
                let map = map.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
                (node.clone(), map.into())
            });
            let vars = Vars::Each(maps.collect());
            let group = adhoc_group();
            let order = self.order(&group, command, &nodes, vars)?;
            self.begin_and_wait(plan(&order)?).await?;
            Reply::result(&group)
        };
        done.await.map_err(|wrong: Wrong| wrong.with_status(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Carries a command out on nodes that a JSON body names; answers the results, or what a rule
    /// finds in them.
    pub(super) async fn run_json(&self, call: &Call, each: bool) -> Result<Reply, Wrong> {
        let done = async {
            let request = AdhocRequest::parse(&call.body)?;
            let new;
            let command = if request.use_new_agent_command {
                new = new_command(&request)?;
                &new
            } else {
                let id = request.agent_command_type.as_deref();
                self.command(id.ok_or_else(|| "agentCommandType is missing".to_owned())?)?
            };
            let rule = request.will_aggregate_response.then(|| self.rule(&request)).transpose()?;
            let vars = match (each, request.replacement_var_map) {
                (true, _) => {
                    let maps = request.replacement_var_map_node_specific;
                    Vars::Each(maps.into_iter().map(|(node, one)| (node, one.map)).collect())
                }
                (false, map) if map.is_empty() => Vars::None,
                (false, map) => Vars::Same(map),
            };
            let order = self
                .order(&adhoc_group(), command, &request.target_nodes, vars)
                .and_then(|order| Ok(plan(&order)?))?;
            self.answer(order, rule, &command.id).await
        };
        done.await.map_err(Wrong::into_result)
    }

    async fn answer(
        &self,
        planned: Planned,
        rule: Option<Rule>,
        command: &str,
    ) -> Result<Reply, Wrong> {
        let (view, skipped) = self.begin(planned).await?;
        match (view, rule) {
            (Some(view), rule) => {
                let records = self.control.run_records(&view.id, Filter::default(), true).await?;
                match rule {
                    Some(rule) => {
                        let awaited = Awaited::new(records);
                        Reply::json(&awaited.aggregated(rule, &view, &skipped).await?)
                    }
                    None => Ok(Reply::Stream(results::map(records, view, skipped, None))),
                }
            }
            (None, Some(rule)) => {
                let mut aggregation = Aggregation::new(rule);
                let put = skipped.iter().try_for_each(|node| aggregation.skipped(node));
                put.map_err(|error| error.to_string())?;
                Reply::json(&aggregation.finish())
            }
            (None, None) => Ok(Reply::Json(results::none(&skipped, command)?)),
        }
    }

    /// Begins what is planned.
    async fn begin(&self, planned: Planned) -> Result<(Option<RunView>, Vec<String>), Failure> {
        let view = match planned.run {
            Some(run) => Some(self.control.create_run(run).await?),
            None => None,
        };
        Ok((view, planned.skipped))
    }

    /// The same, and waits for its end.
    async fn begin_and_wait(&self, planned: Planned) -> Result<(), Wrong> {
        if let (Some(view), _) = self.begin(planned).await? {
            let records = self.control.run_records(&view.id, Filter::default(), true).await?;
            Awaited::new(records).end().await?;
        }
        Ok(())
    }

    fn order<'a>(
        &'a self,
        group: &'a str,
        command: &'a Command,
        nodes: &'a [String],
        vars: Vars,
    ) -> Result<Order<'a>, Wrong> {
        let headers = self.catalogue.headers_of(command)?;
        let (width, only_at) = (None, None);
        Ok(Order { group, command, headers, nodes, vars, width, at_most_once: false, only_at })
    }

    fn group_and_command<'a>(&self, call: &'a Call) -> Result<(&'a str, &Command), Wrong> {
        let group = call.need("nodeGroupType")?;
        Ok((group, self.command(call.need("agentCommandType")?)?))
    }

    fn command(&self, id: &str) -> Result<&Command, Wrong> {
        let unknown = || Failure::not_found(format!("unknown agentCommandType {}", shown(id)));
        Ok(self.catalogue.commands.get(id).ok_or_else(unknown)?)
    }

    pub(super) fn group(&self, id: &str) -> Result<&Group, Wrong> {
        let unknown = || Failure::not_found(format!("unknown nodeGroupType {}", shown(id)));
        Ok(self.catalogue.groups.get(id).ok_or_else(unknown)?)
    }

    fn rule(&self, request: &AdhocRequest) -> Result<Rule, Wrong> {
        let id = request.aggregation_type.as_deref().unwrap_or_default();
        if request.use_new_aggregation {
            let text = request.new_aggregation_expression.as_deref();
            let text = text.ok_or_else(|| "newAggregationExpression is missing".to_owned())?;
            let decoded = decoded(text);
            return Rule::parse(id, &decoded)
                .map_err(|reason| format!("newAggregationExpression: {reason}").into());
        }
        let rule = self.catalogue.rules.get(id).cloned();
        rule.ok_or_else(|| {
            format!("ERROR. aggregationType {} does not exist in aggregationMetadatas", shown(id))
                .into()
        })
    }
}

/// A command that a request brings; it is forgotten after it.
fn new_command(request: &AdhocRequest) -> Result<Command, Wrong> {
    let (Some(head), Some(content)) =
        (&request.new_agent_command_line, &request.new_agent_command_content_template)
    else {
        let both =
            "useNewAgentCommand needs newAgentCommandLine and newAgentCommandContentTemplate";
        return Err(both.to_owned().into());
    };
    let command = Command::parse(head, content);
    command.map_err(|reason| format!("newAgentCommandLine: {reason}").into())
}

/// A text without the encoding of URLs.
fn decoded(text: &str) -> String {
    // A text without `=` and `&` is one name.
    let escaped = text.replace('=', "%3D").replace('&', "%26");
    let pairs: BTreeMap<String, String> =
        form_urlencoded::parse(escaped.as_bytes()).into_owned().collect();
    pairs.into_keys().next().unwrap_or_default()
}

/// The name of the nodes of one call, another one each time.
fn adhoc_group() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = wall_ms();
    let next = |last: u64| Some(now.max(last.saturating_add(1)));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    let ms = last.map_or(now, |last| now.max(last.saturating_add(1)));
    format!("ADHOCDATASTORE_NODEGROUP_{}", time::concise(ms))
}

fn shown(id: &str) -> String {
    id.chars().filter(|character| !character.is_control()).take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_decoded() {
        let encoded = ".*%22Version%22%5B%3A%2C%5D%5Cs%22(.*%3F)%22.*";
        assert_eq!(decoded(encoded), r#".*"Version"[:,]\s"(.*?)".*"#);
        assert_eq!(decoded("a=(.*)&b+c%2B"), "a=(.*)&b c+");
        assert_eq!(decoded(""), "");
    }

    #[test]
    fn groups_of_one_call_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = (0..100).map(|_| adhoc_group()).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.starts_with("ADHOCDATASTORE_NODEGROUP_20")));
    }
}
