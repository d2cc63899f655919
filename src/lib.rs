//! shardlet: a sidecar sharding proxy for OCI registry replicas.

pub mod access_log;
pub mod config;
pub mod gate;
pub mod metrics;
pub mod proxy;
pub mod request_id;
pub mod respond;
pub mod shard;
pub mod state;
pub mod tls;
pub mod upstream;
