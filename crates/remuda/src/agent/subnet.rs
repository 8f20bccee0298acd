//! Control nodes of the same subnet: heard by who looks for them, announced by who is one.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use remuda_discovery::{
    Finder,
    lan::{Announcer, Key, Lan, LanConfig, PORT},
};
use remuda_model::{ClusterId, LinkUrl};
use remuda_runtime::Supervisor;

use super::{AgentConfig, LanUse};

/// Looks in vain after which the subnet is heard too.
pub(super) const IN_VAIN: u32 = 5;

/// What a node does on its subnets. Cheap to clone.
#[derive(Clone)]
pub(super) struct Subnet {
    shared: Arc<Shared>,
}

struct Shared {
    lan_use: LanUse,
    /// Whether it has nothing else to find its cluster by.
    is_lost: bool,
    config: LanConfig,
    supervisor: Supervisor,
    /// Listens from the first use on; nothing when it cannot.
    lan: OnceLock<Option<Lan>>,
}

impl Subnet {
    /// Nothing is opened yet.
    pub(super) fn new(
        config: &AgentConfig,
        cluster: Option<ClusterId>,
        supervisor: &Supervisor,
    ) -> Self {
        let key = config.token.as_ref().map(|token| Key::of_secret(&token.secret));
        let has_others = !config.join.is_empty() || !config.trackers.is_empty();
        let shared = Shared {
            lan_use: config.lan,
            is_lost: !has_others && !config.bootstrap && !config.awaits,
            config: LanConfig { port: PORT, cluster, key },
            supervisor: supervisor.clone(),
            lan: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has a node that looks for its cluster hear its subnet.
    pub(super) fn help(&self, finder: &Finder) {
        let looks = match self.shared.lan_use {
            LanUse::Off => false,
            LanUse::Auto => self.shared.is_lost,
            LanUse::On => true,
        };
        if looks {
            self.help_lost(finder);
        }
    }

    /// The same once everything else that the node knows has led nowhere.
    pub(super) fn help_lost(&self, finder: &Finder) {
        if self.shared.lan_use != LanUse::Off
            && let Some(lan) = self.lan()
        {
            finder.listen(lan.clone());
        }
    }

    /// Has a control node tell where it can be dialled.
    pub(super) fn announce(&self, announcer: Announcer) {
        let addresses = &announcer.addresses;
        let is_told = match self.shared.lan_use {
            LanUse::Off => false,
            LanUse::Auto => addresses.iter().any(|url| !is_loopback(url)),
            LanUse::On => !addresses.is_empty(),
        };
        if is_told && let Some(lan) = self.lan() {
            lan.announce(announcer, &self.shared.supervisor);
        }
    }

    fn lan(&self) -> Option<&Lan> {
        let Shared { config, supervisor, lan, .. } = &*self.shared;
        let start = || {
            let started = Lan::start(config.clone(), supervisor);
            let port = config.port;
            started
                .inspect_err(|error| tracing::warn!(%error, port, "the subnet is not heard"))
                .ok()
        };
        lan.get_or_init(start).as_ref()
    }
}

fn is_loopback(url: &LinkUrl) -> bool {
    url.host == "localhost" || url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
