//! Contacts the targets of fan-out runs, on a worker.
