//! Makes remote text harmless for a terminal: what a node prints must not move the cursor, change
//! the title or hide what came before.

use std::fmt::Write as _;

/// Escapes control characters in a stream of bytes; line feeds and tabs pass.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// The beginning of a character whose end has not arrived.
    pending: Vec<u8>,
}

impl Escaper {
    /// Appends the harmless form of `bytes` to `out`. An incomplete character at the end waits.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = if self.pending.is_empty() {
            bytes
        } else {
            self.pending.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.pending);
            joined.as_slice()
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.push_text(text, true, out),
                Err(error) => {
                    let (valid, bad) = rest.split_at(error.valid_up_to());
                    let text = std::str::from_utf8(valid).expect("checked just now");
                    self.push_text(text, false, out);
                    let Some(length) = error.error_len() else {
                        self.pending = bad.to_vec();
                        return;
                    };
                    push_bytes(&bad[..length], out);
                    rest = &bad[length..];
                }
            }
        }
    }

    /// Appends what still waits.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let pending = std::mem::take(&mut self.pending);
        if pending == b"\r" {
            out.extend_from_slice(b"\\r");
        } else {
            push_bytes(&pending, out);
        }
    }

    fn push_text(&mut self, text: &str, is_last: bool, out: &mut Vec<u8>) {
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\n' | '\t' => out.push(char as u8),
                // A line end of two characters passes; anything else would overwrite the line.
                '\r' if chars.peek() == Some(&'\n') => out.push(b'\r'),
                '\r' if is_last && chars.peek().is_none() => self.pending = b"\r".to_vec(),
                '\r' => out.extend_from_slice(b"\\r"),
                _ if is_harmful(char) => out.extend_from_slice(escaped(char).as_bytes()),
                _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

/// Escapes a text that has to stay on one line.
pub(crate) fn escape_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_harmful(char) => out.push_str(&escaped(char)),
            _ => out.push(char),
        }
    }
    out
}

/// The same JSON without characters that do something to a terminal. They can only stand in strings,
/// where JSON has another way to write them.
pub(crate) fn escape_json(json: String) -> String {
    let harmful = |char: char| char != '\n' && is_harmful(char);
    if !json.contains(harmful) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for char in json.chars() {
        if harmful(char) {
            // All of them have at most four digits.
            // Writing to a text does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
    }
    out
}

/// Control characters, and those that turn the direction of writing.
fn is_harmful(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(char: char) -> String {
    let code = u32::from(char);
    if code < 0x100 { format!("\\x{code:02x}") } else { format!("\\u{{{code:x}}}") }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(chunks: &[&[u8]]) -> String {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        for chunk in chunks {
            escaper.push(chunk, &mut out);
        }
        escaper.finish(&mut out);
        String::from_utf8(out).expect("escaped text is UTF-8")
    }

    #[test]
    fn what_passes_and_what_does_not() {
        for (bytes, expected) in [
            ("plain\ttext\n".as_bytes(), "plain\ttext\n"),
            ("größe".as_bytes(), "größe"),
            (b"\x1b[2J\x07", "\\x1b[2J\\x07"),
            (b"one\r\ntwo\rthree\r", "one\r\ntwo\\rthree\\r"),
            ("\u{9b}31m".as_bytes(), "\\x9b31m"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            (b"\xff\xfeok", "\\xff\\xfeok"),
            (b"\x7f\0", "\\x7f\\x00"),
        ] {
            assert_eq!(escaped(&[bytes]), expected);
        }
    }

    #[test]
    fn chunks_may_cut_anywhere() {
        let bytes = "ä\r\n€\u{1b}𝄞\r\u{9b}".as_bytes();
        let whole = escaped(&[bytes]);
        for cut in 0..=bytes.len() {
            assert_eq!(escaped(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(escaped(&single), whole);
        assert_eq!(escaped(&[b"\xe2\x82"]), "\\xe2\\x82");
    }

    #[test]
    fn harmless_json_means_the_same() {
        let text = "a\u{9b}31m\u{7f}\u{202e}b\u{1b}\n";
        for json in [
            serde_json::to_string(&[text]).expect("a text"),
            serde_json::to_string_pretty(&[text]).expect("a text"),
        ] {
            let harmless = escape_json(json);
            assert!(!harmless.contains(|char| char != '\n' && is_harmful(char)), "{harmless:?}");
            let back: Vec<String> = serde_json::from_str(&harmless).expect("JSON");
            assert_eq!(back, [text]);
        }
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(escape_line("a\nb\r\t\u{1b}"), "a\\nb\\r\\t\\x1b");
    }
}
