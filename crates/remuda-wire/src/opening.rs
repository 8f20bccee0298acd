//! The name under which a stream is opened: its protocol and, since version 2, whose work it is.
//!
//! A traced stream is opened as `PROTOCOL TRACEPARENT`, with one space between. Any stream may be
//! traced, on any hop; a stream that is not traced has the bytes of version 1. A peer of version 1
//! is never told: its hop is missing in the trace, and nothing else.

use remuda_model::TraceContext;

/// The first version whose streams may say which trace they belong to.
pub const TRACED: u16 = 2;

/// The name of a traced stream.
pub fn traced(protocol: &str, trace: &TraceContext) -> String {
    format!("{protocol} {trace}")
}

/// What the name of a stream says. A name that is not understood is a protocol that nobody knows.
pub fn read(name: String) -> (String, Option<TraceContext>) {
    let said = name.split_once(' ').and_then(|(protocol, trace)| {
        let trace: TraceContext = trace.parse().ok()?;
        Some((protocol.to_owned(), trace))
    });
    match said {
        Some((protocol, trace)) => (protocol, Some(trace)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::WORK;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_bytes_of_a_traced_name_never_change() {
        let trace = TRACE.parse().expect("a context");
        let name = traced(WORK, &trace);
        assert_eq!(name, "remuda/work/1 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(read(name), (WORK.to_owned(), Some(trace)));
    }

    #[test]
    fn other_names_are_protocols() {
        for name in [WORK, "", " ", "a b", &format!("a {TRACE} "), &format!("a  {TRACE}")] {
            assert_eq!(read(name.to_owned()), (name.to_owned(), None));
        }
    }
}
