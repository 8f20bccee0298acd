//! How a node comes to belong to a cluster: by making it, by joining it, by being added to it, or
//! since its last boot.

use std::{net::IpAddr, path::PathBuf};

use remuda_discovery::{Candidate, Finder, Source};
use remuda_link::{
    Authority, DialError, JoinError, JoinToken, Joining, NodeCertificate, join_with,
};
use remuda_model::{Chain, ErrorKind, Failure, JoinUrl, LinkUrl, NodeId, Role};
use remuda_runtime::{Backoff, Supervisor};
use remuda_wire::message::join::Credentials;
use zeroize::Zeroizing;

use super::{
    AgentConfig, AgentError, DataDirError, awaiting,
    cluster_file::ClusterFile,
    data_dir::{DataDir, NodeFile, read, write},
    ports::Ports,
    subnet::{IN_VAIN, Subnet},
};

/// A node and its cluster.
pub(crate) struct Member {
    pub(crate) file: NodeFile,
    pub(crate) certificate: NodeCertificate,
    /// Whether the certificate is still to be kept.
    is_new: bool,
    /// Whether a control node has added it, just now.
    was_added: bool,
    /// For control nodes that have just become one; later the control side keeps it.
    pub(crate) authority: Option<Authority>,
    /// The cluster to bootstrap, when it was made here.
    pub(crate) made: Option<ClusterFile>,
    /// Control nodes that the cluster told of.
    pub(crate) controls: Vec<LinkUrl>,
}

impl Member {
    /// Keeps the certificate, once everything else that came with it is kept: a node with a name
    /// and no certificate joins again.
    pub(crate) fn keep(&self, data: &DataDir) -> Result<(), AgentError> {
        if self.is_new { keep_certificate(data, &self.certificate) } else { Ok(()) }
    }

    /// Whether this process has waited to be added.
    pub(crate) fn was_added(&self) -> bool {
        self.was_added
    }

    /// Where control nodes are, for choosing the address of this machine that they reach: those to
    /// join at, or for a node that is dialled only, those that the cluster told of.
    pub(crate) fn peers(&self, config: &AgentConfig) -> Vec<JoinUrl> {
        if !config.awaits {
            return config.join.clone();
        }
        // Names would have to be asked for, by a node that may not reach a name server.
        let known = self.controls.iter().filter(|url| url.host.parse::<IpAddr>().is_ok());
        known.cloned().map(JoinUrl::from).collect()
    }
}

/// How a new node may come to its cluster.
pub(crate) struct Ways<'a> {
    pub(crate) finder: &'a Finder,
    pub(crate) subnet: &'a Subnet,
    pub(crate) ports: &'a mut Ports,
}

/// Finds out to which cluster the node belongs; joins it when that is new. Until
/// [`Member::keep`], the next start does the same again, under the same name.
pub(crate) async fn establish(
    data: &DataDir,
    config: &AgentConfig,
    ways: Ways<'_>,
    supervisor: &Supervisor,
) -> Result<Member, AgentError> {
    let role = config.roles.link_role();
    let made = ClusterFile::read(data.path())?;
    let mut node = config.node.clone();
    if let Some(file) = data.node()? {
        check_same(data, config, &file)?;
        if let Some(certificate) = read_certificate(data)? {
            let (authority, controls) = (None, data.controls()?);
            let (is_new, was_added) = (false, false);
            return Ok(Member { file, certificate, is_new, was_added, authority, made, controls });
        }
        // Parts of the node may know it by this name already.
        node = Some(file.node);
    }
    let node = node.unwrap_or_else(NodeId::random);
    if config.bootstrap {
        return bootstrap(data, config, made, node);
    }
    if config.join.is_empty() && config.token.is_none() && !config.awaits {
        return Err(AgentError::NoCluster);
    }
    let token =
        config.token.as_ref().ok_or(AgentError::Incomplete { missing: "a token (--token)" })?;
    let (certificate, credentials) = if config.awaits {
        awaiting::added(config, token, (&node, role), (ways.ports, supervisor)).await?
    } else {
        join_cluster(config, token, (ways.finder, ways.subnet), (&node, role)).await?
    };
    let file = NodeFile { node, cluster: token.cluster.clone(), role };
    data.set_node(&file)?;
    let authority = match credentials.authority {
        Some(wire) => Some(
            Authority::from_wire(&file.cluster, &credentials.ca, wire)
                .map_err(AgentError::authority)?,
        ),
        None if role == Role::Control => {
            let failure = Failure::failed("the cluster sent no authority to its new control node");
            return Err(AgentError::Join(failure));
        }
        None => None,
    };
    let controls: Vec<_> = credentials.controls.into_iter().flat_map(|(_, urls)| urls).collect();
    data.set_controls(&controls)?;
    let (is_new, was_added) = (true, config.awaits);
    Ok(Member { file, certificate, is_new, was_added, authority, made: None, controls })
}

fn check_same(data: &DataDir, config: &AgentConfig, kept: &NodeFile) -> Result<(), AgentError> {
    let role = config.roles.link_role();
    let foreign = |kept: String, wanted: String| {
        Err(DataDirError::Foreign { dir: data.path().to_owned(), kept, wanted }.into())
    };
    if let Some(node) = config.node.as_ref().filter(|node| **node != kept.node) {
        return foreign(format!("node `{}`", kept.node), format!("`{node}`"));
    }
    if role != kept.role {
        return foreign(format!("a {} node", kept.role), format!("a {role} node"));
    }
    if let Some(token) = config.token.as_ref().filter(|token| token.cluster != kept.cluster) {
        return foreign(format!("cluster `{}`", kept.cluster), format!("`{}`", token.cluster));
    }
    Ok(())
}

fn bootstrap(
    data: &DataDir,
    config: &AgentConfig,
    made: Option<ClusterFile>,
    node: NodeId,
) -> Result<Member, AgentError> {
    if !config.roles.is_control() {
        return Err(AgentError::Incomplete { missing: "--control together with --bootstrap" });
    }
    let made = match made {
        Some(made) => made,
        None => ClusterFile::create(data.path(), &config.cluster_name, config.admin_token.clone())?,
    };
    let file = NodeFile { node, cluster: made.record.id.clone(), role: Role::Control };
    let certificate =
        made.authority.certify(&file.node, file.role).map_err(AgentError::authority)?;
    data.set_node(&file)?;
    let (authority, controls) = (Some(made.authority.clone()), Vec::new());
    let (is_new, was_added) = (true, false);
    Ok(Member { file, certificate, is_new, was_added, authority, made: Some(made), controls })
}

/// Dials control nodes until one of them has let this node join.
async fn join_cluster(
    config: &AgentConfig,
    token: &JoinToken,
    (finder, subnet): (&Finder, &Subnet),
    (node, role): (&NodeId, Role),
) -> Result<(NodeCertificate, Credentials), AgentError> {
    if config.join.is_empty() && !finder.asks_others() {
        return Err(AgentError::Incomplete {
            missing: "a way to find a control node (--join, --tracker or --lan)",
        });
    }
    let how = Joining { release: config.release, proxy: config.proxy.clone() };
    let mut backoff = Backoff::for_links(fastrand::u64(..));
    let mut in_vain = 0;
    loop {
        let candidates = finder.find().await;
        let urls: Vec<_> = candidates.iter().map(|candidate| candidate.url.clone()).collect();
        match join_with(&how, &urls, token, node, role).await {
            Ok(joined) => return Ok(joined),
            Err(error) if is_passing(&error, &candidates) => {
                let delay = backoff.next_delay();
                let wait_ms = delay.as_millis();
                match error {
                    JoinError::NoAddress => tracing::warn!(
                        cluster = %token.cluster,
                        wait_ms,
                        "no control node of this cluster is heard on the subnet (UDP port 44201) or \
                         listed by a tracker yet"
                    ),
                    error => tracing::warn!(error = %Chain(&error), wait_ms, "cannot join yet"),
                }
                in_vain += 1;
                if in_vain == IN_VAIN {
                    subnet.help_lost(finder);
                }
                tokio::select! {
                    () = tokio::time::sleep(delay) => (),
                    () = finder.news() => (),
                }
            }
            Err(error) => return Err(AgentError::Join(refusal(&error))),
        }
    }
}

/// Whether waiting may help. Strangers can propose anything: what fails at an address of theirs says
/// nothing about this node. Of what DNS proposes, some may be wrong.
fn is_passing(error: &JoinError, candidates: &[Candidate]) -> bool {
    use ErrorKind::{NotConnected, OutcomeUnknown, TimedOut, Unavailable};
    let passes = |kind| matches!(kind, Unavailable | NotConnected | TimedOut | OutcomeUnknown);
    let comes_from = |url: &LinkUrl, source: Source| {
        candidates.iter().any(|candidate| candidate.url == *url && candidate.source == source)
    };
    match error {
        JoinError::NoLink(errors) => {
            let of = |source| errors.iter().filter(move |error| comes_from(&error.url, source));
            let mut given = of(Source::Given);
            let (mut by_name, mut by_name_again) = (of(Source::Dns), of(Source::Dns));
            given.all(|error| passes(error.kind()))
                && (by_name.next().is_none() || by_name_again.any(|error| passes(error.kind())))
        }
        JoinError::NoAddress | JoinError::NoAnswer(_) => true,
        JoinError::Refused(failure) => passes(failure.kind),
        _ => false,
    }
}

/// What the cluster said, or why it could not be understood.
pub(super) fn refusal(error: &JoinError) -> Failure {
    let kind = match error {
        JoinError::NoLink(errors) => errors.first().map_or(ErrorKind::Invalid, DialError::kind),
        JoinError::Refused(failure) => failure.kind,
        _ => ErrorKind::Failed,
    };
    let failure = Failure::new(kind, Chain(error).to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Keeps a certificate and its key.
pub(crate) fn keep_certificate(data: &DataDir, made: &NodeCertificate) -> Result<(), AgentError> {
    let at = |name: &str| tls(data, name);
    write(&at("key.der"), &made.key)?;
    write(&at("ca.der"), &made.ca)?;
    write(&at("certificate.der"), &made.certificate)?;
    Ok(())
}

fn read_certificate(data: &DataDir) -> Result<Option<NodeCertificate>, AgentError> {
    let key = read(&tls(data, "key.der"))?;
    let ca = read(&tls(data, "ca.der"))?;
    let certificate = read(&tls(data, "certificate.der"))?;
    Ok(match (certificate, key, ca) {
        (Some(certificate), Some(key), Some(ca)) => {
            Some(NodeCertificate { certificate, key: Zeroizing::new(key), ca })
        }
        _ => None,
    })
}

fn tls(data: &DataDir, name: &str) -> PathBuf {
    data.path().join("tls").join(name)
}
