//! The catalogue: every fault by its name.

use std::pin::Pin;

use super::{Field, World, crash, disk, network, proof, time};

/// A fault under way.
pub(super) type Acting<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in a line.
    pub about: &'static str,
    /// Where it happens.
    pub world: World,
    pub(super) act: for<'a> fn(&'a mut Field) -> Acting<'a>,
}

macro_rules! scenarios {
    ($($name:literal $world:ident $act:path => $about:literal,)*) => {
        vec![$(Scenario {
            name: $name,
            about: $about,
            world: World::$world,
            act: |field| Box::pin($act(field)),
        },)*]
    };
}

/// All faults, those of the same world in a row.
pub fn all() -> Vec<Scenario> {
    scenarios! {
        "leader-kill" Plain crash::leader_kill => "the leader is killed and comes back",
        "owner-kill" Plain crash::owner_kill => "the control node that owns a worker is killed",
        "all-kill" Plain crash::all_kill => "every agent is killed in the same moment",
        "agent-kill" Plain crash::agent_kill => "agents of workers are killed under running tasks",
        "pause" Plain crash::pause => "a control node is stopped for up to six seconds, then goes on",
        "partition" Plain network::partition => "control nodes cannot reach each other, in three ways",
        "one-way" Plain network::one_way => "a control node is heard and hears nothing, or the reverse",
        "worker-partition" Plain network::worker_partition => "a worker reaches no control node for 20 s",
        "flapping" Plain network::flapping => "a cable comes and goes every 50 ms to 1.5 s",
        "packet-loss" Plain network::packet_loss => "1, 5, 20 or 40 % of all packets get lost",
        "half-open" Plain network::half_open => "an agent dies and nobody hears of it; it comes back",
        "torn-log" Plain disk::torn_log => "the end of a control node's log is cut off",
        "corrupt" Plain disk::corrupt => "one bit of a control node's files flips",
        "membership" Members crash::membership => "two control nodes come and go while the leader dies",
        "reconnect-storm" Crowd network::reconnect_storm => "all connections of 15 nodes break at once",
        "power-cut" CutDisks disk::power_cut => "control nodes lose power, and all that was not synced",
        "disk-full" SmallDisks disk::full => "the disk of a control node is full",
        "slow-disk" BadDisks disk::slow => "each sync of a control node takes up to two seconds",
        "disk-error" BadDisks disk::error => "one sync of a control node's log fails",
        "clock-jumps" Clocks time::clock_jumps => "wall clocks jump by seconds to years",
    }
}

/// Clusters with a known flaw: a run that does not find it is worth nothing.
pub fn proofs() -> Vec<Scenario> {
    scenarios! {
        "lying-disk" CutDisks proof::lying_disk => "disks that lie about syncs lose power",
        "stale-reads" Plain proof::stale_reads => "reads of a cut-off node are taken for fresh ones",
    }
}

/// The fault of a name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().chain(proofs()).find(|scenario| scenario.name == name)
}
