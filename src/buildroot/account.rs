//! Who exists in a buildroot.

use std::fs;

use super::Env;
use crate::helper::Account;
use crate::run::StageRun;
use crate::verdict::{Failure, status};

/// The user of builds.
pub(super) fn account(env: &Env<'_>) -> Account {
    Account {
        user: env.options.chrootuser.clone(),
        group: env.options.chrootgroup.clone(),
        uid: env.context.build_user.uid,
        gid: env.context.build_user.gid,
        home: env.options.chroothome.clone(),
    }
}

/// The host's users that the config wants inside, from the host's own files.
pub(super) fn host_users(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Vec<Account>, Failure> {
    let wanted = &env.options.copy_host_users;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    wanted
        .iter()
        .map(|name| {
            host_user(name, &users, &groups).ok_or_else(|| {
                let message = format!("this host has no user {name}, which copy_host_users names");
                Failure::infrastructure(stage.stage, status::CONFIG, message, None)
            })
        })
        .collect()
}

fn host_user(name: &str, users: &str, groups: &str) -> Option<Account> {
    let line = |text: &str, field: usize, value: &str| {
        let lines = text.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        lines.into_iter().find(|fields| fields.get(field).is_some_and(|known| known == value))
    };
    let user = line(users, 0, name)?;
    let group = line(groups, 2, user.get(3)?);
    Some(Account {
        user: name.to_owned(),
        group: group.map_or_else(|| name.to_owned(), |fields| fields[0].clone()),
        uid: user.get(2)?.parse().ok()?,
        gid: user.get(3)?.parse().ok()?,
        home: user.get(5)?.clone(),
    })
}
