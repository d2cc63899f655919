//! What is seen from outside: metrics, the access log, and what the program says of itself.

pub mod access_log;
pub mod human;
pub mod metrics;
pub mod telemetry;
