//! A network of machines: one network namespace for each, a switch between them, and rules that lose
//! what a test wants to be lost.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, unshare};

use crate::{
    Place,
    network::{CABLE, Namespace, require, run},
};

/// How the switch is called, in the network of the test itself.
const SWITCH: &str = "switch";
/// The address of the test itself. Faults never touch what it says and hears.
const TEST: &str = "10.77.0.254";

/// Runs a test in a network of its own, which nothing else on this machine can reach. A runtime is
/// at hand; [`Handle::current`](tokio::runtime::Handle::current) is it.
///
/// # Panics
///
/// As the test does, and when this process may not make networks.
pub fn in_private_network<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let alone = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("this test needs root (or CAP_SYS_ADMIN) to make network namespaces: {error}")
        });
        // The threads of the runtime are in the network of the one that makes them.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let _entered = runtime.enter();
        test()
    };
    match thread::scope(|scope| scope.spawn(alone).join()) {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Machines on one switch. It lives in a [private network](in_private_network).
#[derive(Debug)]
pub struct Lan {
    machines: BTreeMap<String, Machine>,
}

#[derive(Debug)]
struct Machine {
    namespace: Namespace,
    /// Whose packets it never gets.
    deaf_to: Vec<String>,
    /// How much of what it should get is lost, in percent.
    loss: u32,
    /// Whether it tells everybody that it knows of no connection.
    resets: bool,
}

impl Lan {
    /// A switch without machines.
    ///
    /// # Panics
    ///
    /// When this process may not make it, with words on what is missing.
    pub fn new() -> Self {
        require("ip", "iproute2");
        require("nft", "nftables");
        run("ip", &["link", "add", SWITCH, "type", "bridge"]);
        run("ip", &["address", "add", &format!("{TEST}/24"), "dev", SWITCH]);
        for interface in ["lo", SWITCH] {
            run("ip", &["link", "set", interface, "up"]);
        }
        Self { machines: BTreeMap::new() }
    }

    /// Connects another machine.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn add(&mut self, name: &str) {
        let number = self.machines.len() + 1;
        let namespace = Namespace::make(name, format!("10.77.0.{number}"));
        let port = port(number);
        run(
            "ip",
            &[
                "link",
                "add",
                &port,
                "type",
                "veth",
                "peer",
                "name",
                CABLE,
                "netns",
                namespace.name(),
            ],
        );
        run("ip", &["link", "set", &port, "master", SWITCH, "up"]);
        namespace.connect();
        let machine = Machine { namespace, deaf_to: Vec::new(), loss: 0, resets: false };
        self.machines.insert(name.to_owned(), machine);
    }

    /// Where processes of a machine run.
    ///
    /// # Panics
    ///
    /// When there is no such machine.
    pub fn place(&self, name: &str) -> Place {
        self.machine(name).namespace.place()
    }

    /// The address of a machine.
    ///
    /// # Panics
    ///
    /// When there is no such machine.
    pub fn address(&self, name: &str) -> String {
        self.machine(name).namespace.address().to_owned()
    }

    /// From now on a machine sends so many megabits a second.
    ///
    /// # Panics
    ///
    /// When there is no such machine.
    pub fn slow(&self, name: &str, megabits: u32) {
        self.machine(name).namespace.slow(megabits);
    }

    /// Gives a machine this address on the cable instead of the one that it has.
    ///
    /// # Panics
    ///
    /// When there is no such machine.
    pub fn renumber(&mut self, name: &str, address: &str) {
        self.machine_mut(name).namespace.renumber(address);
    }

    /// Gives the test itself one more address, which ends in this number.
    ///
    /// # Panics
    ///
    /// When somebody has it already.
    pub fn stranger(&self, number: u8) -> Ipv4Addr {
        assert!(usize::from(number) > self.machines.len(), "a machine has number {number}");
        let address = Ipv4Addr::new(10, 77, 0, number);
        run("ip", &["address", "add", &format!("{address}/24"), "dev", SWITCH]);
        address
    }

    /// How the network of a machine is called.
    pub(crate) fn namespace(&self, name: &str) -> &str {
        self.machine(name).namespace.name()
    }

    fn machine(&self, name: &str) -> &Machine {
        self.machines.get(name).unwrap_or_else(|| panic!("no machine {name}"))
    }

    fn machine_mut(&mut self, name: &str) -> &mut Machine {
        self.machines.get_mut(name).unwrap_or_else(|| panic!("no machine {name}"))
    }

    /// From now on nothing that these say reaches those.
    pub fn mute(&mut self, these: &[String], those: &[String]) {
        let addresses: Vec<String> = these.iter().map(|name| self.address(name)).collect();
        for name in those {
            self.machine_mut(name).deaf_to.extend(addresses.iter().cloned());
            self.apply(name);
        }
    }

    /// From now on neither side hears anything of the other, without a word.
    pub fn cut(&mut self, these: &[String], those: &[String]) {
        self.mute(these, those);
        self.mute(those, these);
    }

    /// From now on every machine loses so much, in percent, of what the others say.
    pub fn lose(&mut self, percent: u32) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            self.machine_mut(&name).loss = percent;
            self.apply(&name);
        }
    }

    /// From now on these end every connection with other machines as soon as they hear of it.
    pub fn reset(&mut self, these: &[String]) {
        for name in these {
            self.machine_mut(name).resets = true;
            self.apply(name);
        }
    }

    /// The network is whole again.
    pub fn heal(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let machine = self.machine_mut(&name);
            if machine.deaf_to.is_empty() && machine.loss == 0 && !machine.resets {
                continue;
            }
            machine.deaf_to.clear();
            machine.loss = 0;
            machine.resets = false;
            self.apply(&name);
        }
    }

    fn apply(&self, name: &str) {
        let machine = self.machine(name);
        let mut rules = vec![format!("ip saddr {TEST} accept")];
        if !machine.deaf_to.is_empty() {
            rules.push(format!("ip saddr {{ {} }} drop", machine.deaf_to.join(", ")));
        }
        if machine.resets {
            rules.push(format!("iifname {CABLE} meta l4proto tcp reject with tcp reset"));
        }
        if machine.loss > 0 {
            rules.push(format!("iifname {CABLE} numgen random mod 100 < {} drop", machine.loss));
        }
        let table = format!(
            "table inet faults\ndelete table inet faults\ntable inet faults {{\n chain input {{\n  \
             type filter hook input priority -1\n  {}\n }}\n}}\n",
            rules.join("\n  ")
        );
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", machine.namespace.name(), "nft", "-f", "-"]);
        let mut nft = nft.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut input = nft.stdin.take().expect("piped");
        input.write_all(table.as_bytes()).expect("it reads");
        drop(input);
        let output = nft.wait_with_output().expect("it ends");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft refuses {table}: {words}");
    }
}

/// How the end of a machine's cable at the switch is called.
fn port(number: usize) -> String {
    format!("port{number}")
}

impl Drop for Lan {
    fn drop(&mut self) {
        // The ports would follow their machines, but only some time later.
        let ports = (1..=self.machines.len()).map(port);
        for link in ports.chain([SWITCH.to_owned()]) {
            drop(Command::new("ip").args(["link", "delete", &link]).status());
        }
    }
}

impl Default for Lan {
    fn default() -> Self {
        Self::new()
    }
}
