//! shardlet: a sidecar sharding proxy for OCI registry replicas.

pub mod access_log;
pub mod admin;
pub mod banner;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod gate;
pub mod human;
pub mod machine;
pub mod metrics;
pub mod probe;
pub mod proxy;
pub mod request_id;
pub mod resolve;
pub mod respond;
pub mod server;
pub mod shard;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod upstream;
