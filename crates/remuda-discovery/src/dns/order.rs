//! In which order records are used.

use std::net::IpAddr;

use remuda_model::Transport;

use super::{Naptr, Srv};

/// What a rule leads to, if this program can follow it. The services of NkCLUSTER are known too.
pub(super) fn transport(rule: &Naptr) -> Option<Transport> {
    if !rule.flags.eq_ignore_ascii_case("s") || !rule.regexp.is_empty() {
        return None;
    }
    let services = rule.services.to_ascii_lowercase();
    Some(match services.as_str() {
        "remudas+d2t" | "nks+d2t" => Transport::Tls,
        "remuda+d2t" | "nk+d2t" => Transport::Tcp,
        "remudas+d2w" | "nks+d2w" => Transport::Wss,
        "remuda+d2w" | "nk+d2w" => Transport::Ws,
        "remudas+d2u" => Transport::Quic,
        "remuda+d2s" | "nk+d2s" => Transport::Sctp,
        _ => return None,
    })
}

/// Servers by priority, and within one at random by weight (RFC 2782): each place goes to one of the
/// rest with a probability of its own weight over the sum of theirs; those of weight 0 come first in
/// the sum, so that they are chosen rarely and not never.
pub(super) fn by_weight(mut servers: Vec<Srv>, random: &mut fastrand::Rng) -> Vec<Srv> {
    random.shuffle(&mut servers);
    servers.sort_by_key(|server| (server.priority, server.weight != 0));
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(first) = servers.first() {
        let priority = first.priority;
        let group = servers.iter().take_while(|server| server.priority == priority);
        let weights: Vec<u64> = group.map(|server| u64::from(server.weight)).collect();
        let lowest = u64::from(!weights.contains(&0));
        let mark = random.u64(lowest..=weights.iter().sum());
        let sums = weights.iter().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let chosen = sums.take_while(|sum| *sum < mark).count();
        ordered.push(servers.remove(chosen));
    }
    ordered
}

/// Each kind of address shuffled, then one of each in turns, IPv4 first: where only one kind is
/// carried, at most every second attempt is in vain.
pub(super) fn in_turns(addresses: &[IpAddr], random: &mut fastrand::Rng) -> Vec<IpAddr> {
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(IpAddr::is_ipv4);
    random.shuffle(&mut first);
    random.shuffle(&mut second);
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|at| [first.get(at), second.get(at)]).flatten().copied().collect()
}
