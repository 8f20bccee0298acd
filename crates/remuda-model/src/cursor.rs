//! Reading a short text character by character, for the small grammars of this crate.

/// A place in a text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
    taken: usize,
}

/// What is wrong, and at which character (counted from 1).
pub(crate) type Wrong = (usize, &'static str);

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, taken: 0 }
    }

    /// The number of the next character, counted from 1.
    pub(crate) fn at(&self) -> usize {
        self.taken + 1
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn take(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.rest = &self.rest[char.len_utf8()..];
        self.taken += 1;
        Some(char)
    }

    /// Takes `word` when it comes next.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        self.rest = rest;
        self.taken += word.chars().count();
        true
    }

    /// Takes all characters up to the first that does not fit.
    pub(crate) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char| !fits(char)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.taken += word.chars().count();
        word
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    /// Takes a text in double quotes, in which `\"` and `\\` stand for `"` and `\`.
    pub(crate) fn quoted(&mut self) -> Result<String, Wrong> {
        let open = self.at();
        if !self.eat("\"") {
            return Err((open, "expected `\"`"));
        }
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err((open, "this quote is never closed")),
                Some('"') => return Ok(text),
                Some('\\') => match self.take() {
                    Some(char @ ('"' | '\\')) => text.push(char),
                    _ => return Err((self.taken, "only `\"` and `\\` can follow `\\` in quotes")),
                },
                Some(char) => text.push(char),
            }
        }
    }
}

/// The four characters that separate words and are never part of a bare one.
pub(crate) fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// Writes a text in double quotes so that [`Cursor::quoted`] reads it back.
pub(crate) fn write_quoted(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    use std::fmt::Write as _;
    f.write_char('"')?;
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(char)?;
    }
    f.write_char('"')
}
