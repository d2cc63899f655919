//! What clients and replicas see of a cluster, situation by situation: the rows of
//! docs/behaviour.md, each with its test. In the order of that table.

#[path = "../cluster/mod.rs"]
mod cluster;

mod bodies;
mod cuts;
mod headers;
mod owner_down;
mod peers;
mod routing;
