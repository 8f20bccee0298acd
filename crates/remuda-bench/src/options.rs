//! What the command line says about a measurement.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// Words, flags and values; what a measurement does not know is refused.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// What stands without a dash.
    pub(crate) words: Vec<String>,
    given: BTreeMap<String, String>,
}

impl Options {
    /// Reads the words after the name of the measurement. `--quick`, `--json` and `--rounds N` are
    /// always known.
    pub(crate) fn parse(words: &[&str], flags: &[&str], values: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if ["--quick", "--json"].contains(&word) || flags.contains(&word) {
                options.given.insert(word.to_owned(), String::new());
            } else if word == "--rounds" || values.contains(&word) {
                let value = words.next().with_context(|| format!("{word} needs a value"))?;
                options.given.insert(word.to_owned(), (*value).to_owned());
            } else if word.starts_with('-') {
                bail!("no option `{word}` here");
            } else {
                options.words.push(word.to_owned());
            }
        }
        Ok(options)
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.given.contains_key(flag)
    }

    /// A run that only shows that everything works.
    pub(crate) fn is_quick(&self) -> bool {
        self.has("--quick")
    }

    /// The text of an option.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// The number of an option; without it the first default, or the second in a quick run.
    pub(crate) fn number(&self, name: &str, default: usize, quick: usize) -> Result<usize> {
        match self.text(name) {
            Some(text) => text.parse().with_context(|| format!("{name} {text}")),
            None => Ok(if self.is_quick() { quick } else { default }),
        }
    }

    /// The numbers of an option, separated by commas.
    pub(crate) fn numbers(&self, name: &str, default: &[usize]) -> Result<Vec<usize>> {
        let Some(text) = self.text(name) else { return Ok(default.to_vec()) };
        let number = |one: &str| one.parse().with_context(|| format!("{name} {text}"));
        text.split(',').map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_refused() {
        let words = ["tcp", "--rounds", "7", "--quick", "--callers", "1,64"];
        let options = Options::parse(&words, &[], &["--callers"]).expect("known");
        assert_eq!(options.words, ["tcp"]);
        assert_eq!(options.number("--rounds", 5, 1).expect("a number"), 7);
        assert_eq!(options.number("--workers", 5, 1).expect("the default"), 1);
        assert_eq!(options.numbers("--callers", &[9]).expect("numbers"), [1, 64]);
        assert!(options.is_quick() && !options.has("--peers"));
        Options::parse(&["--peers"], &[], &[]).expect_err("not known here");
        Options::parse(&["--rounds"], &[], &[]).expect_err("no value");
    }
}
