//! The replica: Raft over raft-log, state in memory, snapshots in checksummed files.
