//! Targets in a table.

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::{Collector, Place};
use crate::{
    shortened,
    target::{MAX_VARS, Target, VAR_NAME_RULE, is_var_name},
};

/// What the column of the hosts may be called unless a name is given.
const HOST_COLUMNS: [&str; 2] = ["host", "target"];

pub(super) fn read(collector: &mut Collector, text: &str, host_column: Option<&str>) {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let head = match reader.headers() {
        Ok(head) => head.clone(),
        Err(error) => return collector.wrong(Place::Line(1), error),
    };
    let Some(columns) = Columns::of(collector, &head, host_column) else { return };
    let mut row = StringRecord::new();
    loop {
        match reader.read_record(&mut row) {
            Ok(false) => return,
            Ok(true) => {
                let place = line_of(row.position());
                let vars = columns.vars.iter().filter_map(|&(at, name)| {
                    row.get(at).filter(|value| !value.is_empty()).map(|value| (name, value))
                });
                collector.add(place, Target::new(&row[columns.host], vars));
            }
            Err(error) => {
                let place = line_of(error.position());
                match error.kind() {
                    ErrorKind::UnequalLengths { expected_len, len, .. } => collector.wrong(
                        place,
                        format_args!("{len} columns, but the head row has {expected_len}"),
                    ),
                    _ => collector.wrong(place, error),
                }
            }
        }
        if collector.is_full() {
            return;
        }
    }
}

/// Which column is what.
struct Columns<'a> {
    host: usize,
    vars: Vec<(usize, &'a str)>,
}

impl<'a> Columns<'a> {
    /// Reads the head row; nothing if it is wrong, and then that is noted.
    fn of(
        collector: &mut Collector,
        head: &'a StringRecord,
        host_column: Option<&str>,
    ) -> Option<Self> {
        let place = Place::Line(1);
        let host = head.iter().position(|name| match host_column {
            Some(wanted) => name == wanted,
            None => HOST_COLUMNS.iter().any(|known| name.eq_ignore_ascii_case(known)),
        });
        let Some(host) = host else {
            let names: Vec<_> = head.iter().take(MAX_VARS).map(shortened).collect();
            let wanted = host_column.map_or("`host`".to_owned(), |n| format!("`{}`", shortened(n)));
            let found = names.join("`, `");
            collector.wrong(place, format_args!("no column {wanted}: there are `{found}`"));
            return None;
        };
        let vars: Vec<_> = head.iter().enumerate().filter(|&(at, _)| at != host).collect();
        let mut good = true;
        for &(at, name) in &vars {
            let column = at + 1;
            if !is_var_name(name) {
                let name = shortened(name);
                collector.wrong(
                    place,
                    format_args!(
                        "column {column}: `{name}` is no name of a variable: {VAR_NAME_RULE}"
                    ),
                );
                good = false;
            }
        }
        good.then_some(Self { host, vars })
    }
}

/// What stands between the columns.
fn delimiter(text: &str) -> u8 {
    let head = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|&byte| head.as_bytes().contains(&byte)).unwrap_or(b',')
}

fn line_of(position: Option<&csv::Position>) -> Place {
    position.map_or(Place::All, |position| Place::Line(position.line()))
}
