//! The config as it counts, for people: every key with its value, secrets hidden.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::{BuildNetwork, Config, NO_PASSWORD, NO_TOKEN};
use crate::secret::Secret;

/// YAML that means the same, but for the secrets.
impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let own = &self.own;
        let sentry = match &self.sentry_dsn {
            Some(_) => "set, not shown",
            None => "not set",
        };
        line(f, "master_url", quoted(&self.master_url))?;
        line(
            f,
            "npm_proxy",
            quoted(&crate::http::without_password(self.npm_proxy.as_deref().unwrap_or_default())),
        )?;
        line(f, "threads_count", self.threads_count)?;
        line(f, "working_dir", path(&self.working_dir))?;
        line(f, "maintenance_mode_file", path(&self.maintenance_mode_file))?;
        line(f, "base_arch", quoted(&self.base_arch))?;
        line(f, "build_src", self.build_src)?;
        line(f, "request_timeout", self.request_timeout)?;
        comment(f, "jwt_token", hidden(&self.jwt_token, NO_TOKEN))?;
        line(f, "pulp_host", quoted(&self.pulp_host))?;
        line(f, "pulp_user", quoted(&self.pulp_user))?;
        comment(f, "pulp_password", hidden(&self.pulp_password, NO_PASSWORD))?;
        line(f, "pulp_chunk_size", self.pulp_chunk_size)?;
        line(f, "pulp_uploader_max_workers", self.pulp_uploader_max_workers)?;
        line(f, "pulp_timeout", self.pulp_timeout)?;
        line(f, "cache_update_interval", self.cache_update_interval)?;
        line(f, "exclusions_url", quoted(&self.exclusions_url))?;
        line(f, "build_node_name", quoted(&self.build_node_name))?;
        comment(f, "sentry_dsn", sentry)?;
        line(f, "sentry_environment", quoted(&self.sentry_environment))?;
        line(f, "sentry_traces_sample_rate", format_args!("{:?}", self.sentry_traces_sample_rate))?;
        f.write_str("albs_node:\n")?;
        line(f, "  policies", path(&own.policies))?;
        line(f, "  store", path(&own.store))?;
        line(f, "  outbox", path(&own.outbox))?;
        if let Some(queue) = &own.queue {
            line(f, "  queue", path(queue))?;
        }
        line(f, "  source_cache", path(&own.source_cache))?;
        line(f, "  git_cache", path(&own.git_cache))?;
        line(f, "  git_lfs", own.git_lfs)?;
        line(f, "  pesign_directory", path(&own.pesign_directory))?;
        line(f, "  control_socket", path(&own.control_socket))?;
        match own.metrics_address {
            Some(address) => line(f, "  metrics_address", quoted(&address.to_string()))?,
            None => comment(f, "  metrics_address", "off")?,
        }
        line(f, "  free_disk", own.free_disk)?;
        line(f, "  free_inodes", own.free_inodes)?;
        line(f, "  max_load", format_args!("{:?}", own.max_load))?;
        line(
            f,
            "  build_network",
            match own.build_network {
                BuildNetwork::Task => "task",
                BuildNetwork::None => "none",
            },
        )?;
        let networks: Vec<String> =
            own.private_networks.iter().map(|network| quoted(&network.to_string())).collect();
        line(f, "  private_networks", format_args!("[{}]", networks.join(", ")))?;
        line(f, "  ignore_missing_exclusions", own.ignore_missing_exclusions)?;
        line(f, "  infrastructure_retries", own.infrastructure_retries)?;
        line(f, "  poll_interval", own.poll_interval)?;
        line(f, "  ping_interval", own.ping_interval)?;
        line(f, "  report_repeat", own.report_repeat)?;
        if own.limits.is_empty() {
            return line(f, "  limits", "{}");
        }
        f.write_str("  limits:\n")?;
        for (resource, amount) in &own.limits {
            line(f, &format!("    {}", resource.name()), quoted(&amount.0))?;
        }
        Ok(())
    }
}

fn line(f: &mut Formatter<'_>, key: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{key}: {value}")
}

fn comment(f: &mut Formatter<'_>, key: &str, text: &str) -> fmt::Result {
    let name = key.trim_start();
    writeln!(f, "{}# {name}: {text}", &key[..key.len() - name.len()])
}

fn hidden(secret: &Secret, default: &str) -> &'static str {
    if secret.expose() == default { "not set" } else { "set, not shown" }
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}
