//! Bytes over TCP, and what comes back.

use std::time::Duration;

use remuda_model::run::{TroubleKind, Until};
use remuda_run::check::TcpPlan;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Draft, Kept, Stop, Visit,
    connect::{Stream, connect},
    tls::Judge,
};

/// How much is read at a time.
const PIECE: usize = 16 << 10;

/// One attempt at one target.
pub(super) async fn run(
    plan: &TcpPlan,
    judge: Option<&Judge>,
    visit: &Visit<'_>,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let call = visit.fill(|values| plan.fill(values))?;
    let secure = match judge {
        None => None,
        Some(judge) => {
            let name = call.tls_name.as_deref().unwrap_or(visit.host());
            Some(judge.secure(name, visit.roots()).await?)
        }
    };
    let to = (visit.host(), call.port);
    let mut stream = connect(visit.gate(), to, secure, visit.connect_limit(), draft).await?;
    draft.body = Kept::up_to(plan.keep);
    draft.sends(call.send.is_empty());
    if !call.send.is_empty() {
        let sent = async {
            stream.write_all(call.send.as_bytes()).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| Stop::broken(&error))?;
    }
    let mut wanted = plan.expect.as_deref().map(Finder::new);
    read(&plan.until, &mut stream, visit.first_byte(), &mut draft.body, wanted.as_mut()).await?;
    match wanted {
        Some(finder) if !finder.found => {
            let message = format!("its answer lacks `{}`", finder.needle);
            Err(Stop::new(TroubleKind::Mismatch, message))
        }
        _ => Ok(()),
    }
}

async fn read(
    until: &Until,
    stream: &mut Stream,
    first_byte: Duration,
    kept: &mut Kept,
    mut wanted: Option<&mut Finder<'_>>,
) -> Result<(), Stop> {
    let mut end = End::new(until);
    if end.is_there() {
        return Ok(());
    }
    let mut piece = vec![0; PIECE];
    let mut is_first = true;
    loop {
        let read = stream.read(&mut piece);
        let read = match (until, is_first) {
            (Until::Idle(ms), _) => match timeout(super::limit(*ms), read).await {
                Ok(read) => read,
                Err(_idle) => return Ok(()),
            },
            (_, true) => timeout(first_byte, read).await.map_err(|_late| {
                let message = format!("no answer in {} ms", first_byte.as_millis());
                Stop::passing(TroubleKind::Timeout, message)
            })?,
            (_, false) => read.await,
        };
        let n = match read {
            Ok(n) => n,
            // Many peers do not say goodbye in TLS.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(Stop::broken(&error)),
        };
        is_first = false;
        if n == 0 {
            return end.at_close();
        }
        let part = end.take(&piece[..n]);
        if let Some(finder) = wanted.as_deref_mut() {
            finder.feed(&piece[..part]);
        }
        let goes_on = kept.push(&piece[..part]);
        if end.is_there() {
            return Ok(());
        }
        if !goes_on {
            return end.at_limit();
        }
    }
}

/// When an answer is whole.
enum End<'a> {
    /// Not before the connection closes, or is idle.
    Close,
    /// After so many bytes more.
    Bytes(usize),
    /// After this text, or a line.
    Text(Finder<'a>),
}

impl<'a> End<'a> {
    fn new(until: &'a Until) -> Self {
        match until {
            Until::Closed | Until::Idle(_) => Self::Close,
            Until::Connected => Self::Bytes(0),
            Until::Bytes(n) => Self::Bytes(usize::try_from(*n).unwrap_or(usize::MAX)),
            Until::Line => Self::Text(Finder::new("\n")),
            Until::Text(text) => Self::Text(Finder::new(text)),
        }
    }

    /// How many of these bytes belong to the answer.
    fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Close => bytes.len(),
            Self::Bytes(left) => {
                let part = bytes.len().min(*left);
                *left -= part;
                part
            }
            Self::Text(finder) => finder.feed(bytes).unwrap_or(bytes.len()),
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Self::Close => false,
            Self::Bytes(left) => *left == 0,
            Self::Text(finder) => finder.found,
        }
    }

    fn at_close(&self) -> Result<(), Stop> {
        let early = |lacks: String| {
            let message = format!("it closed the connection before {lacks}");
            Err(Stop::passing(TroubleKind::Closed, message))
        };
        match self {
            Self::Close => Ok(()),
            Self::Bytes(left) => early(format!("{left} more bytes")),
            Self::Text(finder) => early(format!("{:?}", finder.needle)),
        }
    }

    fn at_limit(&self) -> Result<(), Stop> {
        match self {
            Self::Close => Ok(()),
            _ => Err(Stop::new(TroubleKind::Mismatch, "its answer is too long without an end")),
        }
    }
}

/// Looks for a text in bytes that come in pieces.
struct Finder<'a> {
    needle: &'a str,
    /// The last bytes, one fewer than the needle has.
    tail: Vec<u8>,
    found: bool,
}

impl<'a> Finder<'a> {
    fn new(needle: &'a str) -> Self {
        Self { needle, tail: Vec::new(), found: false }
    }

    /// Where in these bytes the first needle ends, if it does and none has before.
    fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.found {
            return None;
        }
        let needle = self.needle.as_bytes();
        let before = self.tail.len();
        self.tail.extend_from_slice(bytes);
        if let Some(at) = self.tail.windows(needle.len()).position(|window| window == needle) {
            self.found = true;
            return Some(at + needle.len() - before);
        }
        let surplus = self.tail.len().saturating_sub(needle.len() - 1);
        self.tail.drain(..surplus);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However an answer is cut into pieces, it ends at the same byte.
        #[test]
        fn a_text_is_found_across_pieces(
            text in "[ab]{0,60}",
            needle in "[ab]{1,4}",
            cuts in prop::collection::vec(1..7_usize, 60),
        ) {
            let mut finder = Finder::new(&needle);
            let (mut rest, mut before, mut ended) = (text.as_bytes(), 0, None);
            for cut in cuts {
                let (piece, other) = rest.split_at(cut.min(rest.len()));
                ended = ended.or(finder.feed(piece).map(|at| before + at));
                before += piece.len();
                rest = other;
            }
            prop_assert_eq!(ended, text.find(&needle).map(|at| at + needle.len()));
            prop_assert_eq!(finder.found, ended.is_some());
        }
    }

    #[test]
    fn an_answer_ends_at_its_byte() {
        let mut end = End::new(&Until::Bytes(5));
        assert_eq!((end.take(b"abc"), end.is_there()), (3, false));
        assert_eq!((end.take(b"defg"), end.is_there()), (2, true));
        let mut end = End::new(&Until::Line);
        assert_eq!(end.take(b"220 hello\r\nmore"), 11);
        assert!(End::new(&Until::Connected).is_there());
    }
}
