//! shardlet

pub mod access_log;
pub mod metrics;
pub mod request_id;
pub mod respond;
pub mod shard;
pub mod telemetry;
