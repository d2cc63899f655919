//! shardlet

pub mod cli;
pub mod config;
pub mod machine;
pub mod shard;
