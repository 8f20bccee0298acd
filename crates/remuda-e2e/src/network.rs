//! Network namespaces: machines that reach each other only as a test wants.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::Place;

/// How the cable of a machine is called in its network.
pub(crate) const CABLE: &str = "cable";

/// A network of its own, with loopback and one cable; it is removed when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    address: String,
}

/// Two networks with a cable between them.
///
/// # Panics
///
/// When this process may not make them, with words on what is missing.
pub fn pair() -> (Namespace, Namespace) {
    let near = Namespace::make("a", "10.77.0.1".to_owned());
    let far = Namespace::make("b", "10.77.0.2".to_owned());
    // Made in the namespaces at once: nothing of it is ever seen in the network of this machine.
    let cable = ["link", "add", CABLE, "netns", &near.name, "type", "veth", "peer", "name", CABLE];
    run("ip", &[cable.as_slice(), &["netns", &far.name]].concat());
    near.connect();
    far.connect();
    (near, far)
}

impl Namespace {
    /// Makes one without a cable.
    pub(crate) fn make(side: &str, address: String) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        require("ip", "iproute2");
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("remuda-{}-{number}-{side}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self { name, address }
    }

    /// Gives the end of the cable that is in it its address.
    pub(crate) fn connect(&self) {
        let address = format!("{}/24", self.address);
        let inside = ["-n", self.name.as_str()];
        run("ip", &[inside.as_slice(), &["address", "add", &address, "dev", CABLE]].concat());
        for interface in ["lo", CABLE] {
            run("ip", &[inside.as_slice(), &["link", "set", interface, "up"]].concat());
        }
    }

    /// Takes its address away and gives it another one. Nothing that is open notices.
    pub(crate) fn renumber(&mut self, address: &str) {
        let old = format!("{}/24", std::mem::replace(&mut self.address, address.to_owned()));
        run("ip", &["-n", &self.name, "address", "delete", &old, "dev", CABLE]);
        self.connect();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the cable.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The processes that run in it.
    pub fn processes(&self) -> Vec<String> {
        let listed = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// For processes in it.
    pub fn place(&self) -> Place {
        Place::behind(&["ip", "netns", "exec", &self.name])
    }

    /// From now on nothing gets in over the cable but answers to what was asked from inside.
    pub fn refuse_incoming(&self) {
        self.rules(&format!(
            "table inet wall {{
                chain input {{
                    type filter hook input priority 0
                    iifname {CABLE} ct state established,related accept
                    iifname {CABLE} drop
                }}
            }}"
        ));
    }

    /// From now on nothing gets out over the cable but answers to what was asked from outside.
    pub fn refuse_outgoing(&self) {
        self.rules(&format!(
            "table inet cage {{
                chain output {{
                    type filter hook output priority 0
                    oifname {CABLE} ct state established,related accept
                    oifname {CABLE} drop
                }}
            }}"
        ));
    }

    /// From now on what it sends over the cable goes at so many megabits a second.
    pub fn slow(&self, megabits: u32) {
        require("tc", "iproute2");
        let rate = format!("{megabits}mbit");
        let shaped = ["-n", &self.name, "qdisc", "add", "dev", CABLE, "root", "tbf", "rate", &rate];
        run("tc", &[&shaped[..], &["burst", "64k", "latency", "50ms"]].concat());
    }

    /// From now on everything on the cable is lost, both ways and without a word.
    pub fn cut(&self) {
        self.rules(&format!(
            "table inet cut {{
                chain input {{
                    type filter hook input priority -1
                    iifname {CABLE} drop
                }}
                chain output {{
                    type filter hook output priority -1
                    oifname {CABLE} drop
                }}
            }}"
        ));
    }

    /// Ends a [`cut`](Self::cut).
    pub fn heal(&self) {
        self.rules("delete table inet cut");
    }

    fn rules(&self, rules: &str) {
        require("nft", "nftables");
        run("ip", &["netns", "exec", &self.name, "nft", rules]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Processes that still run in it keep its network, without a name.
        remove(&self.name);
    }
}

fn remove(name: &str) {
    let removed = Command::new("ip").args(["netns", "delete", name]).status();
    drop(removed);
}

/// Removes what killed tests have left.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix("remuda-").and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

/// Panics with the name of the package when a program is missing.
pub(crate) fn require(program: &str, package: &str) {
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    let found = directories.iter().any(|dir| Path::new(dir).join(program).exists());
    assert!(found, "this test needs `{program}`: apt-get install {package}");
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {}: {words}\nthis test needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) to make \
         network namespaces",
        arguments.join(" ")
    );
}
