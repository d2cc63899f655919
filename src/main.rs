//! shardlet
fn main() {}
