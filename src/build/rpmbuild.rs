//! Calls of rpmbuild, and the sandbox of the build user in general.

use std::collections::BTreeMap;
use std::path::Path;

use sandbox::spec::{Limit, Mount};
use sandbox::{Killer, Outcome, SandboxSpec};

use super::commands;
use super::pipeline::Build;
use super::plugins::CCACHE;
use crate::buildroot::caches;
use crate::buildroot::disk::{self, Size, TooLarge, Written};
use crate::profile::{ProfileError, ProfileName};
use crate::resources::Resource;
use crate::run::{Finished, Log, StageRun};
use crate::verdict::{Failure, Hit, Said, classify_disk, classify_rpmbuild, status};

/// Where less is free when rpmbuild has failed, it may have failed for that. It may also have removed
/// what was too much.
const LITTLE: Size = Size { bytes: 1 << 30, inodes: 10_000 };

/// An rpmbuild that failed.
struct Failed {
    failure: Failure,
    out_of_memory: bool,
}

impl Build<'_> {
    pub(super) fn rpmbuild(
        &self,
        stage: &StageRun<'_>,
        argv: Vec<String>,
        what: &str,
    ) -> Result<(), Failure> {
        self.try_rpmbuild(stage, argv, what)?.map_or(Ok(()), |failed| Err(failed.failure))
    }

    /// `rpmbuild -bb`, or `-ba` after requirements were generated; once more, with fewer jobs, when memory ran out and the class says so.
    pub(super) fn rpmbuild_binary(
        &self,
        stage: &StageRun<'_>,
        argv: Vec<String>,
        generates: bool,
    ) -> Result<(), Failure> {
        let what = if generates { "rpmbuild -ba" } else { "rpmbuild -bb" };
        let Some(failed) = self.try_rpmbuild(stage, argv.clone(), what)? else { return Ok(()) };
        let jobs = self.jobs.get().unwrap_or(self.env.context.host.processors);
        if !(failed.out_of_memory && self.request.resources.retry_after_oom && jobs > 1) {
            return Err(failed.failure);
        }
        stage.note(&format!("{}; trying once more with {} jobs", failed.failure, jobs / 2));
        self.jobs.set(Some(jobs / 2));
        self.rpmbuild(stage, argv, what)
    }

    fn try_rpmbuild(
        &self,
        stage: &StageRun<'_>,
        argv: Vec<String>,
        what: &str,
    ) -> Result<Option<Failed>, Failure> {
        let (finished, failure) = self.run_rpmbuild(stage, argv, what)?;
        let out_of_memory = finished.outcome.usage.oom_kills > 0;
        Ok(failure.map(|failure| Failed { failure, out_of_memory }))
    }

    /// Runs rpmbuild within the limits of the build; gives its end, and why that is a failure, if it
    /// is one.
    pub(super) fn run_rpmbuild(
        &self,
        stage: &StageRun<'_>,
        argv: Vec<String>,
        what: &str,
    ) -> Result<(Finished, Option<Failure>), Failure> {
        let mut spec = self.build_spec(stage, Vec::new(), argv)?;
        spec.timeout_ms = self.request.timeout_ms();
        spec.silence_ms = self.request.silence_ms();
        let finished = self.watched(stage, &spec, Log::Build, what)?;
        let outcome = &finished.outcome;
        // In memory, it has a size of its own.
        let place = Written::of(&self.workspace.root()).map(|written| written.place);
        let lacks_room = place.is_none_or(|place| LITTLE.exceeds(&disk::free(&place)));
        let said = Said { lacks_room, ..finished.said() };
        let mut failure = classify_rpmbuild(stage.stage, what, outcome, &spec.limits, said);
        if let Some(Hit { name, value: value @ None, .. }) =
            failure.as_mut().and_then(|failure| failure.limit.as_mut())
        {
            let millis = match name {
                Resource::Timeout => spec.timeout_ms,
                Resource::Silence => spec.silence_ms,
                _ => None,
            };
            *value = millis.map(|millis| millis / 1000);
        }
        Ok((finished, failure))
    }

    /// Runs a sandbox that writes to the build's layer. It is ended when it writes more than it may,
    /// which is a failure.
    pub(super) fn watched(
        &self,
        stage: &StageRun<'_>,
        spec: &SandboxSpec,
        log: Log,
        what: &str,
    ) -> Result<Finished, Failure> {
        let (finished, beyond) =
            self.measured(stage, |started| stage.sandbox_with(spec, log, started))?;
        match beyond {
            Some(much) => Err(classify_disk(stage.stage, what, much, finished.said())),
            None => Ok(finished),
        }
    }

    /// As [`Build::watched`], of a command whose output is not for the log.
    pub(super) fn asked(
        &self,
        stage: &StageRun<'_>,
        spec: &SandboxSpec,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, Failure> {
        let (outcome, beyond) =
            self.measured(stage, |started| stage.raw_with(spec, started, output))?;
        let what = "reading the spec";
        match beyond {
            Some(much) => Err(classify_disk(stage.stage, what, much, Said::default())),
            None => Ok(outcome),
        }
    }

    fn measured<T>(
        &self,
        stage: &StageRun<'_>,
        run: impl FnOnce(&mut dyn FnMut(Killer)) -> Result<T, Failure>,
    ) -> Result<(T, Option<TooLarge>), Failure> {
        let env = self.env;
        let root = Written::of(&self.workspace.root());
        // Other builds write there, too.
        let cache = self.compiler_cache(stage).and_then(|ccache| {
            let tree = env.store.compiler_cache(&env.key).ok()?;
            let most = Some(caches::most(&ccache.max_size));
            Some(Written { place: tree.clone(), tree, has_base: true, most })
        });
        let written: Vec<Written> = root.into_iter().chain(cache).collect();
        disk::watched(env.tools(), stage, &written, env.context.disk, run)
    }

    /// A sandbox of the build user in the workspace.
    pub(super) fn build_spec(
        &self,
        stage: &StageRun<'_>,
        mut mounts: Vec<Mount>,
        argv: Vec<String>,
    ) -> Result<sandbox::SandboxSpec, Failure> {
        let env = self.env;
        let jobs = self.jobs.get();
        mounts.push(Mount::File {
            destination: Path::new(&env.options.chroothome).join(".rpmmacros"),
            content: commands::macro_file(env.options, &self.request.defines, jobs),
            mode: 0o644,
        });
        let mut environment = env.options.environment.clone();
        if let Some(ccache) = self.compiler_cache(stage) {
            mounts.push(self.ccache_mount(stage)?);
            environment.insert("CCACHE_DIR".to_owned(), CCACHE.to_owned());
            environment.insert("CCACHE_UMASK".to_owned(), "002".to_owned());
            if let Some(compress) = &ccache.compress {
                environment.insert("CCACHE_COMPRESS".to_owned(), compress.clone());
            }
            if !ccache.hashdir {
                environment.insert("CCACHE_NOHASHDIR".to_owned(), "1".to_owned());
            }
        }
        if let Some(jobs) = jobs {
            // What older rpm reads instead of the macro.
            environment.insert("RPM_BUILD_NCPUS".to_owned(), jobs.to_string());
        }
        let unplanned = |error: ProfileError| {
            let message = "the build's sandbox could not be planned";
            Failure::infrastructure(stage.stage, status::GENERIC, message, Some(error.into()))
        };
        let profile = ProfileName::of_build(stage.stage);
        let (name, root) = (stage.stage.as_str(), self.workspace.root());
        let mut spec = env
            .context
            .chroot(name, profile, root, mounts, &environment, argv)
            .map_err(unplanned)?;
        let allowed = &self.request.resources.allowed;
        spec.seccomp = profile.load().map_err(unplanned)?.seccomp_with(allowed);
        spec.cwd = env.options.chroothome.clone().into();
        limit_processes(&mut spec.rlimits, self.request.resources.rlimits());
        if self.request.network {
            env.context.open_network(&mut spec);
        }
        Ok(spec)
    }
}

/// Limits of each process: what the config says goes before the class, and the command line before
/// both.
fn limit_processes(config: &mut BTreeMap<String, u64>, resources: Vec<(&str, Limit<u64>)>) {
    for (name, limit) in resources {
        if limit.required || !config.contains_key(name) {
            config.insert(name.to_owned(), limit.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_processes_are_those_of_whoever_comes_first() {
        let config = BTreeMap::from([("NOFILE".to_owned(), 100), ("CORE".to_owned(), 1)]);
        let limited = |limit| {
            let mut config = config.clone();
            limit_processes(&mut config, vec![("NOFILE", limit), ("FSIZE", Limit::optional(7))]);
            [config["NOFILE"], config["FSIZE"], config["CORE"]]
        };
        assert_eq!(limited(Limit::optional(50)), [100, 7, 1]);
        assert_eq!(limited(Limit::required(50)), [50, 7, 1]);
    }
}
