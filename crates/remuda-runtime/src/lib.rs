//! Clock, supervisor, shutdown and back-off, shared by every actor.
