//! Where an announcing worker belongs: a decision on what this node knows at the moment.

use remuda_model::{Epoch, ErrorKind, Failure, Generation, LinkUrl, NodeId};
use remuda_wire::message::announce::{Announce, Answer, Placement};

/// What this control node knows when a worker announces itself.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// This control node.
    pub me: &'a NodeId,
    /// The name that the link's peer has proved.
    pub peer: &'a NodeId,
    /// The ownership counter.
    pub epoch: Epoch,
    /// The owner of the worker; `None` when no control node is active.
    pub owner: Option<NodeId>,
    /// Where the owner can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Whether this node has a link to the owner, so that it could relay.
    pub linked: bool,
    /// The process whose session is alive here.
    pub live: Option<Process>,
}

/// One process of a node: how often the node has booted, and a number that was made at random when
/// the process started, because copies of a data directory count the same boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub generation: Generation,
    pub boot: u64,
}

impl Process {
    pub fn of(announce: &Announce) -> Self {
        Self { generation: announce.generation, boot: announce.boot }
    }

    /// Whether this process may take the session of another one that is alive: the same process
    /// may, and one that was started later. Of two copies that count the same boot, the first
    /// stays.
    pub fn may_replace(self, live: Self) -> bool {
        self == live || self.generation > live.generation
    }
}

/// Answers an announcement.
pub fn place(announce: &Announce, now: Situation<'_>) -> Answer {
    if announce.node != *now.peer {
        let message = format!("node `{}` announced itself as `{}`", now.peer, announce.node);
        return Err(Failure::new(ErrorKind::Forbidden, message).code("node_id_mismatch"));
    }
    let epoch = now.epoch;
    let Some(owner) = now.owner else {
        return Err(Failure::new(ErrorKind::Unavailable, "no control node is active yet")
            .code("no_owner")
            .hint("the cluster is starting, or was never initialised; the node tries again"));
    };
    if owner == *now.me {
        return match now.live {
            Some(live) if !Process::of(announce).may_replace(live) => Err(in_use(&announce.node)),
            _ => Ok(Placement::Owned { epoch }),
        };
    }
    let cannot_dial = now.addresses.is_empty() || announce.unreachable.contains(&owner);
    if !cannot_dial {
        return Ok(Placement::Redirect { epoch, owner, addresses: now.addresses });
    }
    if now.linked {
        return Ok(Placement::Relay { epoch, owner });
    }
    let message = format!("neither the node nor this control node can reach its owner `{owner}`");
    Err(Failure::new(ErrorKind::Unavailable, message).code("owner_unreachable").hint(
        "check that the owner runs and that its addresses can be dialled; the node tries again",
    ))
}

/// The refusal of a second process under a name that is in use.
pub(crate) fn in_use(node: &NodeId) -> Failure {
    Failure::new(ErrorKind::Conflict, format!("another process is connected as node `{node}`"))
        .code("node_id_in_use")
        .hint("give each node a name and a data directory of its own")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use remuda_model::{Labels, Roles, Transport};

    use super::*;

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    fn url() -> LinkUrl {
        LinkUrl { host: "x".into(), port: 7, transport: Transport::Mem, path: None }
    }

    fn announce(unreachable: &[&str]) -> Announce {
        Announce {
            node: id("w1"),
            generation: Generation(3),
            boot: 1,
            roles: Roles::WORKER,
            version: "1".into(),
            addresses: Vec::new(),
            labels: Labels::default(),
            attributes: BTreeMap::new(),
            epoch: Epoch(0),
            unreachable: unreachable.iter().map(|text| id(text)).collect(),
        }
    }

    fn situation<'a>(me: &'a NodeId, peer: &'a NodeId, owner: Option<&str>) -> Situation<'a> {
        Situation {
            me,
            peer,
            epoch: Epoch(9),
            owner: owner.map(id),
            addresses: vec![url()],
            linked: true,
            live: None,
        }
    }

    #[test]
    fn each_situation_has_its_answer() {
        let (me, peer) = (id("c1"), id("w1"));
        let epoch = Epoch(9);
        let now = |owner| situation(&me, &peer, owner);
        assert_eq!(place(&announce(&[]), now(Some("c1"))), Ok(Placement::Owned { epoch }));
        let redirect = Placement::Redirect { epoch, owner: id("c2"), addresses: vec![url()] };
        assert_eq!(place(&announce(&[]), now(Some("c2"))), Ok(redirect.clone()));
        let relay = Placement::Relay { epoch, owner: id("c2") };
        assert_eq!(place(&announce(&["c2"]), now(Some("c2"))), Ok(relay.clone()));
        assert_eq!(place(&announce(&["c3"]), now(Some("c2"))), Ok(redirect));
        let hidden = Situation { addresses: Vec::new(), ..now(Some("c2")) };
        assert_eq!(place(&announce(&[]), hidden), Ok(relay));
    }

    #[test]
    fn refusals_say_why() {
        let (me, peer, other) = (id("c1"), id("w1"), id("w2"));
        let code = |answer: Answer| answer.expect_err("refused").code;
        assert_eq!(code(place(&announce(&[]), situation(&me, &peer, None))), "no_owner");
        let foreign = situation(&me, &other, Some("c1"));
        assert_eq!(code(place(&announce(&[]), foreign)), "node_id_mismatch");
        let cut = Situation { linked: false, ..situation(&me, &peer, Some("c2")) };
        assert_eq!(code(place(&announce(&["c2"]), cut)), "owner_unreachable");
    }

    #[test]
    fn a_live_session_yields_to_its_own_process_and_to_a_later_boot() {
        let (me, peer) = (id("c1"), id("w1"));
        let answer = |generation, boot| {
            let live = Some(Process { generation: Generation(generation), boot });
            place(&announce(&[]), Situation { live, ..situation(&me, &peer, Some("c1")) })
        };
        assert!(answer(3, 1).is_ok(), "the process itself");
        assert!(answer(2, 7).is_ok(), "the boot before");
        for (generation, boot) in [(3, 2), (4, 1), (4, 2)] {
            let refused = answer(generation, boot).expect_err("in use");
            assert_eq!(refused.code, "node_id_in_use");
        }
    }
}
