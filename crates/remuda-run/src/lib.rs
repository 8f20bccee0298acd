//! The pure part of fan-out: what a run is made of, and how its targets are handed out.
