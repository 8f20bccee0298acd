//! Which repositories and revisions may be named. Everything that `git` or `ssh` could take for an
//! option, a helper or another protocol is refused here, before either of them sees it.

use remuda_model::Failure;

/// The longest address, in bytes.
const MAX_URL: usize = 2048;

/// Checks the address of a repository.
///
/// # Errors
///
/// Names the field `url`, and what is allowed.
pub(super) fn check_url(url: &str, allow_file: bool) -> Result<(), Failure> {
    let refused = |why: &str| {
        let failure = Failure::invalid(format!("url: {why}")).code("url_refused");
        Err(failure.hint("give https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"))
    };
    if url.is_empty() || url.len() > MAX_URL {
        return refused("empty or too long");
    }
    if let Some(odd) = url.chars().find(|&char| !is_plain(char)) {
        let odd = odd.escape_default();
        return refused(&format!("`{odd}` may not be in it"));
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        return match scheme {
            "https" | "ssh" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                if path.is_empty() {
                    return refused("names no repository");
                }
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(user), host),
                    None => (None, authority),
                };
                if scheme == "https" && user.is_some() {
                    return refused("holds a user or a password, which everybody could read");
                }
                if user.is_some_and(|user| !is_user(user)) {
                    return refused("the user may be letters, digits, `.`, `_` and `-`");
                }
                if is_host_and_port(host) { Ok(()) } else { refused("no such host can be") }
            }
            "file" if allow_file && rest.starts_with('/') => Ok(()),
            _ => refused("only https and ssh are allowed"),
        };
    }
    // USER@HOST:PATH, as ssh has it.
    match url.split_once(':') {
        Some((login, path)) => {
            let Some((user, host)) = login.split_once('@') else {
                return refused("only https and ssh are allowed");
            };
            if !is_user(user) || !is_host(host) {
                return refused("no such user or host can be");
            }
            // `::` would name a helper of git.
            if path.is_empty() || path.starts_with(['-', ':']) {
                return refused("names no repository");
            }
            Ok(())
        }
        None => refused("only https and ssh are allowed"),
    }
}

/// Checks the name of a branch or a tag, or a full commit id.
///
/// # Errors
///
/// Names the field `revision`.
pub(super) fn check_revision(revision: &str) -> Result<(), Failure> {
    // What `git check-ref-format` says, and nothing that begins an option or a refspec.
    let is_wrong = revision.is_empty()
        || revision.len() > 255
        || revision == "@"
        || revision.starts_with(['-', '+', '/', '.'])
        || revision.ends_with(['/', '.'])
        || revision.contains("..")
        || revision.contains("//")
        || revision.contains("@{")
        || revision.contains("/.")
        || revision.split('/').any(|part| {
            std::path::Path::new(part).extension().is_some_and(|extension| extension == "lock")
        })
        || revision
            .chars()
            .any(|char| char.is_control() || char.is_whitespace() || "~^:?*[\\".contains(char));
    if is_wrong {
        return Err(Failure::invalid("revision: neither a branch, a tag nor a full commit id")
            .code("revision_refused"));
    }
    Ok(())
}

/// Whether a revision is the full id of a commit.
pub(super) fn is_commit(revision: &str) -> bool {
    matches!(revision.len(), 40 | 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The address of a repository of GitHub.
///
/// # Errors
///
/// Names the field `user` or `repo`.
pub(super) fn github(user: &str, repo: &str) -> Result<String, Failure> {
    for (field, name) in [("user", user), ("repo", repo)] {
        let is_name = (1..=100).contains(&name.len())
            && !name.starts_with(['-', '.'])
            && name.chars().all(is_word);
        if !is_name {
            return Err(Failure::invalid(format!(
                "{field}: not 1 to 100 letters, digits, `.`, `_` and `-`"
            )));
        }
    }
    let repo = repo.strip_suffix(".git").unwrap_or(repo);
    Ok(format!("https://github.com/{user}/{repo}.git"))
}

/// Checks the folder of the repository in which commands run.
///
/// # Errors
///
/// Names the field `dir`.
pub(super) fn check_dir(dir: &str) -> Result<(), Failure> {
    let is_wrong = dir.is_empty()
        || dir.len() > 4096
        || dir.starts_with('/')
        || dir.contains('\0')
        || dir.split('/').any(|part| part == ".." || part == ".git" || part.len() > 255);
    if is_wrong {
        return Err(Failure::invalid("dir: not a folder of the repository")
            .hint("give a path below the top of the repository, without `..`"));
    }
    Ok(())
}

fn is_plain(char: char) -> bool {
    char.is_ascii_graphic() && !"\"'`\\$<>{}|^*;()".contains(char)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || "._-".contains(char)
}

fn is_user(user: &str) -> bool {
    !user.is_empty() && !user.starts_with('-') && user.chars().all(is_word)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && !host.starts_with(['-', '.']) && host.chars().all(is_word)
}

fn is_host_and_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            is_port && port.parse::<u16>().is_ok_and(|port| port > 0) && is_host(host)
        }
        _ => is_host(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories_are_taken() {
        for url in [
            "https://github.com/user/repo.git",
            "https://git.example.com:8443/a/b/c",
            "https://[2001:db8::1]:8443/a",
            "https://192.0.2.7/~user/repo?ref=1",
            "ssh://git@github.com/user/repo",
            "ssh://host-1.example.com:2222/srv/git/repo.git",
            "git@github.com:user/repo.git",
            "user.name@host:path/to/repo",
        ] {
            assert!(check_url(url, false).is_ok(), "{url}");
        }
        assert!(check_url("file:///srv/repo", true).is_ok());
    }

    #[test]
    fn what_smuggles_something_is_refused_and_the_field_is_named() {
        for url in [
            "",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=calc",
            "--upload-pack=x",
            "ext::sh -c 'touch /tmp/x'",
            "ext::sh%20-c%20x",
            "fd::17/foo",
            "transport::https://host/path",
            "https::https://host/path",
            "file:///etc",
            "file://host/etc",
            "/etc/passwd",
            "../repo",
            "./-x:y",
            "repo",
            "http://host/repo",
            "git://host/repo",
            "ftp://host/repo",
            "HTTPS://host/repo",
            "https:/host/repo",
            "https://",
            "https://host",
            "https://host/",
            "https:///path",
            "https://user:secret@host/repo",
            "https://token@host/repo",
            "https://-oProxyCommand=calc/repo",
            "https://host:0/repo",
            "https://host:99999/repo",
            "https://host:/repo",
            "https://ho st/repo",
            "https://host/re po",
            "https://host/repo\n--upload-pack=x",
            "https://host/repo\r",
            "https://host/repo\0",
            "https://host/\u{202e}repo",
            "https://host/$(touch x)",
            "https://host/`x`",
            "https://[::1/repo",
            "https://[::1]x/repo",
            "ssh://-oProxyCommand=calc/x",
            "ssh://-oProxyCommand=calc@host/x",
            "ssh://git@-oProxyCommand=calc/x",
            "ssh://a:b@host/x",
            "ssh://host;touch/x",
            "git@host:-x",
            "git@host::x",
            "git@host:",
            "git@:path",
            "@host:path",
            "git@-host:path",
            "-git@host:path",
            "host:path",
            "C:\\repo",
            &format!("https://host/{}", "x".repeat(MAX_URL)),
        ] {
            let failure = check_url(url, false).expect_err(url);
            assert!(failure.message.starts_with("url: "), "{failure}");
            assert!(!failure.message.chars().any(char::is_control), "{failure:?}");
        }
        for url in ["file://etc", "file:/etc", "file://-x/y"] {
            assert!(check_url(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn revisions_are_names_or_commits() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for good in ["main", "v1.2.3", "feature/x", "refs/pull/1/head", "HEAD", commit, "größe"] {
            assert!(check_revision(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-b",
            "--upload-pack=x",
            "+main",
            "main:other",
            ":main",
            "a..b",
            "a b",
            "a\nb",
            "a\0",
            "a~1",
            "a^",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "@",
            "a@{1}",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.",
            "a.lock",
            "a.lock/b",
            &"x".repeat(256),
        ] {
            let failure = check_revision(bad).expect_err(bad);
            assert!(failure.message.starts_with("revision: "), "{failure}");
        }
        assert!(is_commit(commit) && !is_commit("main") && !is_commit(&commit[1..]));
    }

    #[test]
    fn github_has_users_and_repositories() {
        let url = github("user", "repo.git").expect("valid");
        assert_eq!(url, "https://github.com/user/repo.git");
        for (user, repo) in [("", "r"), ("-u", "r"), ("u/x", "r"), ("u", ".."), ("u", "r\n")] {
            assert!(github(user, repo).is_err(), "{user} {repo}");
        }
        assert!(github("u", "../x").expect_err("refused").message.starts_with("repo: "));
    }

    #[test]
    fn folders_stay_in_the_repository() {
        assert!(check_dir("a/b").is_ok() && check_dir("a b").is_ok());
        for bad in ["", "/etc", "..", "a/../..", "a/..", "a\0", ".git", "a/.git/hooks"] {
            assert!(check_dir(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_begins_an_option_or_names_a_helper(url: String) {
            if check_url(&url, false).is_ok() {
                assert!(url.starts_with("https://") || url.starts_with("ssh://") || url.contains('@'));
                assert!(!url.starts_with('-') && !url.contains(char::is_whitespace));
            }
        }

        #[test]
        fn no_revision_is_an_option_or_a_refspec(revision: String) {
            if check_revision(&revision).is_ok() {
                assert!(!revision.starts_with(['-', '+']) && !revision.contains(':'));
            }
        }
    }
}
