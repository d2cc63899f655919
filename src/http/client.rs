//! The client's end of one request: what comes from it ([`Source`]) and what goes to it ([`Sink`]). The
//! two are apart, since a body may still come in while the answer already goes out.

mod http2;
mod sink;
mod source;

use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::DATE;
use http::response::Parts;
use pingora::http::ResponseHeader;

use super::buffer::Buffer;
use super::date;
use super::head::Body;
use super::line::Line;
use super::request::Version;
use super::respond::{Failure, wire};
use super::scratch::Scratch;
use super::stream::Tempo;
use super::transfers;

pub(crate) use http2::Http2;
pub(crate) use sink::{Framing, Sink};
pub(crate) use source::Source;

use sink::To;
use source::{From, Left};

/// Whose connection it is.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// Its address; none behind a Unix socket.
    pub(crate) address: Option<SocketAddr>,
    /// Ours, which it has called.
    pub(crate) local: Option<SocketAddr>,
    /// The version of TLS that it speaks.
    pub(crate) tls: Option<&'static str>,
    /// Whether the address is a proxy's that does not know whose connection it brings.
    pub(crate) is_unknown: bool,
    /// Counts its bodies.
    pub(crate) transfers: transfers::Connection,
    /// See [`End::shown`].
    pub(crate) text: OnceLock<Box<str>>,
}

impl End {
    /// Its address as text, which each line of the log has.
    pub(crate) fn shown(&self) -> Option<&str> {
        let address = self.address?;
        Some(self.text.get_or_init(|| address.to_string().into()))
    }
}

/// One request's way to its client and back.
pub(crate) struct Client<'c> {
    pub(crate) end: &'c End,
    pub(crate) source: Source<'c>,
    pub(crate) sink: Sink<'c>,
}

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Buffer(Buffer),
    Bytes(Bytes),
}

impl<'c> Client<'c> {
    /// A request that came over HTTP/1 with this head; `ahead` is what has come behind it.
    pub(crate) fn http1(
        end: &'c End,
        line: &'c Line,
        body: Body,
        ahead: &'c [u8],
        tempo: &Tempo,
    ) -> Self {
        let left = match body {
            Body::Length(0) => Left::Nothing,
            Body::Length(length) => Left::Length(length),
            Body::Chunked => Left::Chunked(Box::default()),
        };
        let from = From::Http1 {
            line,
            ahead,
            behind: Vec::new(),
        };
        Self {
            end,
            source: Source::new(from, left, tempo),
            sink: Sink::new(To::Http1(line), tempo),
        }
    }

    /// A request that came over HTTP/2.
    pub(crate) fn http2(end: &'c End, stream: &'c Http2, body: Body, tempo: &Tempo) -> Self {
        let left = match body {
            Body::Length(0) => Left::Nothing,
            Body::Length(_) | Body::Chunked => Left::Stream,
        };
        Self {
            end,
            source: Source::new(From::Http2(stream), left, tempo),
            sink: Sink::new(To::Http2(stream), tempo),
        }
    }

    /// Whether it is one of many on its connection.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sink.to, To::Http2(_))
    }

    /// What begins the next request of its connection, if there may be a next one: whatever became of the
    /// body, a byte of it must never begin a request.
    pub(crate) fn into_rest(self) -> Option<Buffer> {
        let may_go_on = self.source.is_done() && self.sink.ended && !self.sink.closes;
        match self.source.from {
            From::Http1 {
                ahead, mut behind, ..
            } if may_go_on => Some(if behind.is_empty() {
                Buffer::of(ahead)
            } else {
                behind.splice(..0, ahead.iter().copied());
                Buffer::of(&behind)
            }),
            From::Http1 { .. } | From::Http2(_) => None,
        }
    }

    /// Answers with a head of our own making, and a body that is there.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(crate) async fn answer(
        &mut self,
        mut parts: Parts,
        body: Bytes,
        version: Version,
    ) -> Result<(), Failure> {
        self.sink.status = Some(parts.status.as_u16());
        if self.is_http2() {
            let ends = body.is_empty();
            let head = Box::new(ResponseHeader::from(parts));
            self.sink.begin_http2(head, ends)?;
            if !ends {
                self.sink.write(Piece::Bytes(body)).await?;
            }
            return self.sink.end(&[]).await;
        }
        parts.headers.insert(DATE, date::value());
        let mut bytes = Scratch::take();
        let connection = wire::connection(version, self.sink.closes);
        wire::write(&mut bytes, &parts, &[], connection);
        self.sink
            .begin_http1(&mut bytes, &body, Framing::Plain)
            .await?;
        self.sink.end(&[]).await
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Piece {
    fn into_bytes(self) -> Bytes {
        match self {
            Self::Buffer(buffer) => Bytes::from_owner(buffer),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests;
