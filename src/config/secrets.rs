//! Where passwords and tokens come from: a file that the config names, a credential of systemd, or
//! the config itself, in this order.

use super::facts::Facts;
use super::ineffective::NO_NOTARY;
use super::reader::{Problems, Section};
use crate::secret::Secret;

/// How to do it well.
pub(super) const HINT: &str = "name a file in the section albs_node, pass a credential by \
                               LoadCredential= of systemd, or set the key itself";

/// What was found.
#[derive(Debug)]
pub(super) struct Secrets {
    pub jwt_token: Option<Secret>,
    pub pulp_password: Option<Secret>,
    pub sentry_dsn: Option<Secret>,
}

/// Reads all of them.
pub(super) fn read(
    section: &mut Section,
    mut own: Option<&mut Section>,
    facts: &Facts,
    problems: &mut Problems,
) -> Secrets {
    let mut plain = Vec::new();
    let mut one = |key: &'static str, file_key: &'static str, problems: &mut Problems| {
        let written = section.secret(key, problems).filter(|(_, word)| !word.expose().is_empty());
        let from_file = own.as_mut().and_then(|own| file(own, file_key, facts, problems));
        let credential = facts.credentials.get(key).map(|word| Secret::new(word.trim()));
        let credential = credential.filter(|word| !word.expose().is_empty());
        if let Some((line, _)) = &written {
            let other = match (&from_file, &credential) {
                (Some(_), _) => format!("albs_node.{file_key}"),
                (None, Some(_)) => "the credential of systemd".to_owned(),
                (None, None) => {
                    plain.push((key, *line));
                    return written.map(|(_, word)| word);
                }
            };
            let message = format!("{key} is not used: {other} goes before it");
            problems.warning(Some(*line), message, Some("remove it".to_owned()));
        }
        from_file.or(credential)
    };
    let secrets = Secrets {
        jwt_token: one("jwt_token", "jwt_token_file", problems),
        pulp_password: one("pulp_password", "pulp_password_file", problems),
        sentry_dsn: one("sentry_dsn", "sentry_dsn_file", problems),
    };
    if let Some((line, _)) = section.secret("immudb_password", problems) {
        problems.warning(Some(line), format!("immudb_password has no effect: {NO_NOTARY}"), None);
    }
    if let (Some(mode), Some((_, line))) = (facts.config_mode, plain.first())
        // A group that may read it is the node's own, as scripts/install makes it.
        && mode & 0o027 != 0
    {
        let keys: Vec<&str> = plain.iter().map(|(key, _)| *key).collect();
        let message = format!(
            "{} can be read by others: the mode of the file is {:04o}",
            keys.join(" and "),
            mode & 0o7777
        );
        let hint = "chmod 600 it, or use a credential of systemd".to_owned();
        problems.warning(Some(*line), message, Some(hint));
    }
    secrets
}

fn file(
    own: &mut Section,
    key: &'static str,
    facts: &Facts,
    problems: &mut Problems,
) -> Option<Secret> {
    let line = own.line(key);
    let path = own.path(key, problems)?;
    match (facts.read_file)(&path) {
        Ok(text) if text.trim().is_empty() => {
            let message = format!("albs_node.{key}: {} is empty", path.display());
            problems.error(line, message, None);
            None
        }
        Ok(text) => Some(Secret::new(text.trim())),
        Err(error) => {
            let message = format!("albs_node.{key}: cannot read {}: {error}", path.display());
            problems.error(line, message, None);
            None
        }
    }
}
