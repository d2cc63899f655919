//! shardlet

pub mod access_log;
pub mod admin;
pub mod banner;
pub mod human;
pub mod metrics;
pub mod request_id;
pub mod respond;
pub mod shard;
pub mod telemetry;
