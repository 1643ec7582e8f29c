//! Signing packages with the command of the config. It runs on the host, as in mock, since that is
//! where keys are: whoever writes the config could run it anyway.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

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
        let failed = |message: String, source: Option<io::Error>| {
            let source = source.map(|error| Box::new(error) as _);
            Failure::infrastructure(stage.stage, status::GENERIC, message, source)
        };
        let paths: Vec<String> = artifacts
            .iter()
            .map(|artifact| quote(&self.results.path().join(&artifact.name).display().to_string()))
            .collect();
        let line = command.replace("%(rpms)s", &paths.join(" "));
        let (status, tail) = self.host_command(stage, &line).map_err(|error| {
            failed("the command of the plugin sign could not be run".into(), Some(error))
        })?;
        for line in &tail {
            stage.note(line);
        }
        // Also of a command that failed: it may have signed some of them.
        for artifact in artifacts {
            let path = self.results.path().join(&artifact.name);
            (artifact.bytes, artifact.sha256) = checksum(&path).map_err(|error| {
                failed(format!("{} cannot be read", path.display()), Some(error))
            })?;
        }
        if stage.is_cancelled() {
            return Err(stage.interrupted());
        }
        if !status.success() {
            let mut failure = failed(format!("signing failed: {line} ended with {status}"), None);
            failure.evidence = tail[tail.len().saturating_sub(3)..].to_vec();
            return Err(failure);
        }
        Ok(())
    }

    /// Runs a command of the config on the host until it ends, or the build is to stop.
    fn host_command(
        &self,
        stage: &StageRun<'_>,
        line: &str,
    ) -> io::Result<(ExitStatus, Vec<String>)> {
        let (mut reader, writer) = io::pipe()?;
        let mut child = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.results.path())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        // The command that is dropped with its end of the pipe lets the reader come to an end.
        let output = std::thread::spawn(move || {
            let mut lines = Lines::default();
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                lines.add(&chunk[..count], |_| {});
            }
            lines.into_tail()
        });
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if stage.is_cancelled() {
                let group = nix::unistd::Pid::from_raw(child.id() as i32);
                let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok((status, output.join().unwrap_or_default()))
    }
}
