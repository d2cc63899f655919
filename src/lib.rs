//! shardlet
pub mod config;
