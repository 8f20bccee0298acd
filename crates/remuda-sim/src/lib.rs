//! Whole clusters from one seed: simulated network, disks, clocks and crashes, with invariants.
//!
//! Real are the replicas (`remuda-store` with its Raft library, its log, its guard and its
//! membership), the replicated state, and the deciding parts of workers and control nodes. Simulated
//! are the network, the disks, time, and the actors that perform what was decided. One thread, one
//! seed, one order of everything: a run can be repeated exactly.
//!
//! | module | does |
//! |---|---|
//! | `executor`, `world`, `trace`, `run` | one run |
//! | `scenario`, `faults`, `fleet` | what is tried |
//! | `net`, `way`, `disk` | network and disks |
//! | `control`, `api`, `members`, `owners`, `attach`, `proxy` | a control node |
//! | `worker` | a worker |
//! | `clients`, `work`, `watchers` | users |
//! | `oracle`, `registers`, `ledger` | what must be true |
//! | `mutant` | mistakes that must be found |

#![expect(
    clippy::disallowed_methods,
    reason = "queues of a simulated host live as long as a short run; the product's own are bounded"
)]

mod api;
mod attach;
mod clients;
mod control;
mod disk;
mod executor;
mod faults;
mod fleet;
mod ledger;
mod members;
mod mutant;
mod net;
mod oracle;
mod owners;
mod proxy;
mod registers;
mod run;
mod scenario;
mod trace;
mod watchers;
mod way;
mod work;
mod worker;
mod world;

pub use mutant::Mutant;
pub use run::{Report, run};
pub use world::Violation;
