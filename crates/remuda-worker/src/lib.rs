//! The agent of a node: job classes, tasks, events, status.
