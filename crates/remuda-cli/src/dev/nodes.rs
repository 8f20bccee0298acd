//! All processes of a local cluster.

use std::{path::PathBuf, time::Duration};

use futures_util::future::join_all;
use remuda_model::{ErrorKind, Labels, LinkUrl, NodeId};

use super::{child::Node, diagnosis, failed, layout::Layout};
use crate::{args::DevArgs, environment::Environment, error::Report, output::note};

/// How long nodes may take to end by themselves.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The port of the API, when it is free.
const API_PORT: u16 = 44200;

/// The processes, and how to start more of them.
#[derive(Debug)]
pub(super) struct Nodes {
    program: PathBuf,
    labels: Vec<(NodeId, Labels)>,
    fanout_to_loopback: bool,
    /// Variables of ours that would configure the nodes.
    hidden: Vec<String>,
    running: Vec<Node>,
}

impl Nodes {
    pub(super) fn new(
        layout: &Layout,
        args: &DevArgs,
        environment: &Environment,
    ) -> Result<Self, Report> {
        let known = layout.nodes();
        for (node, _labels) in &args.labels {
            if !known.iter().any(|(name, _control)| name == node) {
                let last = known.last().map_or("dev1", |(name, _control)| name.as_str());
                let message = format!("--label names {node}, but nodes are dev1 to {last}");
                return Err(Report::new(ErrorKind::Invalid, message));
            }
        }
        let program =
            std::env::current_exe().map_err(|error| failed("cannot find this program", &error))?;
        let hidden =
            environment.names().filter(|name| name.starts_with("REMUDA_") && *name != "REMUDA_LOG");
        let hidden = hidden.map(str::to_owned).collect();
        Ok(Self {
            program,
            labels: args.labels.clone(),
            fanout_to_loopback: args.fanout_allow_loopback,
            hidden,
            running: Vec::new(),
        })
    }

    /// Starts one node. `join` holds the addresses and the token file; the first node has none.
    pub(super) fn start(
        &mut self,
        layout: &Layout,
        node: &NodeId,
        control: bool,
        join: Option<(&[LinkUrl], PathBuf)>,
    ) -> Result<(), Report> {
        let dir = layout.dir(node);
        let mut arguments = words(["agent", "--exit-with-parent", "--name", node.as_str()]);
        arguments.extend(["--data-dir".to_owned(), dir.display().to_string()]);
        arguments.extend(words([
            "--listen",
            "remuda://127.0.0.1:0",
            "--lan",
            "off",
            "--drain-limit",
            "0s",
        ]));
        if control {
            arguments.extend(words(["--control", "--api", "127.0.0.1:0"]));
            if join.is_none() {
                arguments.extend(["--prefer-api-port".to_owned(), API_PORT.to_string()]);
            }
        }
        if self.fanout_to_loopback {
            arguments.push("--fanout-allow-loopback".to_owned());
        }
        match join {
            None => arguments.extend(words(["--bootstrap", "--cluster-name", "dev"])),
            Some((urls, token)) => {
                let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
                arguments.extend(["--join".to_owned(), urls.join(",")]);
                arguments.extend(["--token-file".to_owned(), token.display().to_string()]);
            }
        }
        for (_node, labels) in self.labels.iter().filter(|(name, _labels)| name == node) {
            arguments.extend(["--labels".to_owned(), labels.to_string()]);
        }
        let started = Node::start(node, &dir, &self.program, &arguments, &self.hidden)?;
        self.running.push(started);
        Ok(())
    }

    pub(super) fn running(&mut self) -> &mut [Node] {
        &mut self.running
    }

    /// Tells of each node that ends by itself, until none is left: whoever kills one wants to see
    /// how the others go on. Cancel safe.
    pub(super) async fn watch(&mut self) -> Report {
        loop {
            let mut last = None;
            self.running.retain_mut(|node| match diagnosis::of_dead(node) {
                Some(dead) => {
                    note(dead.render(false).trim_end());
                    last = Some(dead);
                    false
                }
                None => true,
            });
            match last {
                Some(dead) if self.running.is_empty() => return dead,
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Ends all nodes and waits; kills those that do not obey.
    ///
    /// They do not leave the cluster one by one: it stops as a whole, and when it is kept, all of
    /// its members come back.
    pub(super) async fn stop(&mut self) {
        self.running.iter_mut().for_each(Node::let_go);
        let ended = join_all(self.running.iter_mut().map(Node::wait));
        let _in_time = tokio::time::timeout(STOP_LIMIT, ended).await.is_ok();
        // Dropped processes are killed.
        self.running.clear();
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
