//! Which nodes a selector means.

use remuda::client::Client;
use remuda_model::{ErrorKind, NodeId, NodeView, Selector};

use crate::error::{Report, Stop};

/// The nodes that meet a condition, or all; those without a link too, which then fail.
pub(super) async fn nodes(client: &Client, on: Option<&Selector>) -> Result<Vec<NodeId>, Stop> {
    let mut nodes = client.nodes().await?;
    nodes.retain(|node| on.is_none_or(|on| matches(on, node)));
    if nodes.is_empty() {
        let message = match on {
            Some(on) => format!("no node meets `{on}`"),
            None => "the cluster has no nodes".to_owned(),
        };
        let report = Report::new(ErrorKind::NotFound, message);
        return Err(report.hint("`remuda node list` shows the labels of all nodes").into());
    }
    Ok(nodes.into_iter().map(|node| node.id).collect())
}

/// Whether a node meets a condition on its labels, attributes, `node`, `role`, `status`, `version`
/// and `owner`.
pub(super) fn matches(selector: &Selector, node: &NodeView) -> bool {
    let mut facts: Vec<(&str, &str)> = vec![
        ("node", node.id.as_str()),
        ("role", "worker"),
        ("status", node.status.as_str()),
        ("version", &node.version),
    ];
    if node.roles.is_control() {
        facts.push(("role", "control"));
    }
    if let Some(owner) = &node.owner {
        facts.push(("owner", owner.as_str()));
    }
    facts.extend(node.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    selector.matches(&node.labels, &facts)
}

#[cfg(test)]
mod tests {
    use remuda_model::{Generation, NodeStatus, Roles};

    use super::*;

    #[test]
    fn labels_facts_and_attributes_count() {
        let node = NodeView {
            id: "dev1".parse().unwrap(),
            roles: Roles::CONTROL,
            status: NodeStatus::Ready,
            version: "1.2.3".to_owned(),
            generation: Generation(1),
            addresses: Vec::new(),
            labels: "gpu;model=a100".parse().unwrap(),
            attributes: [("os".to_owned(), "linux".to_owned())].into(),
            stats: None,
            owner: Some("dev2".parse().unwrap()),
            via: None,
            rtt_us: None,
            running_tasks: 0,
        };
        for (text, expected) in [
            ("gpu && model==a100", true),
            ("role==control && role==worker", true),
            ("os in (linux, freebsd) && status!=standby", true),
            ("owner==dev2 && version==1.2.3 && node==dev1", true),
            ("node==dev2", false),
        ] {
            assert_eq!(matches(&text.parse().unwrap(), &node), expected, "{text}");
        }
    }
}
