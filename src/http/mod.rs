//! HTTP at the edge: the gate, which stands between an accepted connection and the framework; the
//! answers of our own ([`respond`]); the ids of requests ([`request_id`]). Knows no member.
//!
//! A framework that is lenient about the request head invites request smuggling, and one without
//! a deadline for the whole head invites slowloris. So each HTTP/1 head is read here, under one
//! total deadline and with size limits, and checked strictly ([`head`]); only then do its bytes go
//! on, through a [`GatedStream`] that yields exactly this request and holds back whatever follows
//! it, until the next head is due. HTTP/2 connections go through unchanged: their framing is
//! checked by the h2 library under the limits that the server sets, and what it lets a client do too
//! much of is counted here ([`frames`]).

pub mod chunks;
mod connection;
mod cork;
pub mod frames;
mod framing;
pub mod head;
mod http2;
mod pace;
mod patience;
pub mod proxy_protocol;
mod refusal;
pub mod request_id;
pub(crate) mod respond;
mod stream;
pub(crate) mod via;

pub use connection::{Cut, Gate, GateLimits};
pub use frames::Abuse;
pub(crate) use http2::is_cut;
pub use pace::TooSlow;
pub use refusal::{Refused, answer};
pub use stream::{GatedStream, Tempo};
