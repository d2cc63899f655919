//! shardlet: a sidecar sharding proxy for OCI registry replicas.
//!
//! One sidecar beside each stateless replica; any client reaches any sidecar; a repository has one
//! owner, found in at most one hop. The rooms, from the top down; a room uses the ones below it:
//!
//! ```text
//! main → cli ──────────────── run, check, owner, status, reload, drain, demo
//!         │                   (machine: files, addresses and names of this machine; banner)
//!         ▼
//!       server ────────────── composition root: listeners, background work, drain
//!         │
//!         ├─ gate ─────────── request heads, checked strictly and in time
//!         ├─ proxy ────────── the framework's phases, and no policy
//!         ├─ admin ────────── health, readiness, metrics, status, commands
//!         ├─ probe, resolve ─ verdicts and addresses, in the background
//!         ├─ agreement ────── peers asked about one repository, where views cannot be compared
//!         ▼
//!       state ─────────────── what these share, as long as the process lives
//!       epoch, standing ───── what one configuration has made, swapped whole; how a member stands
//!         │
//!         ├─ upstream → tls ─ whom we call and how; certificates, reloaded from disk
//!         ├─ wire ─────────── what one member says to another
//!         ├─ respond ──────── every failure → status and OCI error JSON, one table
//!         ├─ metrics, access_log, telemetry, request_id, human, stamp
//!         ▼
//!       config ────────────── proxy.yaml → a value that cannot be wrong        (pure)
//!         ▼
//!       shard ─────────────── route · members · placement · plan · health · view (pure)
//!         ▼
//!       text ──────────────── characters and digits, for every room              (pure)
//! ```
//!
//! A request's way: listener → gate → `route` (raw path → Route) → `placement` (→ owner) → `plan`
//! (arrival × route × owner × health → Plan) → upstream → response, or `respond`. No step goes back
//! up. What single-writer safety rests on is told in [`shard`].

pub mod access_log;
pub mod admin;
pub mod agreement;
pub mod banner;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod epoch;
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
pub mod stamp;
pub mod standing;
pub mod state;
pub mod telemetry;
pub mod text;
pub mod tls;
pub mod upstream;
pub mod wire;
