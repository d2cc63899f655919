//! What clients and replicas see of a cluster, situation by situation: the rows of
//! docs/behaviour.md, each with its test.

// A test that meets what it does not expect has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../cluster/mod.rs"]
mod cluster;

mod access_log;
mod bodies;
mod certificates;
mod connections;
mod cuts;
mod gate;
mod headers;
mod http2;
mod lifecycle;
mod owner_down;
mod peers;
mod queue;
mod routing;
mod slow;
