//! Applies a sandbox's launch and becomes its pid 1. Started by albs-node.

fn main() {
    std::process::exit(sandbox::init::main());
}
