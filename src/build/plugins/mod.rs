//! What mock does in plugins around a build, done in its stages.

mod compress;
mod lock;
mod records;
mod scan;
mod sign;

pub use compress::compress_logs;
pub use scan::DIRECTORY as SCAN_DIRECTORY;

use sandbox::spec::Mount;

use super::commands;
use super::pipeline::Build;
use crate::buildroot::roots::store_failure;
use crate::buildroot::tools::with_tools;
use crate::buildroot::{caches, packages};
use crate::mock_config::{Ccache, RpmAutospec};
use crate::run::{Log, StageRun};
use crate::verdict::{Class, Failure, Stage, classify_package, status};

/// Where the compiler cache is inside, as in mock.
pub(super) const CCACHE: &str = "/var/tmp/ccache";

impl Build<'_> {
    /// Packages that plugins need in the buildroot.
    pub(super) fn plugin_packages(&self) -> Vec<String> {
        let plugins = &self.env.options.plugins;
        let wanted = [("ccache", plugins.ccache.is_some()), ("procenv", plugins.procenv)];
        wanted.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
    }

    /// Expands `%autorelease` and `%autochangelog` from the history beside the sources.
    pub(super) fn autospec(
        &self,
        stage: &StageRun<'_>,
        autospec: &RpmAutospec,
        spec: &str,
    ) -> Result<(), Failure> {
        let env = self.env;
        let top = commands::top_directory(env.options);
        let (exit, _) = self.ask(stage, commands::uses_autospec(env.options, spec))?;
        if exit != sandbox::Exit::Exited(0) {
            return Ok(());
        }
        if !autospec.requires.is_empty() {
            with_tools(env, stage, |tools| {
                let install = std::iter::once("install".to_owned());
                let command: Vec<String> =
                    install.chain(autospec.requires.iter().cloned()).collect();
                let what = "installing rpmautospec";
                self.manage(stage, tools, &command, what)
            })?;
        }
        let argv = autospec
            .command
            .iter()
            .cloned()
            .chain([format!("{top}/SOURCES/{spec}"), format!("{top}/SPECS/{spec}")])
            .collect();
        let mut sandbox = self.build_spec(stage, Vec::new(), argv)?;
        sandbox.cwd = format!("{top}/SOURCES").into();
        sandbox.timeout_ms = Some(600_000);
        let what = "rpmautospec";
        let finished = self.watched(stage, &sandbox, Log::Build, what)?;
        if let Some(failure) =
            classify_package(stage.stage, what, None, &finished.outcome, &sandbox.limits)
        {
            return Err(failure);
        }
        if finished.outcome.exit.success() {
            return Ok(());
        }
        let message = format!("rpmautospec failed with {}", finished.outcome.exit);
        Err(Failure {
            class: Class::Package,
            evidence: finished.tail[finished.tail.len().saturating_sub(3)..].to_vec(),
            ..Failure::infrastructure(stage.stage, status::BUILD, message, None)
        })
    }

    /// What is to be known of the buildroot before the build starts.
    pub(super) fn before_build(&self, stage: &StageRun<'_>, spec: &str) -> Result<(), Failure> {
        let plugins = &self.env.options.plugins;
        if plugins.available_packages {
            self.record_available(stage)?;
        }
        if plugins.showrc {
            let argv = ["rpm", "--showrc"].map(str::to_owned).to_vec();
            let text = packages::query(self.env, stage, self.workspace.root(), argv)?;
            self.record(stage, "showrc.log", &text)?;
        }
        if plugins.procenv {
            self.record_output(stage, "procenv.log", vec!["procenv".to_owned()])?;
        }
        if let Some(options) = &plugins.expand_spec {
            let argv = commands::expand_spec(self.env.options, spec, options);
            self.record_output(stage, "expanded-spec.txt", argv)?;
        }
        if plugins.buildroot_lock {
            self.lock_buildroot(stage)?;
        }
        if let Some(ccache) = &plugins.ccache {
            caches::tidy(self.env, stage, &ccache.max_size)?;
            self.ccache(stage, &["-M", &ccache.max_size])?;
        }
        Ok(())
    }

    /// What is done when rpmbuild has ended, well or not. It must not hide how that was.
    pub(super) fn after_build(&self, failed: bool) {
        let plugins = &self.env.options.plugins;
        let runner = self.env.runner;
        if let Some(scan) = plugins.chroot_scan.as_ref().filter(|scan| failed || !scan.only_failed)
        {
            let _ = runner.stage(Stage::Collect, "scanning the buildroot", |stage| {
                if let Err(failure) = self.scan(stage, scan) {
                    stage.note(&format!("the files of chroot_scan could not be taken: {failure}"));
                }
                Ok(())
            });
        }
        if plugins.ccache.as_ref().is_some_and(|ccache| ccache.show_stats) {
            let _ = runner.stage(Stage::Collect, "compiler cache", |stage| {
                self.ccache(stage, &["--show-stats"])
            });
        }
    }

    /// What the config says of the compiler cache, where it is used: programs are compiled in one
    /// stage only.
    pub(super) fn compiler_cache(&self, stage: &StageRun<'_>) -> Option<&Ccache> {
        self.env.options.plugins.ccache.as_ref().filter(|_| stage.stage == Stage::Rpmbuild)
    }

    /// The compiler cache of the config, which lasts longer than builds.
    pub(super) fn ccache_mount(&self, stage: &StageRun<'_>) -> Result<Mount, Failure> {
        let source = self
            .env
            .store
            .compiler_cache(&self.env.key)
            .map_err(|error| store_failure(stage.stage, error))?;
        Ok(Mount::Bind { source, destination: CCACHE.into(), read_only: false })
    }

    /// The statistics and limits of the cache are its own program's matter. One that is missing
    /// shows in the log and stops nothing.
    fn ccache(&self, stage: &StageRun<'_>, args: &[&str]) -> Result<(), Failure> {
        let argv = ["ccache"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let mut spec = self.build_spec(stage, vec![self.ccache_mount(stage)?], argv)?;
        spec.environment.insert("CCACHE_DIR".to_owned(), CCACHE.to_owned());
        spec.environment.insert("CCACHE_UMASK".to_owned(), "002".to_owned());
        spec.timeout_ms = Some(120_000);
        stage.sandbox(&spec, Log::Build).map(drop)
    }
}
