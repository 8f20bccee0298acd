//! The deciding parts without the actors that perform what they decide, for the simulator. No
//! stable interface.

pub use crate::{
    announce::{Process, Situation, place},
    events::{
        ring::{Batch, Measured, Ring},
        sequence::{NOT_HERE, Sequence, said_by_owner},
    },
    membership::core::{Known, Membership, Sight, Step},
    ownership::{History, place as place_of},
    proxies::{
        core::{Core as Proxy, Effect, Facts, Hello, Input, Place, Proposal},
        pace::Pace,
    },
};
