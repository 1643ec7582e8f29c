//! Taking results out of the build's tree.

use std::path::Path;

use super::artifacts::{self, Artifact};
use super::commands;
use super::pipeline::{Build, Progress};
use crate::run::StageRun;
use crate::source::SourcePackage;
use crate::verdict::{Class, Failure, status};

impl Build<'_> {
    /// Takes the source package once more, which has the generated requirements by now.
    pub(super) fn collect_source_again(
        &self,
        stage: &StageRun<'_>,
        nvr: &str,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let name = format!("{nvr}.src.rpm");
        let (first, others): (Vec<Artifact>, Vec<Artifact>) =
            std::mem::take(&mut progress.artifacts).into_iter().partition(|a| a.name == name);
        progress.artifacts = others;
        let mut collected = self.take(stage, &["SRPMS"], &progress.artifacts)?;
        progress.rejected.append(&mut collected.rejected);
        // Code of the build may have left anything there.
        let (again, foreign): (Vec<Artifact>, Vec<Artifact>) =
            collected.artifacts.into_iter().partition(|a| a.name == name);
        for artifact in foreign {
            let _ = self.results.remove(&artifact.name);
            progress.rejected.push((artifact.name, "not the source package".to_owned()));
        }
        let is_it = |path: &Path| SourcePackage::read(path).is_ok_and(|read| read.nvr == nvr);
        if !again.is_empty() && !is_it(&self.results.path().join(&name)) {
            return Err(Failure {
                class: Class::Package,
                ..Failure::infrastructure(
                    stage.stage,
                    status::BUILD,
                    "the build has replaced its source package by something else",
                    None,
                )
            });
        }
        progress.artifacts.splice(0..0, if again.is_empty() { first } else { again });
        Ok(())
    }

    pub(super) fn collect(
        &self,
        stage: &StageRun<'_>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let collected = self.take(stage, &["RPMS"], &progress.artifacts)?;
        for (name, reason) in &collected.rejected {
            stage.note(&format!("left in the buildroot: {name}: {reason}"));
        }
        let none = collected.artifacts.is_empty();
        progress.rejected.extend(collected.rejected);
        progress.artifacts.extend(collected.artifacts);
        if none {
            return Err(Failure {
                class: Class::Package,
                ..Failure::infrastructure(
                    stage.stage,
                    status::BUILD,
                    "rpmbuild succeeded but left no packages",
                    None,
                )
            });
        }
        Ok(())
    }

    pub(super) fn take(
        &self,
        stage: &StageRun<'_>,
        names: &[&str],
        earlier: &[Artifact],
    ) -> Result<artifacts::Collected, Failure> {
        let top = commands::top_directory(self.env.options);
        let directories: Vec<String> = names.iter().map(|name| format!("{top}/{name}")).collect();
        artifacts::collect(self.env, stage, self.workspace, &directories, self.results, earlier)
    }
}
