//! Files beside the logs that tell about the buildroot.

use sandbox::Exit;

use crate::build::pipeline::Build;
use crate::buildroot::packages;
use crate::buildroot::tools::with_tools;
use crate::run::StageRun;
use crate::verdict::{Failure, status};

impl Build<'_> {
    /// Writes a file into the result directory.
    pub(in crate::build) fn record(
        &self,
        stage: &StageRun<'_>,
        name: &str,
        text: impl AsRef<[u8]>,
    ) -> Result<(), Failure> {
        self.results.write(name, text.as_ref()).map_err(|error| {
            let message = format!("{name} could not be written");
            Failure::infrastructure(stage.stage, status::RESULTDIR, message, Some(error.into()))
        })
    }

    /// Writes what a command of the build user says. One that fails leaves a note.
    pub(super) fn record_output(
        &self,
        stage: &StageRun<'_>,
        name: &str,
        argv: Vec<String>,
    ) -> Result<(), Failure> {
        let program = argv[0].clone();
        let (exit, text) = self.answer(stage, argv)?;
        if exit != Exit::Exited(0) {
            stage.note(&format!("{name} is incomplete: {program} failed with {exit}"));
        }
        self.record(stage, name, &text)
    }

    /// Lists what the repositories have, as the package manager sees it.
    pub(super) fn record_available(&self, stage: &StageRun<'_>) -> Result<(), Failure> {
        let text = with_tools(self.env, stage, |tools| {
            let command = ["repoquery", "--available", "--quiet"].map(str::to_owned);
            let request = packages::Request {
                tools,
                root: self.workspace.root(),
                dbpath: &self.root.info.dbpath,
                command: &command,
                visible: &[],
                what: "listing available packages",
            };
            packages::answer(self.env, stage, &request)
        })?;
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.sort_unstable();
        lines.dedup();
        self.record(stage, "available_pkgs.log", &(lines.join("\n") + "\n"))
    }
}
