//! shardlet
pub mod metrics;
pub mod respond;
pub mod shard;
