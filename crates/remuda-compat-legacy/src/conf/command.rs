//! `agentcommand.conf`: two lines for each command.

use std::collections::BTreeMap;

use remuda_model::run::Secret;

use super::{Lines, WrongLine};

pub(crate) const FILE: &str = "agentcommand.conf";
/// The headers of commands that name none.
pub(crate) const GLOBAL_HEADERS: &str = "SUPERMAN_GLOBAL";
/// Words of a command's first line, without that of its headers.
const WORDS: usize = 8;
/// Stands for no path, and for no body.
const NULL_URL: &str = "$NULL_URL";
const NO_BODY: &str = "$AM_FULL_CONTENT";

/// A request, or a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// Path and query; the user of `ssh`.
    pub(crate) postfix: String,
    /// At a time by each worker; not positive for the default.
    pub(crate) width: i64,
    /// Which characters of an answer are kept; negative for all.
    pub(crate) extract: (i64, i64),
    /// The id of its headers.
    pub(crate) headers: String,
    /// As it stands in the file.
    pub(crate) content: String,
    /// Where its first line is.
    pub(crate) line: usize,
}

/// How a command speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    /// With the password that stands where others name their headers.
    Ssh(Secret),
}

impl Protocol {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh(_) => "ssh",
        }
    }
}

impl Command {
    /// A command of its two lines.
    pub(crate) fn parse(head: &str, content: &str) -> Result<Self, String> {
        let words: Vec<&str> = head.split_whitespace().collect();
        if !(WORDS..=WORDS + 1).contains(&words.len()) {
            return Err(format!(
                "{} words; a command has 8 or 9: id, method, protocol, port, path, concurrency, two \
                 places of the answer, and its headers",
                words.len()
            ));
        }
        let method = words[1].to_ascii_uppercase();
        let is_ssh = words[2].eq_ignore_ascii_case("ssh");
        if !is_ssh && !matches!(&*method, "GET" | "POST" | "PUT" | "DELETE") {
            return Err(format!("`{}` is none of GET, POST, PUT and DELETE", words[1]));
        }
        let last = words.get(WORDS).copied();
        let (protocol, headers) = match &*words[2].to_ascii_lowercase() {
            "http" => (Protocol::Http, last.unwrap_or(GLOBAL_HEADERS)),
            "https" => (Protocol::Https, last.unwrap_or(GLOBAL_HEADERS)),
            "ssh" => {
                let password = last.ok_or("a command of `ssh` has its password as ninth word")?;
                (Protocol::Ssh(password.to_owned().into()), "SSH_PASSWORD_MASKED***")
            }
            other => return Err(format!("`{other}` is none of http, https and ssh")),
        };
        let port = words[3].parse().ok().filter(|port| *port > 0);
        let number = |at: usize| -> Result<i64, String> {
            words[at].parse().map_err(|_bad| format!("`{}` is no number", words[at]))
        };
        Ok(Self {
            id: words[0].to_owned(),
            method,
            protocol,
            port: port.ok_or_else(|| format!("`{}` is no port", words[3]))?,
            postfix: words[4].to_owned(),
            width: number(5)?,
            extract: (number(6)?, number(7)?),
            headers: headers.to_owned(),
            content: content.to_owned(),
            line: 0,
        })
    }

    /// Path and query, with their `/`; empty when there is none.
    pub(crate) fn path(&self) -> String {
        let path = self.postfix.replace(NULL_URL, "");
        if path.is_empty() || path.starts_with(['/', '?']) { path } else { format!("/{path}") }
    }

    /// The body, if there is one.
    pub(crate) fn body(&self) -> Option<String> {
        let body = self.content.replace(NO_BODY, "");
        (!body.is_empty()).then_some(body)
    }

    /// Whether targets get more time.
    pub(crate) fn is_slow(&self) -> bool {
        self.id.contains("SLOWNINGCLIENT")
    }
}

/// Reads the commands of a file, by their ids. A later one of the same id counts.
pub(crate) fn commands(text: &str) -> Result<BTreeMap<String, Command>, WrongLine> {
    let mut commands = BTreeMap::new();
    let mut constants: Vec<(String, String)> = Vec::new();
    let mut lines = Lines::new(FILE, text);
    while let Some((line, head)) = lines.head() {
        if head.eq_ignore_ascii_case("VARIABLES_PREDEFINED") {
            let (start, end) = ("VARIABLES_PREDEFINED_LIST_START", "VARIABLES_PREDEFINED_LIST_END");
            for (line, entry) in lines.list(start, end)? {
                let (name, value) = entry
                    .split_once('=')
                    .ok_or_else(|| WrongLine::new(FILE, line, "expected `${NAME}=value`"))?;
                constants.push((name.to_owned(), value.to_owned()));
            }
            continue;
        }
        let content = lines.after("the body of the command")?;
        let filled = |text: &str| {
            constants.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
        };
        let command = Command::parse(&filled(head), &filled(&content));
        let command = command.map_err(|reason| WrongLine::new(FILE, line, reason))?;
        commands.insert(command.id.clone(), Command { line, ..command });
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As REST Commander ships it, in part.
    const SHIPPED: &str = "      \n%Comments begin with%\nVARIABLES_PREDEFINED\n\
        ```VARIABLES_PREDEFINED_LIST_START\n\n${URL_VI}=/validateInternals.html\n\n\
        ```VARIABLES_PREDEFINED_LIST_END\n######## END CMS Update ######\n\n\
        GET_WEATHER POST http 80 /Weather.asmx 20 -1 -1 HEADER_PUBLIC_WEATHER\n\
        ```<ZIP>$APIVARREPLACE_ZIP_VAR</ZIP>\n\n\
        GET_FRONT_PAGE GET http 80 $NULL_URL 0 0 5000 SIMULATE_CHROME\n```$AM_FULL_CONTENT\n\n\
        GET_VI GET https 443 ${URL_VI} 0 -1 -1\n```$AM_FULL_CONTENT";

    #[test]
    fn what_was_shipped_is_read() {
        let commands = commands(SHIPPED).expect("commands");
        assert_eq!(commands.len(), 3);
        let weather = &commands["GET_WEATHER"];
        assert_eq!((weather.line, weather.width, weather.extract), (11, 20, (-1, -1)));
        assert_eq!(weather.body().as_deref(), Some("<ZIP>$APIVARREPLACE_ZIP_VAR</ZIP>"));
        let front = &commands["GET_FRONT_PAGE"];
        assert_eq!((front.path(), front.body()), (String::new(), None));
        assert_eq!((front.extract, &*front.headers), ((0, 5000), "SIMULATE_CHROME"));
        let internals = &commands["GET_VI"];
        assert_eq!(internals.path(), "/validateInternals.html");
        assert_eq!((&internals.protocol, &*internals.headers), (&Protocol::Https, GLOBAL_HEADERS));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, line, reason) in [
            ("A GET http 80 / 0 -1\n```", 1, "7 words"),
            ("\n%x\nA HEAD http 80 / 0 -1 -1\n```", 3, "`HEAD` is none"),
            ("A GET ftp 80 / 0 -1 -1\n```", 1, "`ftp` is none"),
            ("A GET http 0 / 0 -1 -1\n```", 1, "`0` is no port"),
            ("A GET http 80 / x -1 -1\n```", 1, "`x` is no number"),
            ("A GET ssh 22 root 0 -1 -1\n```uptime", 1, "its password"),
            ("A GET http 80 / 0 -1 -1", 1, "the file ends before the body"),
            ("VARIABLES_PREDEFINED\nA GET http 80 / 0 -1 -1\n```", 2, "expected `VARIABLES"),
            (
                "VARIABLES_PREDEFINED\nVARIABLES_PREDEFINED_LIST_START\n\n${A}\n\
              VARIABLES_PREDEFINED_LIST_END",
                4,
                "expected `${NAME}",
            ),
        ] {
            let error = commands(text).expect_err(text);
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().starts_with("agentcommand.conf, line"), "{error}");
            assert!(error.reason.contains(reason), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let command = Command::parse("A GET ssh 22 root 0 -1 -1 hunter2", "uptime").expect("one");
        assert!(!format!("{command:?}").contains("hunter2"));
        assert_eq!(command.protocol, Protocol::Ssh("hunter2".to_owned().into()));
    }
}
