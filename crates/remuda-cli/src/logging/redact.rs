//! Takes secrets out of text that leaves the machine. Nothing of ours logs them; this is the second
//! lock.

/// How the secrets of a cluster begin: API tokens and join tokens.
const PREFIXES: [&str; 2] = ["rmt1.", "rmd1."];
/// Words whose value, after `=`, `:` or a space, is not passed on.
const WORDS: [&str; 5] = ["bearer", "password", "passphrase", "secret", "api_key"];

/// The text without tokens, and without the values of words such as `password`.
pub(crate) fn redact(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, keep)) = next_secret(rest) {
        let (before, secret) = rest.split_at(at + keep);
        safe.push_str(before);
        let end = secret.find(ends_secret).unwrap_or(secret.len());
        if end > 0 {
            safe.push_str("(hidden)");
        }
        rest = &secret[end..];
    }
    safe.push_str(rest);
    safe
}

/// Where the next secret begins: the place of the sign by which it is known, and how long that is.
fn next_secret(text: &str) -> Option<(usize, usize)> {
    let tokens = PREFIXES.iter().filter_map(|prefix| Some((text.find(prefix)?, prefix.len())));
    let lower = text.to_ascii_lowercase();
    let words = WORDS.iter().filter_map(|word| {
        let mut from = 0;
        while let Some(found) = lower.get(from..)?.find(word) {
            let at = from + found;
            let after = at + word.len();
            let signs = lower[after..].find(|sign| !"=: \"'".contains(sign))?;
            // `secret` in the midst of a sentence has a value that nobody minds losing.
            if signs > 0 {
                return Some((at, word.len() + signs));
            }
            from = after;
        }
        None
    });
    tokens.chain(words).min()
}

fn ends_secret(sign: char) -> bool {
    sign.is_whitespace() || "\"'`,;)}]".contains(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_do_not_pass() {
        for (text, safe) in [
            ("nothing to hide", "nothing to hide"),
            ("token `rmt1.abc.d-_f`, then", "token `rmt1.(hidden)`, then"),
            ("rmd1.a rmd1.b", "rmd1.(hidden) rmd1.(hidden)"),
            ("Authorization: Bearer xyz end", "Authorization: Bearer (hidden) end"),
            ("password=\"hunter2\" ok", "password=\"(hidden)\" ok"),
            ("the secretary speaks", "the secretary speaks"),
            ("größe secret=x", "größe secret=(hidden)"),
        ] {
            assert_eq!(redact(text), safe);
        }
    }
}
