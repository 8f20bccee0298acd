//! Whom a command becomes.

use std::{ffi::CString, path::PathBuf};

use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};
use remuda_model::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};

/// The numbers that the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// A user of the machine.
#[derive(Clone, Debug)]
pub(super) struct Account {
    name: String,
    pub(super) home: PathBuf,
    shell: Option<String>,
    /// Whom to become, unless the agent is that user already.
    pub(super) identity: Option<Identity>,
}

impl Account {
    /// The variables that a login would set.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let home = self.home.to_string_lossy().into_owned();
        let mut variables =
            vec![("HOME", home), ("LOGNAME", self.name.clone()), ("USER", self.name.clone())];
        variables.extend(self.shell.clone().map(|shell| ("SHELL", shell)));
        variables
    }
}

/// Looks up a user by name or number. May ask a directory service, and so block.
pub(super) fn account(text: &str) -> Result<Account, Failure> {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    let no_such_user = || {
        Failure::invalid(format!("user: no user `{shown}` on this node"))
            .hint("give the name or the number of a user that exists there")
    };
    if text.is_empty() || text.contains('\0') {
        return Err(no_such_user());
    }
    let unreadable = |error: nix::Error| {
        Failure::new(ErrorKind::Unavailable, format!("user: cannot look up `{shown}`: {error}"))
    };
    let user = User::from_name(text).map_err(unreadable)?;
    let user = match (user, text.parse::<u32>()) {
        (Some(user), _) => Some(user),
        (None, Ok(uid)) => User::from_uid(Uid::from_raw(uid)).map_err(unreadable)?,
        (None, Err(_)) => return Err(no_such_user()),
    };
    let Some(user) = user else {
        // A number without a name: its group is of the same number, as in containers.
        let uid: u32 = text.parse().map_err(|_not_a_number| no_such_user())?;
        // All ones means "do not change" to the kernel.
        if uid == u32::MAX {
            return Err(no_such_user());
        }
        let identity = Identity { uid, gid: uid, groups: vec![uid] };
        let account = Account {
            name: text.to_owned(),
            home: "/".into(),
            shell: None,
            identity: Some(identity),
        };
        return permitted(account, &shown);
    };
    let groups = CString::new(user.name.as_str())
        .map_err(|_zero_byte| nix::Error::EINVAL)
        .and_then(|name| getgrouplist(&name, user.gid))
        .map_err(unreadable)?;
    let identity = Identity {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    };
    let shell = user.shell.to_str().map(ToOwned::to_owned).filter(|shell| !shell.is_empty());
    permitted(Account { name: user.name, home: user.dir, shell, identity: Some(identity) }, &shown)
}

fn permitted(mut account: Account, shown: &str) -> Result<Account, Failure> {
    let own = geteuid();
    let wanted = account.identity.as_ref().map(|identity| identity.uid);
    if wanted == Some(own.as_raw()) {
        account.identity = None;
        Ok(account)
    } else if own.is_root() {
        Ok(account)
    } else {
        Err(Failure::new(
            ErrorKind::Forbidden,
            format!(
                "user: the agent on this node does not run as root and cannot become `{shown}`"
            ),
        )
        .hint("leave the user out, or run the agent as root"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_users_are_refused_by_name() {
        let failure = account("nobody-of-this-name").unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Invalid);
        assert!(failure.message.contains("nobody-of-this-name"));
        assert!(account("4294967295").is_err() && account("").is_err());
    }

    #[test]
    fn only_root_becomes_somebody_else() {
        let other = account("54321");
        if geteuid().is_root() {
            let identity = other.unwrap().identity.unwrap();
            assert_eq!(identity, Identity { uid: 54321, gid: 54321, groups: vec![54321] });
        } else {
            assert_eq!(other.unwrap_err().kind, ErrorKind::Forbidden);
        }
        let own = account(&geteuid().to_string()).unwrap();
        assert_eq!(own.identity, None);
    }
}
