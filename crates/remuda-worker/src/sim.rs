//! The deciding parts without the actors that perform what they decide, for the simulator. No
//! stable interface.

pub use crate::{
    epoch::{Verdict, judge},
    owner::core::{Core as OwnerCore, Effect as OwnerEffect, Far, Input as OwnerInput},
    spool::core::{
        Bounds as SpoolBounds, Core as SpoolCore, Effect as SpoolEffect, size as event_size,
    },
    status::Connection,
};
