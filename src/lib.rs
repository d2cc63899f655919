//! shardlet

pub mod config;
pub mod shard;
