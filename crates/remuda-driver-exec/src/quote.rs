//! A command line for people to read and to paste into a shell.

/// The longest line that is made, in bytes.
const MAX: usize = 1024;

/// Joins arguments so that a shell would take them apart again. Long lines end in `…`.
pub(crate) fn command_line(argv: &[String]) -> String {
    let mut line = String::new();
    for (at, argument) in argv.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        quote(&mut line, argument);
        if line.len() > MAX {
            let end = (0..=MAX).rev().find(|&end| line.is_char_boundary(end));
            line.truncate(end.unwrap_or_default());
            line.push('…');
            break;
        }
    }
    line
}

fn quote(line: &mut String, argument: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        line.push_str(argument);
    } else if argument.chars().any(char::is_control) {
        // One line stays one line; no terminal is told what to do.
        line.push_str("$'");
        line.extend(argument.escape_default());
        line.push('\'');
    } else {
        line.push('\'');
        line.push_str(&argument.replace('\'', r"'\''"));
        line.push('\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(argv: &[&str]) -> String {
        command_line(&argv.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_needs_quotes_gets_them() {
        assert_eq!(line(&["ls", "-l", "/tmp/a b"]), "ls -l '/tmp/a b'");
        assert_eq!(line(&["sh", "-c", "echo it's"]), r"sh -c 'echo it'\''s'");
        assert_eq!(line(&["x", ""]), "x ''");
        assert_eq!(line(&["a\u{1b}[2J\n"]), r"$'a\u{1b}[2J\n'");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = line(&[&"ä".repeat(5000)]);
        assert!(line.ends_with('…') && line.len() <= MAX + 3);
    }
}
