//! Targets in lines and arguments.

use super::{Cidr, Collector, Pattern, Place};
use crate::target::Target;

/// Reads what is in one line or argument.
pub(super) fn read(collector: &mut Collector, place: Place, line: &str) {
    if collector.is_full() {
        return;
    }
    let line = line.trim();
    if line.starts_with('{') {
        collector.add(place, Target::parse_line(line));
        return;
    }
    // A host has no `#`, so it needs no escape.
    let hosts = line.split('#').next().unwrap_or_default();
    for word in Words(hosts) {
        read_word(collector, place, word);
    }
}

fn read_word(collector: &mut Collector, place: Place, word: &str) {
    let address_in_brackets = word.starts_with('[') && word.contains(':');
    if let Some(network) = Cidr::parse(word) {
        match network {
            Ok(network) => {
                let hosts = network.hosts().map(|address| address.to_string());
                expand(collector, place, network.count(), hosts);
            }
            Err(error) => collector.wrong(place, error),
        }
    } else if word.contains(['[', ']']) && !address_in_brackets {
        match Pattern::parse(word) {
            Ok(pattern) => expand(collector, place, pattern.count(), pattern.hosts()),
            Err(error) => collector.wrong(place, error),
        }
    } else {
        collector.add(place, Target::plain(word));
    }
}

fn expand(
    collector: &mut Collector,
    place: Place,
    count: u128,
    hosts: impl Iterator<Item = String>,
) {
    if !collector.has_room(place, count) {
        return;
    }
    for host in hosts {
        // What is wrong with one is wrong with most of the others too: say it once.
        if !collector.add(place, Target::plain(&host)) || collector.is_full() {
            return;
        }
    }
}

/// The words of a line: white space and commas are between them, unless in brackets.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let separates = |character: char| character.is_whitespace() || character == ',';
        let rest = self.0.trim_start_matches(separates);
        if rest.is_empty() {
            return None;
        }
        let mut inside = false;
        let end = rest.find(|character: char| {
            match character {
                '[' => inside = true,
                ']' => inside = false,
                _ => {}
            }
            !inside && separates(character)
        });
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        Some(word)
    }
}
