//! Clusters of several control nodes in one process.
