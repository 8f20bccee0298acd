//! Which release of remuda a node runs, and what it can say to others.

/// The version of this build, as nodes announce it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A release: its version for people, and the newest protocol version for machines.
///
/// One number covers what crosses a link and what stands in the log and in snapshots; a cluster
/// writes the newer forms only once all its control nodes speak them (its *level*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// What people read.
    pub version: &'static str,
    /// The newest protocol version that it speaks; it speaks all older ones down to 1 too.
    pub protocol: u16,
}

impl Release {
    /// This build.
    pub const CURRENT: Self = Self { version: VERSION, protocol: 2 };

    /// The release before this one, for tests of rolling upgrades: a node that runs as it offers,
    /// understands and writes only what that release did.
    pub const PREVIOUS: Self = Self { version: "0.1.0", protocol: 1 };

    /// The protocol versions that it offers, best first.
    pub fn protocols(self) -> Vec<u16> {
        (1..=self.protocol).rev().collect()
    }
}

impl Default for Release {
    fn default() -> Self {
        Self::CURRENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_speaks_the_one_before() {
        assert_eq!(Release::PREVIOUS.protocols(), [1]);
        assert_eq!(Release::CURRENT.protocols(), [2, 1]);
        assert_eq!(Release::CURRENT.protocol, Release::PREVIOUS.protocol + 1);
        assert_ne!(Release::CURRENT.version, Release::PREVIOUS.version);
    }
}
