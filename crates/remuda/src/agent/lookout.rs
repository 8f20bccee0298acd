//! Looks for control nodes as long as this node has none.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use remuda_control::Control;
use remuda_discovery::{Candidate, Finder, lan::own_addresses};
use remuda_model::{LinkUrl, NodeStatus, Transport};
use remuda_runtime::{Backoff, Supervisor};
use tokio::sync::watch;

use super::subnet::{IN_VAIN, Subnet};

/// Between two looks; the second is the longest pause.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Most addresses that come before those that the cluster told of: a name may have hundreds.
const MAX_FIRST: usize = 32;

/// What the look-out needs to know.
pub(super) struct Lookout {
    pub(super) finder: Finder,
    /// Control nodes that the cluster told of, for when nothing is found.
    pub(super) known: Vec<LinkUrl>,
    pub(super) status: watch::Receiver<NodeStatus>,
    pub(super) subnet: Subnet,
    /// Where this node itself can be dialled.
    pub(super) own: Vec<LinkUrl>,
}

impl Lookout {
    /// Looks at once, and again and again while the worker has no owner or the control side no
    /// cluster: addresses change, and so do the answers of name servers.
    pub(super) fn start(
        self,
        control: Option<Control>,
        candidates: watch::Sender<Vec<LinkUrl>>,
        supervisor: &Supervisor,
    ) {
        let stop = supervisor.token();
        supervisor.spawn("lookout", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => (),
                () = self.run(control, candidates) => (),
            }
        });
    }

    async fn run(mut self, control: Option<Control>, candidates: watch::Sender<Vec<LinkUrl>>) {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1, fastrand::u64(..));
        let mut in_vain = 0;
        loop {
            let found = self.finder.find().await;
            self.show(found, &candidates);
            let is_member = control.as_ref().is_none_or(Control::is_member);
            let settled = self.status.borrow_and_update().takes_requests() && is_member;
            if settled {
                backoff.reset();
                in_vain = 0;
                if self.status.changed().await.is_err() {
                    return;
                }
            } else {
                in_vain += 1;
                if in_vain == IN_VAIN {
                    self.subnet.help_lost(&self.finder);
                }
                // A change of status is no reason to hurry: it may be the wanted one.
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_delay()) => (),
                    () = self.finder.news() => (),
                }
            }
        }
    }

    /// The control part of this very node stays first, then come what can be trusted, what the
    /// cluster told of, and what anybody proposes. Other addresses of this node are left out: what
    /// finds control nodes may find it too.
    fn show(&self, found: Vec<Candidate>, candidates: &watch::Sender<Vec<LinkUrl>>) {
        let machine = own_addresses();
        let is_own = |url: &LinkUrl| {
            let here = url.host.parse::<Ipv4Addr>().is_ok_and(|ip| machine.contains(&ip));
            let listens = |own: &LinkUrl| (own.port, own.transport) == (url.port, url.transport);
            self.own.contains(url) || (here && self.own.iter().any(listens))
        };
        let (trusted, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|candidate| candidate.trusted);
        let url = |candidate: Candidate| candidate.url;
        let (first, more): (Vec<_>, Vec<_>) =
            trusted.into_iter().map(url).enumerate().partition(|(at, _)| *at < MAX_FIRST);
        let first = first.into_iter().map(|(_, url)| url).chain(self.known.iter().cloned());
        let rest = more.into_iter().map(|(_, url)| url).chain(others.into_iter().map(url));
        let all: Vec<_> = first.chain(rest).filter(|url| !is_own(url)).collect();
        candidates.send_if_modified(|shown| {
            let mut urls: Vec<_> =
                shown.iter().filter(|url| url.transport == Transport::Mem).cloned().collect();
            let mut seen = BTreeSet::new();
            urls.extend(all.into_iter().filter(|url| seen.insert(url.clone())));
            let changed = *shown != urls;
            *shown = urls;
            changed
        });
    }
}
