//! The command `nws`: a thin shell over the crates.
fn main() {}
