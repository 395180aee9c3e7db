//! The `bbq` binary.
fn main() {}
