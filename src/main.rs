//! The program `albs-node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    albs_node::cli::main()
}
