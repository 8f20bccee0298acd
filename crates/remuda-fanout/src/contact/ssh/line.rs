//! What is run on a target, and what goes to its standard input: a function of the plan.
//!
//! A script is written to a file of its own, run, and removed by a trap of the shell that runs it,
//! however it ends, also when nobody hears any more what that shell says of it. The password of sudo
//! goes first over standard input, never into a command line, which every user of the target may read.
//! Where sudo does not ask for it, nothing else gets it.

use remuda_model::run::Sudo;

/// Ends what is meant for sudo on standard input.
const MARK: &str = "remuda:input-begins";

/// What is run, and with what on its standard input.
#[derive(PartialEq, Eq)]
pub(super) struct Line {
    pub(super) command: String,
    pub(super) input: Vec<u8>,
}

/// Puts a command together. `command` is the command line, or the arguments of `script`.
pub(super) fn line(
    command: &str,
    script: Option<&str>,
    sudo: Option<&Sudo>,
    password: Option<&str>,
) -> Line {
    let password = sudo.is_some_and(|sudo| sudo.password).then_some(password).flatten();
    if script.is_none() && sudo.is_none() {
        return Line { command: command.to_owned(), input: Vec::new() };
    }
    let mut inner = String::new();
    let mut input = Vec::new();
    if let Some(password) = password {
        input.extend([password, "\n", MARK, "\n"].concat().into_bytes());
        // Takes the password if sudo did not. `read` of a shell takes no byte after the line.
        inner += "while IFS= read -r line && [ \"$line\" != ";
        inner += &quoted(MARK);
        inner += " ]; do :; done; unset line; ";
    }
    match script {
        None => {
            inner += "exec </dev/null\n";
            inner += command;
        }
        Some(script) => {
            input.extend(script.as_bytes());
            inner += "umask 077; f=$(mktemp \"${TMPDIR:-/tmp}/remuda.XXXXXXXXXX\") || exit 126; \
                      trap 'rm -f \"$f\"' EXIT; trap 'exit 129' HUP; trap 'exit 130' INT; \
                      trap 'exit 141' PIPE; trap 'exit 143' TERM; \
                      cat >\"$f\" && chmod 700 \"$f\" || exit 126; </dev/null \"$f\" ";
            inner += command;
            inner += "\nexit $?";
        }
    }
    let shell = format!("sh -c {}", quoted(&inner));
    let command = match sudo {
        None => shell,
        Some(sudo) => {
            let user = quoted(sudo.user.as_deref().unwrap_or("root"));
            // With `-k` sudo asks although it has been told lately.
            let how = if password.is_some() { "-k -S -p ''" } else { "-n" };
            format!("sudo {how} -u {user} -- {shell}")
        }
    };
    Line { command, input }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Output, Stdio},
    };

    use proptest::prelude::*;

    use super::*;

    /// Runs a line as the shell of a target does, with a folder of its own for files, which must be
    /// empty afterwards.
    fn run(line: &Line, sudo: Option<&str>) -> Output {
        let folder = tempfile::tempdir().expect("a folder");
        let tools = tempfile::tempdir().expect("a folder");
        if let Some(sudo) = sudo {
            use std::os::unix::fs::PermissionsExt as _;
            let path = tools.path().join("sudo");
            std::fs::write(&path, sudo).expect("written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).expect("a program");
        }
        let path = std::env::var("PATH").expect("a path");
        let mut child = Command::new("sh")
            .args(["-c", &line.command])
            .env("TMPDIR", folder.path())
            .env("PATH", format!("{}:{path}", tools.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        // A command that does not read its input closes it.
        let _ = child.stdin.take().expect("a pipe").write_all(&line.input);
        let output = child.wait_with_output().expect("an end");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "a file was left behind");
        output
    }

    fn root(password: bool) -> Sudo {
        Sudo { user: None, password }
    }

    /// Reads its password as sudo does, byte by byte, and says how it was called.
    const ASKS: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do echo \"arg $1\" >&2; shift; done; shift\n\
                        IFS= read -r password; echo \"got $password\" >&2\nexec \"$@\"\n";
    /// Needs no password.
    const ASKS_NOT: &str =
        "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift\nexec \"$@\"\n";

    #[test]
    fn a_command_goes_as_it_is() {
        let plain = line("echo 'it''s'; exit 3", None, None, Some("p"));
        assert_eq!((plain.command.as_str(), plain.input.len()), ("echo 'it''s'; exit 3", 0));
    }

    #[test]
    fn a_script_gets_its_arguments_and_is_removed_however_it_ends() {
        let script = "#!/bin/sh\necho \"$# $1 $2\"; cat; ls -l \"$0\" >&2; exit 7\n";
        let output = run(&line("'a b' c # no more", Some(script), None, None), None);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "2 a b c\n");
        assert_eq!(output.status.code(), Some(7));
        assert!(output.stderr.starts_with(b"-rwx------"), "nobody else reads it");
        let killed = run(&line("", Some("kill -9 $$\n"), None, None), None);
        assert_eq!(killed.status.code(), Some(128 + 9));
        let unheard = run(&line("", Some("kill -PIPE $PPID\n"), None, None), None);
        assert_eq!(unheard.status.code(), Some(128 + 13));
    }

    #[test]
    fn a_script_may_be_long_and_binary() {
        let script = format!("#!/bin/sh\nexit 5\n{}", "\0\u{1}ü\n".repeat(100_000));
        assert_eq!(run(&line("", Some(&script), None, None), None).status.code(), Some(5));
    }

    #[test]
    fn sudo_gets_the_password_over_its_input_and_nobody_else_does() {
        for (sudo, asked) in [(ASKS, true), (ASKS_NOT, false)] {
            let command =
                line("echo it''s; cat; env; set", None, Some(&root(true)), Some("s3cret"));
            assert!(!command.command.contains("s3cret"));
            let output = run(&command, Some(sudo));
            let (out, err) = (
                String::from_utf8_lossy(&output.stdout).into_owned(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            );
            assert!(out.starts_with("its\n") && !out.contains("s3cret"), "{out}");
            assert_eq!(err.contains("got s3cret"), asked, "{err}");
            let script =
                line("x", Some("echo script $1; cat\n"), Some(&root(true)), Some("s3cret"));
            let output = run(&script, Some(sudo));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "script x\n");
        }
    }

    #[test]
    fn sudo_without_a_password_never_asks() {
        let user = Sudo { user: Some("www-data".to_owned()), password: false };
        let command = line("id", None, Some(&user), Some("s3cret"));
        assert!(command.command.starts_with("sudo -n -u 'www-data' -- sh -c "));
        assert_eq!(command.input, b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_word_stays_one_word(text in "[^\\x00]{0,40}") {
            let output = Command::new("sh").args(["-c", &format!("printf %s {}", quoted(&text))]).output();
            prop_assert_eq!(output.expect("a shell").stdout, text.as_bytes());
        }
    }
}
