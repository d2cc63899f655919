//! shardlet: a sidecar sharding proxy for OCI registry replicas.
//!
//! One sidecar beside each stateless replica; any client reaches any sidecar; a repository has one
//! owner, found in at most one hop. The rooms, from the top down; a room imports only from rooms
//! below it (held by `tests/tidy.rs`):
//!
//! ```text
//! main → cli (demo)   what was asked for: run, check, owner, plan, import, status …
//! run                 composition root: start, workers, listeners, reload, drain, certificates
//! operate             admin listener: health, status, page, commands
//! proxy               one request: plan, writer or not, place, attempt, bodies, record
//! peers               what members say to each other: probes, answers
//! member              one member at run time: its generation and how its peers stand
//! store               the few items that a fleet agrees on: S3 and others, each proved at the start
//! upstream → tls      whom we call and how, with the connections kept; certificates, reloaded from disk
//! observe             metrics, log lines, traces
//! http                connections, heads read once and checked strictly, bodies; our own answers
//! config              proxy.yaml → a value that cannot be wrong                       (pure)
//! shard               route · members · placement · pins · view · plan · health       (pure)
//! ```
//!
//! A request's way: listener → worker thread → `http` (the head, whole and in time, read in place) →
//! `shard::route` (raw path → Route) → placement (→ owner) → `shard::plan` (arrival × route × owner ×
//! health → Plan) → place → upstream → bodies both ways → record, or an answer of our own. `proxy` tells
//! it as one function; no step goes back up. HTTP/2 is framed by the framework and goes the same way from
//! its head on. The words are explained in `docs/architecture.md`; what single-writer safety rests on is
//! told in [`shard`].

// What nothing outside needs is `pub(crate)`, so that the compiler sees what is dead.
#![warn(unreachable_pub)]

pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub(crate) mod demo;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod http;
pub mod member;
pub mod observe;
pub(crate) mod operate;
pub(crate) mod peers;
pub(crate) mod proxy;
pub mod run;
pub mod shard;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod upstream;
