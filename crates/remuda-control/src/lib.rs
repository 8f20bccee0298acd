//! The control side of a node: replica, node proxies, ownership, use cases.
