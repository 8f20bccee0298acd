//! The traits that extend a cluster: job classes and their tasks.
