//! Lines of a configuration file.

use super::WrongLine;

/// Marks a line that belongs to the one before; decoration.
const MARK: &str = "```";

/// The lines of a file, one after the other.
pub(super) struct Lines<'a> {
    file: &'static str,
    rest: std::str::Lines<'a>,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'static str, text: &'a str) -> Self {
        Self { file, rest: text.lines(), line: 0 }
    }

    /// The next line that says something, trimmed, with its number. Comments begin with `%`; lines
    /// with `#`, which the files of old have as well, were passed over too.
    pub(super) fn head(&mut self) -> Option<(usize, &'a str)> {
        loop {
            let line = self.rest.next()?.trim();
            self.line += 1;
            if !line.is_empty() && !line.starts_with(['%', '#']) && !line.starts_with(MARK) {
                return Some((self.line, line));
            }
        }
    }

    /// The line right after, whatever it says, trimmed and without its mark.
    pub(super) fn after(&mut self, what: &str) -> Result<String, WrongLine> {
        let line = self.rest.next().ok_or_else(|| {
            WrongLine::new(self.file, self.line, format!("the file ends before {what}"))
        })?;
        self.line += 1;
        Ok(line.trim().replace(MARK, ""))
    }

    /// The lines between two markers, which need not follow at once, trimmed and without marks;
    /// empty ones and comments are left out.
    pub(super) fn list(
        &mut self,
        start: &str,
        end: &str,
    ) -> Result<Vec<(usize, String)>, WrongLine> {
        let began = self.line;
        loop {
            let line = self.after(&format!("`{start}`"))?;
            if line.eq_ignore_ascii_case(start) {
                break;
            }
            if !line.is_empty() && !line.starts_with('%') {
                let reason = format!("expected `{start}` after line {began}");
                return Err(WrongLine::new(self.file, self.line, reason));
            }
        }
        let mut list = Vec::new();
        loop {
            let line = self.after(&format!("`{end}`"))?;
            if line.eq_ignore_ascii_case(end) {
                return Ok(list);
            }
            if line.eq_ignore_ascii_case(start) {
                let reason = format!("`{start}` before the `{end}` of the list above");
                return Err(WrongLine::new(self.file, self.line, reason));
            }
            if !line.is_empty() && !line.starts_with('%') {
                list.push((self.line, line));
            }
        }
    }
}
