//! What the spec says of the sources that were unpacked: whether some are missing, and whether
//! their package would be another one if it were made anew. The spec is read inside, with the
//! target's macros; what is missing is got outside, and brought in by a copy.

use std::path::Path;

use sandbox::spec::Mount;

use super::commands;
use super::pipeline::Build;
use crate::fetch::{self, Provision};
use crate::run::{Log, StageRun};
use crate::verdict::{Class, Failure, classify_helper, classify_package};

/// The longest that copying them may take, in ms.
const LONGEST_MS: u64 = 3_600_000;
/// Where they are seen inside.
const PLACE: &str = "/run/albs-node/provided";

impl Build<'_> {
    /// Whether the source package that was unpacked would be made of its spec here, too. Its
    /// requirements may be others on another architecture. `originals` is where it is seen.
    pub(super) fn is_same_source(
        &self,
        stage: &StageRun<'_>,
        originals: Mount,
        spec: &str,
    ) -> Result<bool, Failure> {
        let argv = commands::is_same_source(self.env.options, spec);
        let mut spec = self.build_spec(stage, vec![originals], argv)?;
        spec.timeout_ms = Some(60_000);
        Ok(self.asked(stage, &spec, &mut |_| {})?.exit == sandbox::Exit::Exited(0))
    }

    /// Brings what is missing to where rpmbuild looks.
    pub(super) fn bring_missing(
        &self,
        stage: &StageRun<'_>,
        provision: &Provision,
        spec: &str,
    ) -> Result<(), Failure> {
        let env = self.env;
        let (exit, text) = self.ask(stage, commands::expand_spec(env.options, spec, &[]))?;
        if exit != sandbox::Exit::Exited(0) {
            // rpmbuild says best what is wrong with it.
            return Ok(());
        }
        let expected = fetch::expected(&text);
        let inputs = self.workspace.directory(stage, "inputs")?.join("SOURCES");
        let directory = self.workspace.directory(stage, "provided")?;
        let provided =
            fetch::provide(env.tools(), stage, provision, &expected, &names(&inputs), &directory)?;
        if provided.is_empty() {
            return Ok(());
        }
        let visible = Mount::Bind { source: directory, destination: PLACE.into(), read_only: true };
        let sources = format!("{}/SOURCES/", commands::top_directory(env.options));
        let from = format!("{PLACE}/.");
        // Macros of the spec have been there: nothing of theirs is opened.
        let argv = ["cp", "-R", "--remove-destination", "--", &from, &sources];
        let argv = argv.map(str::to_owned).to_vec();
        let mut spec = self.build_spec(stage, vec![visible], argv)?;
        spec.timeout_ms = Some(LONGEST_MS);
        let what = "bringing sources in";
        let finished = self.watched(stage, &spec, Log::Root, what)?;
        let (outcome, limits) = (&finished.outcome, &spec.limits);
        if let Some(failure) = classify_package(stage.stage, what, None, outcome, limits) {
            return Err(failure);
        }
        if outcome.exit.success() {
            return Ok(());
        }
        // Nothing but the disk and what macros have put in the way keeps it from copying.
        let failure = classify_helper(stage.stage, format!("{what} failed"), &finished.tail);
        let class = match failure.class {
            Class::Resource => Class::Resource,
            _ => Class::Package,
        };
        Err(Failure { class, ..failure })
    }
}

/// What there is in a directory of this user.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
