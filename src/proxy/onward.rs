//! The head of a request as it is sent on: the lines that are kept, byte for byte, and ours.
//!
//! A client cannot say where it came from, which host it meant in whose name, or that a member sent
//! it: all of that is set here.

mod cookies;
mod forwarded;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::target;
use crate::http::field::{Field, Name};
use crate::http::head::Body;
use crate::http::request::{RequestHead, Version};
use crate::http::respond::REQUEST_ID_HEADER;
use crate::http::respond::wire::write_field;
use crate::http::via::Via;
use crate::peers::wire;
use crate::shard::text::{push_decimal, push_ipv4};

pub(crate) use cookies::sticky_member;
pub(crate) use forwarded::{Downstream, client};

use cookies::Cookies;

/// What a request is sent on with.
#[derive(Debug)]
pub(crate) struct Onward<'a> {
    /// The client at the other end; none for a request of a peer, which has said where it is from.
    pub(crate) client: Option<Downstream<'a>>,
    pub(crate) via: &'a Via,
    pub(crate) request_id: &'a [u8],
    /// The `traceparent`; none to leave it as it was sent.
    pub(crate) trace: Option<&'a [u8]>,
    /// The name of the cookie that is between the client and us; none for a peer, which needs it.
    pub(crate) hide_cookie: Option<&'a str>,
    /// What a peer is told.
    pub(crate) peer: Option<PeerFields<'a>>,
    /// Whether the path alone says which repository is meant ([`target`]).
    pub(crate) without_namespace: bool,
    /// Where the request came in, for one that names no host.
    pub(crate) own_address: Option<SocketAddr>,
}

/// What one member tells another of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerFields<'a> {
    /// The digits of our view's fingerprint.
    pub(crate) view: &'a [u8],
    /// Our id.
    pub(crate) member: &'a str,
    /// For how many milliseconds it may still wait for its owner.
    pub(crate) hold_ms: u128,
    /// Whether it is a read for whoever gets it, since the owner's replica is down.
    pub(crate) fallback: bool,
    /// The number of our view, in a write, where members hold leases and the peer may be behind.
    pub(crate) epoch: Option<u64>,
    /// Whether the body is sent only once the peer has invited it.
    pub(crate) asks: bool,
}

/// Adds the head as it is sent on, always in HTTP/1.1, with its empty line. A chunked body goes on in
/// chunks of our own.
pub(crate) fn write_head(out: &mut Vec<u8>, head: &RequestHead<'_>, onward: &Onward<'_>) {
    write_request_line(out, head, onward.without_namespace);
    let host = Host::of(head, onward.own_address);
    if !head.has(Name::Host) {
        // RFC 9112 §3.2: HTTP/1.1 always has one, which may be empty.
        out.extend_from_slice(b"Host: ");
        if let Some(host) = host {
            host.write(out);
        }
        out.extend_from_slice(b"\r\n");
    }
    let cookies = Cookies::of(head, onward.hide_cookie);
    let is_kept = |field: &Field| {
        !field.nominated
            && match field.name {
                Name::Cookie => cookies == Cookies::AsTheyAre,
                Name::Expect => head.version() != Version::Http10,
                Name::Forwarded
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedPort
                | Name::XForwardedProto => onward.client.is_none(),
                Name::TraceParent => onward.trace.is_none(),
                // RFC 9110 §6.6.2: it says what follows the chunks.
                Name::Trailer => head.passes_trailers(),
                Name::ContentLength
                | Name::Date
                | Name::Host
                | Name::Other
                | Name::Range
                | Name::UserAgent
                | Name::Via => true,
                Name::Internal | Name::RequestId => false,
                Name::Connection
                | Name::Http2Settings
                | Name::KeepAlive
                | Name::ProxyAuth
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade => false,
            }
    };
    copy_lines(out, head, is_kept);
    cookies.write(out, head);
    // RFC 9112 §6.3: a length is kept as it was sent, for it was sent once; so is that there is none.
    if head.body() == Body::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if head.takes_trailers() {
        // RFC 9110 §10.1.4: so that who knows no TE does not send it on.
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    if let Some(client) = &onward.client {
        forwarded::write(out, head, client, host);
    }
    write_field(out, "Via", onward.via.value(head.version()));
    write_field(out, REQUEST_ID_HEADER, onward.request_id);
    if let Some(trace) = onward.trace {
        write_field(out, "traceparent", trace);
    }
    if let Some(peer) = &onward.peer {
        peer.write(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_request_line(out: &mut Vec<u8>, head: &RequestHead<'_>, without_namespace: bool) {
    out.extend_from_slice(head.method().as_str().as_bytes());
    out.push(b' ');
    // RFC 9112 §3.2.1: in origin-form, in which way ever it came.
    out.extend_from_slice(head.path().as_bytes());
    match head.query() {
        Some(query) if without_namespace => target::push_without_namespace(out, query),
        Some(query) => {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        None => {}
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The host that a client means.
#[derive(Debug, Clone, Copy)]
enum Host<'h> {
    Named(&'h str),
    /// It has named none, but it came to this address.
    At(SocketAddr),
}

impl<'h> Host<'h> {
    fn of(head: &RequestHead<'h>, own: Option<SocketAddr>) -> Option<Self> {
        head.host().map(Self::Named).or(own.map(Self::At))
    }

    fn write(self, out: &mut Vec<u8>) {
        let address = match self {
            Self::Named(host) => return out.extend_from_slice(host.as_bytes()),
            Self::At(address) => address,
        };
        match address.ip() {
            IpAddr::V4(ip) => write_address(out, ip.into()),
            IpAddr::V6(ip) => {
                out.push(b'[');
                write_address(out, ip.into());
                out.push(b']');
            }
        }
        out.push(b':');
        push_decimal(address.port().into(), out);
    }
}

/// Copies the lines of all fields that are kept, as many at once as stand together.
fn copy_lines(out: &mut Vec<u8>, head: &RequestHead<'_>, is_kept: impl Fn(&Field) -> bool) {
    let bytes = head.bytes();
    let mut copy = |run: Range<usize>| {
        out.extend_from_slice(bytes.get(run).unwrap_or_default());
    };
    let mut run = 0..0;
    for field in head.fields().iter().filter(|field| is_kept(field)) {
        let line = field.line();
        if line.start == run.end {
            run.end = line.end;
        } else {
            copy(std::mem::replace(&mut run, line));
        }
    }
    copy(run);
}

impl PeerFields<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        write_field(out, wire::VIEW, self.view);
        write_field(out, wire::MEMBER, self.member.as_bytes());
        let hold_ms = u64::try_from(self.hold_ms).unwrap_or(u64::MAX);
        write_number(out, wire::HOLD, hold_ms);
        if let Some(epoch) = self.epoch {
            write_number(out, wire::EPOCH, epoch);
        }
        if self.asks {
            write_field(out, wire::INVITE, b"1");
        }
        if self.fallback {
            write_field(out, wire::FALLBACK, b"1");
        }
    }
}

fn write_number(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    push_decimal(number, out);
    out.extend_from_slice(b"\r\n");
}

/// For every request, so without the formatter where it is short.
fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_ipv4(address, out),
        // Writing to memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests;
