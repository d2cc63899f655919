//! shardlet

pub mod shard;
