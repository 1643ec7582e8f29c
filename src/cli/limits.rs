//! Limits of the command line, and `albs-node limits show`.

use std::path::Path;

use sandbox::spec::{Limit, Limits};

use super::args::{LimitArgs, LimitsShow, ResourceArgs};
use super::error::CliError;
use super::output::{bytes, print};
use super::setup::default_place;
use crate::resources::{
    Effective, HOST_POLICY, HostSize, Override, Policy, Resource, ResourceError, Unit, effective,
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
        let size = HostSize::probe(self.slots, place);
        effective(&policy, &size, self.class.as_deref(), package, &overrides).map_err(wrong)
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
    let store = default_place(&args.store);
    let store = store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    let effective = args.resources.effective(args.package.as_deref(), None, &store)?;
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
