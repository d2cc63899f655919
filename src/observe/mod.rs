//! What is seen from outside: metrics, the access log, and what the program says of itself.

pub(crate) mod access_log;
pub mod cost;
pub(crate) mod human;
pub(crate) mod lanes;
pub(crate) mod metrics;
pub(crate) mod recent;
pub(crate) mod telemetry;
pub(crate) mod traces;
pub(crate) mod waits;
