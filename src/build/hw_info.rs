//! `hw_info.log`: what the host is, as mock's hw_info plugin has it.

use std::path::Path;
use std::process::Command;

/// Sections of the log: title and the command that fills it.
const SECTIONS: [(&str, &[&str]); 3] = [
    ("CPU info", &["/usr/bin/lscpu"]),
    ("Memory info", &["/usr/bin/free"]),
    ("Storage info", &["/usr/bin/df", "-H"]),
];

/// The text of the log. A tool that this host does not have leaves its section empty.
pub(super) fn text(store: &Path) -> String {
    SECTIONS.iter().fold(String::new(), |text, (title, command)| {
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).env_clear().env("LC_ALL", "C");
        if command[0].ends_with("df") {
            program.arg(store);
        }
        let output = program
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        text + title + ":\n" + &output + "\n\n"
    })
}
