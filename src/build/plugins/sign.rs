//! Signing packages with the command of the config. It runs on the host, as in mock, since that is
//! where keys are: whoever writes the config could run it anyway.

use std::process::{Command, Stdio};

use crate::build::artifacts::{Artifact, checksum};
use crate::build::commands::quote;
use crate::build::pipeline::Build;
use crate::run::{Lines, StageRun};
use crate::verdict::{Failure, status};

impl Build<'_> {
    /// Signs packages in the result directory; what they are afterwards is what is told of them.
    pub(in crate::build) fn sign(
        &self,
        stage: &StageRun<'_>,
        command: &str,
        artifacts: &mut [Artifact],
    ) -> Result<(), Failure> {
        let failed = |message: String, source: Option<std::io::Error>| {
            let source = source.map(|error| Box::new(error) as _);
            Failure::infrastructure(stage.stage, status::GENERIC, message, source)
        };
        let paths: Vec<String> = artifacts
            .iter()
            .map(|artifact| quote(&self.results.path().join(&artifact.name).display().to_string()))
            .collect();
        let line = command.replace("%(rpms)s", &paths.join(" "));
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(self.results.path())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                failed("the command of the plugin sign did not start".into(), Some(error))
            })?;
        let mut lines = Lines::default();
        lines.add(&output.stdout, |_| {});
        lines.add(&output.stderr, |_| {});
        let tail = lines.into_tail();
        for line in &tail {
            stage.note(line);
        }
        if !output.status.success() {
            let mut failure =
                failed(format!("signing failed: {line} ended with {}", output.status), None);
            failure.evidence = tail[tail.len().saturating_sub(3)..].to_vec();
            return Err(failure);
        }
        for artifact in artifacts {
            let path = self.results.path().join(&artifact.name);
            (artifact.bytes, artifact.sha256) = checksum(&path).map_err(|error| {
                failed(format!("{} cannot be read", path.display()), Some(error))
            })?;
        }
        Ok(())
    }
}
