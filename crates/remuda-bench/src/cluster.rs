//! The nodes of a measurement.

use std::path::Path;

use anyhow::{Context as _, Result};
use remuda::{
    agent::{Agent, AgentConfig},
    link::{Link, Router, Stream},
    model::{Failure, LinkUrl, NodeStatus, Role, Roles},
    plugin::{JobClass, RequestContext},
};
use serde::{Deserialize, Serialize};

/// Streams that are read and forgotten.
pub(crate) const SINK: &str = "bench/sink/1";

/// Answers with what it was asked.
#[derive(Debug)]
pub(crate) struct Echo;

impl JobClass for Echo {
    const NAME: &'static str = "echo";
    type Request = u64;
    type Reply = u64;
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = ();

    async fn request(&self, _: RequestContext, number: u64) -> Result<u64, Failure> {
        Ok(number)
    }
}

/// What others need to reach a control node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Where nodes join.
    pub(crate) join: String,
    /// The address under the transport that is measured.
    pub(crate) link: LinkUrl,
    pub(crate) worker_token: String,
    pub(crate) admin_token: String,
}

pub(crate) struct Founded {
    pub(crate) agent: Agent,
    pub(crate) told: Told,
}

/// A control node that announces one address of the given transport only.
pub(crate) async fn control(dir: &Path, transport: &str) -> Result<Founded> {
    let mut config = AgentConfig::new(dir);
    config.node = Some("bench-control".parse()?);
    config.roles = Roles::CONTROL;
    config.bootstrap = true;
    config.listen = vec!["remuda://127.0.0.1:0;transport=tls".parse()?];
    if transport != "tls" {
        config.listen.push(format!("remuda://127.0.0.1:0;transport={transport}").parse()?);
    }
    let agent = Agent::start(config).await.context("the control node")?;
    let addresses = agent.link_addresses();
    let link = addresses.last().context("it listens")?.clone();
    agent.endpoint().set_advertise(vec![link.clone()]);
    let admin_token = std::fs::read_to_string(dir.join("admin-token"))?.trim().to_owned();
    let told = Told {
        join: addresses[0].to_string(),
        link,
        worker_token: agent.join_token(Role::Worker).context("a control node has tokens")?,
        admin_token,
    };
    Ok(Founded { agent, told })
}

/// A worker that joins at one address and then works over another.
pub(crate) async fn worker(dir: &Path, joins: &str, later: &str, token: &str) -> Result<Agent> {
    let config = |url: &str| -> Result<AgentConfig> {
        let mut config = AgentConfig::new(dir).class(Echo);
        config.node = Some("bench-worker".parse()?);
        config.join = vec![url.parse()?];
        config.token = Some(token.parse()?);
        config.router = Some(Box::new(|router: &mut Router| {
            router.route(SINK, &[Role::Control], drain);
        }));
        Ok(config)
    };
    if joins != later {
        let joined = Agent::start(config(joins)?).await.context("join")?;
        joined.shutdown().await;
        // Forget the addresses it was told of: the next start shall use the other transport.
        drop(std::fs::remove_dir_all(dir.join("worker")));
    }
    let agent = Agent::start(config(later)?).await.context("the worker")?;
    agent.status().wait_for(|status| *status == NodeStatus::Ready).await?;
    Ok(agent)
}

async fn drain(_: Link, mut stream: Stream) {
    while let Ok(Some(_)) = stream.read_chunk().await {}
    drop(stream.finish());
}
