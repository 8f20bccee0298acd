//! The context by which work is followed from node to node: W3C Trace Context, level 1.

use std::{fmt, str::FromStr};

/// The bit of the flags that asks for the spans to be exported.
const SAMPLED: u8 = 1;
/// The length of a `traceparent`, in bytes.
const LENGTH: usize = 55;

/// Which trace some work belongs to, and which span of it asked for the work.
///
/// Written as a `traceparent`, which is what travels:
///
/// ```
/// use remuda_model::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<_, remuda_model::ParseTraceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace: [u8; 16],
    /// The span within it; never zero.
    pub span: [u8; 8],
    /// Bit 0: the spans are to be exported. Others are passed on.
    pub flags: u8,
}

impl TraceContext {
    /// The first span of a new trace.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness.
    pub fn root(sampled: bool) -> Self {
        let mut trace = [0; 16];
        getrandom::fill(&mut trace).expect("the operating system gives randomness");
        // Zero would mean "no trace".
        trace[0] |= u8::from(trace == [0; 16]);
        Self { trace, span: span_id(), flags: u8::from(sampled) * SAMPLED }
    }

    /// Another span of the same trace.
    ///
    /// # Panics
    ///
    /// As [`root`](Self::root).
    pub fn child(self) -> Self {
        Self { span: span_id(), ..self }
    }

    /// Whether its spans are to be exported.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace as people and collectors write it: 32 hexadecimal digits.
    pub fn trace_id(&self) -> Hex<'_> {
        Hex(&self.trace)
    }

    /// The span as collectors write it: 16 hexadecimal digits.
    pub fn span_id(&self) -> Hex<'_> {
        Hex(&self.span)
    }
}

fn span_id() -> [u8; 8] {
    let mut span = [0; 8];
    getrandom::fill(&mut span).expect("the operating system gives randomness");
    span[0] |= u8::from(span == [0; 8]);
    span
}

/// Bytes in hexadecimal, lower case.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.flags)
    }
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace context is written as 00-<32 hexadecimal digits>-<16>-<2>")]
pub struct ParseTraceError;

impl FromStr for TraceContext {
    type Err = ParseTraceError;

    /// Reads a `traceparent`. One of a later version may be longer: what is known is read.
    fn from_str(text: &str) -> Result<Self, ParseTraceError> {
        read(text.as_bytes()).ok_or(ParseTraceError)
    }
}

fn read(text: &[u8]) -> Option<TraceContext> {
    let (known, more) = text.split_at_checked(LENGTH)?;
    let [version] = hex(known.get(..2)?)?;
    let is_known = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.first().is_none_or(|next| *next == b'-'),
    };
    let dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
    let context = TraceContext {
        trace: hex(known.get(3..35)?)?,
        span: hex(known.get(36..52)?)?,
        flags: hex::<1>(known.get(53..55)?)?[0],
    };
    let is_one = context.trace != [0; 16] && context.span != [0; 8];
    (is_known && dashes && is_one).then_some(context)
}

/// Lower case only, as the standard wants it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(later.parse::<TraceContext>(), GOOD.parse());
        assert!((GOOD.replacen("00", "01", 1) + "more").parse::<TraceContext>().is_err());
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let root = TraceContext::root(true);
        let child = root.child();
        assert_eq!((child.trace, child.flags), (root.trace, root.flags));
        assert_ne!(child.span, root.span);
        assert!(!TraceContext::root(false).is_sampled());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                let written = context.to_string();
                prop_assert_eq!(written.get(2..), text.get(2..LENGTH));
            }
        }

        #[test]
        fn what_is_written_is_read(trace: [u8; 16], span: [u8; 8], flags: u8) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let context = TraceContext { trace, span, flags };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }
    }
}
