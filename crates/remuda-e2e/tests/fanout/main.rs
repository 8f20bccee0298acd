//! Fan-out runs with real processes: what becomes of very many targets, whatever they do and
//! whoever dies meanwhile. Each ends with exactly one record, and all counts agree.

mod certificates;
mod course;
mod crowd;
mod disk;
mod doors;
mod field;
mod followed;
mod hostile;
mod line;
mod losses;
mod losses_at_most_once;
mod losses_at_speed;
mod openssh;
mod partition_in_namespaces;
mod polling;
mod refusals;
mod schedules;
mod sources;
mod takeover;
mod very_many;
mod width;
