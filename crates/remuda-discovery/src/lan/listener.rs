//! Hears announcements, asks for them, and makes them.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use remuda_model::{ClusterId, LinkUrl, NodeId};
use remuda_runtime::{CancellationToken, Supervisor, wall_ms};
use tokio::{
    net::UdpSocket,
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    INTERVAL, MAX_DATAGRAM,
    datagram::{self, Announcement, Datagram, Key},
    interfaces::{self, Subnet},
    table::{Neighbour, Table},
};

/// How often the subnets of this machine are looked up.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Between two announcements that were asked for.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// After a failed read.
const PAUSE: Duration = Duration::from_millis(100);

/// What a node needs to know to hear its neighbours.
#[derive(Clone, Debug)]
pub struct LanConfig {
    /// The UDP port; [`PORT`](super::PORT) unless a network wants another.
    pub port: u16,
    /// The cluster that is looked for; any unless given.
    pub cluster: Option<ClusterId>,
    /// Knows the announcements of that cluster by their seal.
    pub key: Option<Key>,
}

/// A control node that announces itself.
#[derive(Clone)]
pub struct Announcer {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Itself.
    pub node: NodeId,
    /// Where it can be dialled; `0.0.0.0` stands for every address of this machine.
    pub addresses: Vec<LinkUrl>,
    /// What may change between two announcements.
    pub now: Arc<dyn Fn() -> Now + Send + Sync>,
}

/// What may change between two announcements.
#[derive(Debug)]
pub struct Now {
    /// How people call the cluster.
    pub name: String,
    /// What seals the announcements: one for each join secret.
    pub keys: Vec<Key>,
}

impl Announcer {
    /// What it says at the moment, with its seals: to those who reach it at this address of the
    /// machine, or to everybody.
    pub(crate) fn to_datagram(&self, ip: Option<Ipv4Addr>) -> Vec<u8> {
        let now = (self.now)();
        let place = |url: &LinkUrl| match (url.host.parse::<IpAddr>(), ip) {
            (Ok(host), Some(ip)) if host.is_unspecified() => {
                LinkUrl { host: ip.to_string(), ..url.clone() }
            }
            _ => url.clone(),
        };
        let here = Announcement {
            cluster: self.cluster.clone(),
            name: now.name,
            node: self.node.clone(),
            addresses: self.addresses.iter().map(place).collect(),
            interval_s: u16::try_from(INTERVAL.as_secs()).unwrap_or(u16::MAX),
            at_s: wall_ms() / 1000,
        };
        here.to_datagram(&now.keys)
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The ears of a node on its subnets. Cheap to clone; it ends with its supervisor.
#[derive(Clone, Debug)]
pub struct Lan {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: LanConfig,
    socket: UdpSocket,
    started: Instant,
    table: Mutex<Table>,
    /// Counts what the table did not know before, of those with a seal.
    news: watch::Sender<u64>,
    /// Somebody wants to know who is here.
    asked: Notify,
}

impl Lan {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// When the port is taken by a program that does not share it.
    pub fn start(config: LanConfig, supervisor: &Supervisor) -> io::Result<Self> {
        let socket = interfaces::listen(config.port)?;
        let shared = Shared {
            config,
            socket,
            started: Instant::now(),
            table: Mutex::default(),
            news: watch::Sender::new(0),
            asked: Notify::new(),
        };
        let lan = Self { shared: Arc::new(shared) };
        let (listening, stop) = (lan.clone(), supervisor.token());
        supervisor.spawn("subnet", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => (),
                () = listening.listen() => (),
            }
        });
        Ok(lan)
    }

    /// The UDP port.
    ///
    /// # Errors
    ///
    /// When the operating system cannot tell.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.shared.socket.local_addr()?.port())
    }

    /// The control nodes that were heard lately: those of the cluster that is looked for, the ones
    /// with its seal first.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let mut table = self.table();
        table.expire(self.shared.started.elapsed());
        table.neighbours()
    }

    /// Asks who is here.
    pub fn ask(&self) {
        let question = datagram::question(self.shared.config.cluster.as_ref());
        self.say(&interfaces::subnets(), &question);
    }

    /// Asks who is here, unless somebody is known already, and waits for the first answer with a
    /// seal, or until `patience` is over. Cancel safe.
    pub async fn look(&self, patience: Duration) {
        let mut news = self.shared.news.subscribe();
        let known = || self.neighbours().iter().any(|neighbour| neighbour.verified);
        if known() {
            return;
        }
        self.ask();
        let answered = async { while news.changed().await.is_ok() && !known() {} };
        // Without an answer in time there is none.
        drop(tokio::time::timeout(patience, answered).await);
    }

    /// Announces a control node from now on, and says good-bye in the end.
    pub fn announce(&self, announcer: Announcer, supervisor: &Supervisor) {
        let (lan, stop) = (self.clone(), supervisor.token());
        supervisor
            .spawn("announcements", async move { lan.keep_announcing(announcer, stop).await });
    }

    /// How many times there was news of a control node with a seal.
    pub fn news(&self) -> u64 {
        *self.shared.news.borrow()
    }

    /// Waits until there was more news than this. Cancel safe.
    pub async fn news_after(&self, seen: u64) {
        // It lasts as long as `self`.
        drop(self.shared.news.subscribe().wait_for(|count| *count > seen).await);
    }

    async fn listen(&self) {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        let mut subnets = interfaces::subnets();
        interfaces::join(&self.shared.socket, &subnets);
        let mut look_up = tokio::time::interval(LOOK_UP);
        loop {
            let received = tokio::select! {
                biased;
                _ = look_up.tick() => {
                    subnets = interfaces::subnets();
                    interfaces::join(&self.shared.socket, &subnets);
                    continue;
                }
                received = self.shared.socket.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((length, from)) => self.heard(&buffer[..length], from, &subnets),
                Err(error) => {
                    tracing::debug!(%error, "cannot hear the subnet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn heard(&self, bytes: &[u8], from: SocketAddr, subnets: &[Subnet]) {
        // What comes from elsewhere is not said on this subnet.
        let Some(local) = interfaces::place_of(from.ip(), subnets) else { return };
        let LanConfig { cluster: wanted, key, .. } = &self.shared.config;
        let Some(opened) = datagram::open(bytes, key.as_ref()) else { return };
        let is_wanted =
            |cluster: &ClusterId| wanted.as_ref().is_none_or(|wanted| wanted == cluster);
        match opened.datagram {
            Datagram::Look(cluster) => {
                if cluster.as_ref().is_none_or(is_wanted) {
                    self.shared.asked.notify_one();
                }
            }
            Datagram::Here(here) if is_wanted(&here.cluster) => {
                let now = (self.shared.started.elapsed(), wall_ms() / 1000);
                let is_news = self.table().heard(now, here, (from.ip(), local), opened.sealed);
                if is_news {
                    self.shared.news.send_modify(|count| *count += 1);
                }
            }
            Datagram::Gone { cluster, node, at_s } if is_wanted(&cluster) => {
                self.table().gone((cluster, node), from.ip(), at_s, opened.sealed);
            }
            Datagram::Here(_) | Datagram::Gone { .. } => (),
        }
    }

    async fn keep_announcing(&self, announcer: Announcer, stop: CancellationToken) {
        loop {
            let subnets: Vec<_> = interfaces::subnets()
                .into_iter()
                .filter(|subnet| is_told(&announcer.addresses, subnet.ip.into()))
                .collect();
            let said = Instant::now();
            for subnet in &subnets {
                self.say(std::slice::from_ref(subnet), &announcer.to_datagram(Some(subnet.ip)));
            }
            let asked = async {
                tokio::time::sleep_until(said + AT_MOST_EVERY).await;
                self.shared.asked.notified().await;
            };
            // Many that start at once do not stay in step.
            let pause = INTERVAL.mul_f64(0.9 + 0.1 * fastrand::f64());
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let (cluster, node) = (announcer.cluster, announcer.node);
                    let gone = Datagram::Gone { cluster, node, at_s: wall_ms() / 1000 };
                    let keys = (announcer.now)().keys;
                    return self.say(&subnets, &datagram::write(gone, &keys));
                }
                () = asked => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn say(&self, subnets: &[Subnet], bytes: &[u8]) {
        for subnet in subnets {
            if let Err(error) = interfaces::say(*subnet, self.shared.config.port, bytes) {
                tracing::debug!(%error, ip = %subnet.ip, "cannot speak on a subnet");
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what can be dialled at one of these addresses is to be told on the subnet with this address
/// of the machine: loopback is told on loopback only.
fn is_told(addresses: &[LinkUrl], ip: IpAddr) -> bool {
    addresses.iter().any(|url| match url.host.parse::<IpAddr>() {
        Ok(host) if host.is_loopback() || ip.is_loopback() => host == ip,
        _ => !ip.is_loopback(),
    })
}
