//! A file on its way into this node.

use std::sync::Arc;

use bytes::Bytes;
use remuda_artifact::{Incoming, Placing, PlacingError, Receive, Wanted};
use remuda_model::Failure;
use remuda_wire::message::file::{Put, Target};

use super::{
    Files,
    leftovers::{Leftover, Leftovers},
};

/// A file on its way into this node. Dropped before its end, what came is kept for an hour.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// To a path.
    Path(Placing, Arc<Leftovers>, Leftover),
    /// To the content by digest.
    Store(Incoming),
}

impl Files {
    /// Prepares for a file: its whole path, when it goes to one, and how it arrives unless it is
    /// there already.
    pub(crate) async fn receive(
        &self,
        put: Put,
    ) -> Result<(Option<String>, Option<Arrival>), Failure> {
        let Put { digest, size, to, .. } = put;
        let (path, name, mode, overwrite) = match to {
            Target::Store => {
                return Ok(match self.artifacts.receive(&digest, size).await? {
                    Receive::Whole => (None, None),
                    Receive::Incoming(incoming) => (None, Some(Arrival::Store(incoming))),
                });
            }
            Target::Path { path, name, mode, overwrite } => (path, name, mode, overwrite),
        };
        let place = self.place(path, name).await?;
        let path = place.path().to_owned();
        let leftover = Leftover { path: path.clone(), digest: digest.clone() };
        // Before there is anything to be left: an agent that is killed finds it again.
        self.leftovers.note(&leftover).await?;
        let begun = Placing::begin(place, Wanted { digest, size, mode, overwrite }).await;
        match begun {
            Ok(Some(placing)) => {
                let arrival = Arrival::Path(placing, Arc::clone(&self.leftovers), leftover);
                Ok((Some(path), Some(arrival)))
            }
            Ok(None) => {
                self.leftovers.give_up(&self.roots, &leftover).await;
                Ok((Some(path), None))
            }
            // Somebody may go on when it has ended, or when there is room.
            Err(error @ (PlacingError::Busy | PlacingError::NoRoom { .. })) => Err(error.into()),
            Err(error) => {
                self.leftovers.give_up(&self.roots, &leftover).await;
                Err(error.into())
            }
        }
    }
}

impl Arrival {
    /// How many bytes are here: the next ones begin there.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::Path(placing, ..) => placing.held(),
            Self::Store(incoming) => incoming.held(),
        }
    }

    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Path(placing, ..) => Ok(placing.write(bytes).await?),
            Self::Store(incoming) => Ok(incoming.write(bytes).await?),
        }
    }

    /// All bytes have come.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Path(placing, leftovers, leftover) => {
                let placed = placing.finish().await;
                leftovers.strike(&leftover).await;
                Ok(placed?)
            }
            Self::Store(incoming) => Ok(incoming.finish().await?),
        }
    }

    /// No more comes for now.
    pub(crate) async fn pause(self) {
        match self {
            Self::Path(mut placing, ..) => drop(placing.flush().await),
            Self::Store(incoming) => drop(incoming.pause().await),
        }
    }

    /// It cannot come: takes away what is here.
    pub(crate) async fn discard(self) {
        match self {
            Self::Path(placing, leftovers, leftover) => {
                placing.discard().await;
                leftovers.strike(&leftover).await;
            }
            Self::Store(incoming) => drop(incoming),
        }
    }
}
