//! The parsers of outside bytes, for the crate in `fuzz/`: bytes in, what was understood out. Nothing of the
//! product calls it, and nothing else has to be public for it.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::http::body::Decoder;
use crate::http::fields::Fields;
use crate::http::head::{self, Body, HeadLimits};
use crate::http::request::{RequestHead, Version};
use crate::http::response::{self, ResponseBody, ResponseHead};
use crate::http::via::Via;
use crate::proxy::back::{self, Back};
use crate::proxy::onward::{self, Downstream, Onward};

pub use crate::http::frames::{Abuse, Frames};
pub use crate::http::proxy_protocol::{Progress, Source, Wrong, read as introduction};
pub use crate::http::request_id::{RequestId, TraceParent};
pub use crate::http::trunk::read_of_each;

/// Bounds on a request's head: bytes of its line, bytes of its fields, and their number.
pub const LIMITS: [usize; 3] = [256, 1024, 8];

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length, which may be 0.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    ToClose,
}

/// A request, as its head was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: &'static str,
    /// With what.
    pub path: Vec<u8>,
    /// What stands behind the question mark.
    pub query: Option<Vec<u8>>,
    /// The host that is meant.
    pub host: Option<String>,
    /// The body that follows.
    pub body: Framing,
}

/// An answer, as its head was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// What became of the request.
    pub status: u16,
    /// What `Content-Length` says.
    pub length: Option<u64>,
    /// The body that follows.
    pub body: Framing,
}

/// What came of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunked {
    /// Its data, as far as it came.
    pub data: Vec<u8>,
    /// The trailer lines that go on.
    pub trailers: Vec<u8>,
    /// How many bytes it took; none if there were too few.
    pub end: Option<usize>,
}

/// How long the request head is with which `bytes` begin, of which the first `cut` come first. None if more
/// bytes are wanted.
///
/// # Errors
/// Why there is none.
pub fn request_end(bytes: &[u8], cut: usize) -> Result<Option<usize>, String> {
    let [request_line, fields, count] = LIMITS;
    let limits = HeadLimits {
        request_line,
        fields,
        count,
    };
    let mut scanner = head::Scanner::default();
    in_two(bytes, cut, |bytes| scanner.scan(bytes, &limits))
        .map_err(|failure| format!("{failure:?}"))
}

/// What a whole head means; none for one that is refused.
pub fn request(head: &[u8]) -> Option<Request> {
    let mut fields = Fields::new();
    let head = RequestHead::parse(head, &mut fields).ok()?;
    Some(Request {
        method: head.method().as_str(),
        path: head.path().into(),
        query: head.query().map(<[u8]>::to_vec),
        host: head.host().map(str::to_owned),
        body: match head.body() {
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::Chunked,
        },
    })
}

/// The head as it is sent to a replica, for a client at 127.0.0.1.
pub fn sent_on(head: &[u8], tls: bool, trusted_proxies: &[IpNet]) -> Option<Vec<u8>> {
    let mut fields = Fields::new();
    let head = RequestHead::parse(head, &mut fields).ok()?;
    let client = Downstream {
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        tls,
        trusted_proxies,
    };
    let onward = Onward {
        client: Some(client),
        via: &Via::new("zot-1"),
        request_id: b"id",
        trace: None,
        hide_cookie: Some("SHARDLET"),
        peer: None,
        without_namespace: false,
        own_address: Some((Ipv4Addr::LOCALHOST, 5000).into()),
    };
    let mut out = Vec::new();
    onward::write_head(&mut out, &head, &onward);
    Some(out)
}

/// How long the head is of the answer with which `bytes` begin; as [`request_end`].
///
/// # Errors
/// Why there is none.
pub fn response_end(bytes: &[u8], cut: usize) -> Result<Option<usize>, String> {
    let mut scanner = response::Scanner::default();
    in_two(bytes, cut, |bytes| scanner.scan(bytes)).map_err(|broken| format!("{broken:?}"))
}

/// What a whole head means, to `HEAD` or not; none for one that is refused.
pub fn response(head: &[u8], to_head: bool) -> Option<Response> {
    let mut fields = Fields::new();
    let head = ResponseHead::parse(head, &mut fields, to_head).ok()?;
    Some(Response {
        status: head.status(),
        length: head.content_length(),
        body: framing(head.body()),
    })
}

/// The head as it goes to a client of HTTP/1.0 or HTTP/1.1, and how the body follows it.
pub fn sent_back(head: &[u8], to_head: bool, http10: bool) -> Option<(Vec<u8>, Framing)> {
    let mut fields = Fields::new();
    let head = ResponseHead::parse(head, &mut fields, to_head).ok()?;
    let back = Back {
        version: if http10 {
            Version::Http10
        } else {
            Version::Http11
        },
        request_id: b"id",
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        cookie: None,
        close: false,
    };
    let mut out = Vec::new();
    let body = back::write_head(&mut out, &head, &back);
    Some((out, framing(body)))
}

/// Reads a chunked body that comes in pieces of this size; none for what is none.
pub fn chunked(bytes: &[u8], piece: usize) -> Option<Chunked> {
    let mut decoder = Decoder::default();
    let (mut data, mut used, mut ended) = (Vec::new(), 0, false);
    for bytes in bytes.chunks(piece) {
        let mut bytes = bytes.to_vec();
        let decoded = decoder.decode(&mut bytes).ok()?;
        data.extend_from_slice(bytes.get(..decoded.data)?);
        used += decoded.used;
        ended = decoded.ended;
        if ended {
            break;
        }
    }
    Some(Chunked {
        data,
        trailers: decoder.trailers().to_vec(),
        end: ended.then_some(used),
    })
}

fn framing(body: ResponseBody) -> Framing {
    match body {
        ResponseBody::None => Framing::Length(0),
        ResponseBody::Length(length) => Framing::Length(length),
        ResponseBody::Chunked => Framing::Chunked,
        ResponseBody::ToClose => Framing::ToClose,
    }
}

/// First a part of the bytes, and all of them if that does not do.
fn in_two<E>(
    bytes: &[u8],
    cut: usize,
    mut scan: impl FnMut(&[u8]) -> Result<Option<usize>, E>,
) -> Result<Option<usize>, E> {
    match scan(bytes.get(..cut).unwrap_or_default()) {
        Ok(None) => scan(bytes),
        early => early,
    }
}
