//! What users of NkCLUSTER had to fear, scenario by scenario (M1 to M20): each on machines of their
//! own, which are network namespaces, with processes of the real binary. Which test shows which
//! scenario stands in `docs/reliability.md`.

mod clocks_in_namespaces;
mod control_nodes_in_namespaces;
mod crowds_in_namespaces;
mod herd;
mod lines_in_namespaces;
mod names_in_namespaces_with_dnsmasq;
mod strangers_in_namespaces;
mod tally;
mod workers_in_namespaces;
