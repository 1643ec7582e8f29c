//! init
fn main(){}
