//! Output of several nodes side by side: whole lines, each behind the name of its node.

/// Longest line that is kept back; a longer one is cut into several.
const MAX_LINE: usize = 64 * 1024;

/// Cuts one stream into lines and puts a prefix before each.
#[derive(Debug)]
pub(crate) struct LinePrefixer {
    prefix: String,
    line: Vec<u8>,
}

impl LinePrefixer {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, line: Vec::new() }
    }

    /// The whole lines that `bytes` complete, ready to be written at once.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE) {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") || self.line.len() >= MAX_LINE {
                    self.end_line(&mut out);
                }
            }
        }
        out
    }

    /// The last line, when no line feed ended it.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut out);
        }
        out
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.append(&mut self.line);
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_their_end() {
        let mut lines = LinePrefixer::new("dev1 | ".to_owned());
        assert_eq!(lines.push(b"a"), b"");
        assert_eq!(lines.push(b"b\nc\n\nd"), b"dev1 | ab\ndev1 | c\ndev1 | \n");
        assert_eq!(lines.finish(), b"dev1 | d\n");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut lines = LinePrefixer::new(String::new());
        let out = lines.push(&vec![b'x'; 3 * MAX_LINE]);
        assert_eq!(out.len(), 3 * (MAX_LINE + 1));
        assert!(lines.line.is_empty());
    }
}
