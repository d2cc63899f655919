//! HTTP at the edge: connections and the requests on them ([`connection`], [`client`]), heads and bodies
//! checked strictly ([`request`], [`response`], [`body`]), the answers of our own ([`respond`]), the ids
//! of requests ([`request_id`]). Knows no member.
//!
//! HTTP/1 is read and written here. HTTP/2's framing is checked by the h2 library under the limits that
//! the server sets, and what it lets a client do too much of is counted here ([`frames`]); its heads then
//! go the same way as those of HTTP/1.

pub(crate) mod body;
pub(crate) mod buffer;
pub(crate) mod client;
mod connection;
mod cork;
pub(crate) mod date;
pub(crate) mod field;
pub(crate) mod fields;
pub(crate) mod frames;
mod framing;
pub(crate) mod head;
mod http2;
pub(crate) mod limit;
pub(crate) mod line;
pub(crate) mod pace;
mod patience;
pub(crate) mod progress;
pub(crate) mod proxy_protocol;
mod refusal;
pub(crate) mod request;
pub(crate) mod request_id;
pub(crate) mod respond;
pub(crate) mod response;
mod scratch;
pub(crate) mod splice;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod transfers;
pub(crate) mod trunk;
pub(crate) mod via;
mod watch;
pub(crate) mod wire;
pub(crate) mod worker;

pub(crate) use connection::{Gate, GateLimits, Serve};
pub(crate) use frames::Abuse;
pub(crate) use http2::Limits as Http2Limits;
pub(crate) use refusal::{Refused, answer};
pub(crate) use scratch::Scratch;
pub(crate) use stream::Tempo;
