//! Limits of the command line, and `albs-node limits show`.

use std::path::Path;

use sandbox::spec::{Limit, Limits};

use super::args::{LimitArgs, LimitsShow, NodeArgs, ResourceArgs};
use super::error::CliError;
use super::node_config;
use super::output::{bytes, print};
use super::setup::default_place;
use crate::resources::{
    Amount, AmountError, Effective, HOST_POLICY, HostSize, Override, Policy, Resource,
    ResourceError, Unit, effective,
};
use crate::verdict::status;

impl LimitArgs {
    /// What was asked for by hand is required: a limit that does not hold is worse than none.
    pub(super) fn to_limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory.map(Limit::required),
            // Memory that goes to swap instead is no limit; but a host may not count swap.
            swap_bytes: self.memory.map(|_| Limit::optional(0)),
            pids: self.pids.map(Limit::required),
            cpus: self.cpus.map(Limit::required),
            ..Limits::default()
        }
    }
}

impl ResourceArgs {
    /// The limits of a build of this package. `configured`: the time limit of the config in
    /// seconds, if it has one. `place`: where builds write.
    pub(super) fn effective(
        &self,
        package: Option<&str>,
        configured: Option<u64>,
        place: &Path,
    ) -> Result<Effective, CliError> {
        let policy = Policy::load(&self.resources).map_err(wrong)?;
        let size = HostSize::probe(self.slots, place);
        self.effective_by(&policy, &size, package, configured)
    }

    fn effective_by(
        &self,
        policy: &Policy,
        size: &HostSize,
        package: Option<&str>,
        configured: Option<u64>,
    ) -> Result<Effective, CliError> {
        let mut overrides = Vec::new();
        let mut over = |resource, number: Option<f64>, from: &str| {
            overrides.push(Override { resource, number, from: from.to_owned() });
        };
        if let Some(seconds) = configured {
            over(Resource::Timeout, Some(seconds as f64), "rpmbuild_timeout of the config");
        }
        let limits = &self.limits;
        for (resource, number, from) in [
            (Resource::Memory, limits.memory.map(|bytes| bytes as f64), "--memory"),
            (Resource::Pids, limits.pids.map(|pids| pids as f64), "--pids"),
            (Resource::Cpus, limits.cpus, "--cpus"),
            (Resource::IoRead, self.io_read.map(|bytes| bytes as f64), "--io-read"),
            (Resource::IoWrite, self.io_write.map(|bytes| bytes as f64), "--io-write"),
            (Resource::Disk, self.disk.map(|bytes| bytes as f64), "--disk"),
            (Resource::Inodes, self.inodes.map(|inodes| inodes as f64), "--inodes"),
            (Resource::Log, self.log_size.map(|bytes| bytes as f64), "--log-size"),
        ] {
            if number.is_some() {
                over(resource, number, from);
            }
        }
        for (resource, millis, from) in [
            (Resource::Timeout, self.timeout, "--timeout"),
            (Resource::Silence, self.silence, "--silence"),
        ] {
            if let Some(millis) = millis {
                let seconds = millis as f64 / 1000.0;
                over(resource, Some(seconds).filter(|seconds| *seconds > 0.0), from);
            }
        }
        for (resource, number) in &self.named {
            over(*resource, *number, "--limit");
        }
        effective(policy, size, self.class.as_deref(), package, &overrides).map_err(wrong)
    }
}

/// `NAME=AMOUNT`, as classes have them; shares belong to those.
pub(super) fn parse(text: &str) -> Result<(Resource, Option<f64>), String> {
    let (name, amount) = text.split_once('=').ok_or("a limit is expected, like swap=1G")?;
    let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.name() == name) else {
        let known = Resource::ALL.map(Resource::name).join(", ");
        return Err(format!("there is no limit {name:?}; there are {known}"));
    };
    let number = Amount(amount.to_owned()).number(resource.unit(), None, None);
    match number {
        Err(AmountError::NoShare) => Err("only a class can have a share of the host".to_owned()),
        number => Ok((resource, number.map_err(|error| error.to_string())?)),
    }
}

fn wrong(error: ResourceError) -> CliError {
    let hint = match &error {
        ResourceError::UnknownClass { .. } => None,
        _ => Some(format!("the classes are those of the program and of {HOST_POLICY}")),
    };
    CliError::new(status::COMMAND_LINE, error, hint)
}

pub(super) fn show(args: &LimitsShow) -> Result<u8, CliError> {
    // The store need not exist yet; what is free above it is the same.
    let there = |store: &Path| {
        store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
    };
    let package = args.package.as_deref();
    let effective = match &args.config {
        None => args.resources.effective(package, None, &there(&default_place(&args.store)))?,
        Some(config) => {
            let loaded = node_config::load(&NodeArgs::of(config));
            let Some(config) = loaded else { return Ok(status::CONFIG) };
            let policy = config.resources().map_err(wrong)?;
            let size = HostSize::probe(config.slots(), &there(&config.own.store));
            args.resources.effective_by(&policy, &size, package, None)?
        }
    };
    if args.json {
        let text = serde_json::to_string_pretty(&effective)
            .map_err(|error| CliError::new(status::GENERIC, error, None))?;
        print(text);
        return Ok(0);
    }
    print(format_args!("class        {} ({})", effective.class, effective.class_from));
    for (resource, setting) in &effective.settings {
        let amount = match setting.number {
            Some(number) => written(*resource, number),
            None => "none".to_owned(),
        };
        print(format_args!("{:<12} {amount:<12} {}", resource.name(), setting.from));
    }
    let retry = if effective.retry_after_oom { "yes" } else { "no" };
    print(format_args!("{:<12} {retry}", "retry_after_oom"));
    let allowed: Vec<&str> = effective.allowed.iter().map(|allowed| allowed.name()).collect();
    let allowed = if allowed.is_empty() { "nothing more".to_owned() } else { allowed.join(", ") };
    print(format_args!("{:<12} {allowed}", "allowed"));
    Ok(0)
}

/// A number with its unit.
fn written(resource: Resource, number: f64) -> String {
    match resource.unit() {
        Unit::Bytes => bytes(number as u64),
        Unit::BytesPerSecond => format!("{}/s", bytes(number as u64)),
        Unit::Seconds => format!("{number} s"),
        Unit::Processors | Unit::Count => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_name() {
        assert_eq!(parse("swap=1G"), Ok((Resource::Swap, Some(f64::from(1 << 30)))));
        assert_eq!(parse("timeout=2h"), Ok((Resource::Timeout, Some(7200.0))));
        assert_eq!(parse("pids=none"), Ok((Resource::Pids, None)));
        for (text, why) in [
            ("swap", "a limit is expected, like swap=1G"),
            ("swaps=1", "there is no limit \"swaps\""),
            ("memory=50%", "only a class can have a share"),
            ("memory=much", "is expected, like"),
        ] {
            assert!(parse(text).is_err_and(|error| error.contains(why)), "{text}");
        }
    }
}
