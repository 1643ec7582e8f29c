//! Looks around.
fn main() {}
