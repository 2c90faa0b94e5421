//! examples/mini-qq
fn main() {}
