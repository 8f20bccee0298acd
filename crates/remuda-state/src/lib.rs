//! The replicated state of a cluster: changes, apply, queries, invariants.
