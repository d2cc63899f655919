//! What comes from a client: the body of its request, and that it leaves.

use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Http2, Piece};
use crate::http::body::Decoder;
use crate::http::buffer::{Buffer, LARGE, SMALL};
use crate::http::head::Body;
use crate::http::limit::within;
use crate::http::line::Line;
use crate::http::pace::{Pace, TooSlow};
use crate::http::respond::{Failure, Malformed};
use crate::http::stream::Tempo;

/// A body of up to so many bytes is kept, so that it can be sent again: manifests hardly have more.
const KEPT: u64 = 16 * 1024;

/// The request's body.
pub(crate) struct Source<'c> {
    pub(super) from: From<'c>,
    left: Left,
    has_body: bool,
    /// What has come of a small body, of which this much was read since the last [`Source::rewind`].
    kept: Vec<u8>,
    at: usize,
    idle: Duration,
    pace: Pace,
    trailers: Vec<u8>,
    /// Bytes of the body that have come, its framing not counted.
    pub(crate) received: u64,
}

pub(super) enum From<'c> {
    Http1 {
        line: &'c Line,
        /// What has come together with the head.
        ahead: &'c [u8],
        /// What was read behind the end of this request: another one begins.
        behind: Vec<u8>,
    },
    Http2(&'c Http2),
}

/// What is still to come of a body.
pub(super) enum Left {
    Nothing,
    Length(u64),
    Chunked(Box<Decoder>),
    /// HTTP/2 frames it itself.
    Stream,
}

impl<'c> Source<'c> {
    pub(super) fn new(from: From<'c>, left: Left, tempo: &Tempo) -> Self {
        Self {
            from,
            has_body: !matches!(left, Left::Nothing),
            left,
            kept: Vec::new(),
            at: 0,
            idle: tempo.patience,
            pace: Pace::new(tempo.upload_rate, tempo.patience, TooSlow::Sending),
            trailers: Vec::new(),
            received: 0,
        }
    }

    /// Whether a body that is framed so is kept, whatever comes.
    pub(crate) fn keeps(body: Body) -> bool {
        match body {
            Body::Length(length) => length <= KEPT,
            Body::Chunked => false,
        }
    }

    /// Whether the request has a body.
    pub(crate) fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether the body has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    /// Whether there is more to read, or the end to be found.
    pub(crate) fn has_more(&self) -> bool {
        !self.is_done() || self.at < self.kept.len()
    }

    /// Whether the next part is the whole of a body that is framed so, and is here already.
    pub(crate) fn has_at_hand(&self, body: Body) -> bool {
        match (body, &self.from, &self.left) {
            (Body::Length(length), _, Left::Nothing) => {
                self.at == 0 && self.kept.len() as u64 == length
            }
            (Body::Length(length), From::Http1 { ahead, .. }, Left::Length(left)) => {
                *left == length && ahead.len() as u64 >= length
            }
            _ => false,
        }
    }

    /// Whether all that has come of the body can be read again.
    pub(crate) fn can_rewind(&self) -> bool {
        self.kept.len() as u64 == self.received
    }

    /// Goes back to the body's beginning, if all of it is still there.
    pub(crate) fn rewind(&mut self) {
        if self.can_rewind() {
            self.at = 0;
        }
    }

    /// The next part of the body; none at its end. Safe to cancel.
    ///
    /// # Errors
    /// A client that is gone, silent or too slow, and bytes that are no chunks (RFC 9112 §7.1).
    pub(crate) async fn read(&mut self) -> Result<Option<Piece>, Failure> {
        self.read_up_to(u64::MAX).await
    }

    /// The same, of about so many bytes at most.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) async fn read_up_to(&mut self, size: u64) -> Result<Option<Piece>, Failure> {
        if self.at < self.kept.len() {
            let again = Buffer::of(&self.kept[self.at..]);
            self.at = self.kept.len();
            return Ok(Some(Piece::Buffer(again)));
        }
        let piece = match (&mut self.from, &mut self.left) {
            (_, Left::Nothing) => return Ok(None),
            (From::Http2(stream), _) => {
                let data = within(self.idle, pin!(stream.read())).await;
                match data.map_err(|_| Failure::BodyTimeout)?? {
                    Some(data) => Piece::Bytes(data),
                    None => {
                        self.left = Left::Nothing;
                        return Ok(None);
                    }
                }
            }
            (From::Http1 { .. }, _) => return self.read_http1(size).await,
        };
        self.came(piece.as_ref());
        Ok(Some(piece))
    }

    /// Counts a part of the body, and keeps it if the whole is small.
    fn came(&mut self, data: &[u8]) {
        let has_all = self.can_rewind();
        self.received += data.len() as u64;
        let to_come = match self.left {
            Left::Length(left) => left,
            Left::Nothing | Left::Chunked(_) | Left::Stream => 0,
        };
        if has_all && self.received.saturating_add(to_come) <= KEPT {
            self.kept.extend_from_slice(data);
        } else {
            self.kept = Vec::new();
        }
        self.at = self.kept.len();
    }

    async fn read_http1(&mut self, size: u64) -> Result<Option<Piece>, Failure> {
        loop {
            let From::Http1 {
                line,
                ahead,
                behind,
            } = &mut self.from
            else {
                return Ok(None);
            };
            let most = match &self.left {
                Left::Nothing | Left::Stream => return Ok(None),
                Left::Length(left) => *left,
                Left::Chunked(_) => u64::MAX,
            };
            let mut buffer = if ahead.is_empty() {
                let began = self.pace.is_watching().then(Instant::now);
                let read = within(self.idle, line.read(LARGE, most.min(size))).await;
                let buffer = match read {
                    Err(_) => return Err(Failure::BodyTimeout),
                    Ok(Err(_)) => return Err(Failure::ClientGone),
                    Ok(Ok(buffer)) if buffer.is_empty() => return Err(Failure::ClientGone),
                    Ok(Ok(buffer)) => buffer,
                };
                let waited = began.map_or(Duration::ZERO, |began| began.elapsed());
                let moved = self.pace.moved(buffer.len(), waited);
                moved.map_err(|_| Failure::BodyTooSlow)?;
                buffer
            } else {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let (taken, rest) = ahead.split_at(ahead.len().min(most));
                *ahead = rest;
                Buffer::of(taken)
            };
            let data = match &mut self.left {
                Left::Length(left) => {
                    *left -= buffer.len() as u64;
                    if *left == 0 {
                        self.left = Left::Nothing;
                    }
                    buffer.len()
                }
                Left::Chunked(decoder) => {
                    let decoded = decoder.decode(&mut buffer);
                    let decoded = decoded.map_err(|_| Failure::BadRequest(Malformed::Body))?;
                    behind.extend_from_slice(&buffer[decoded.used..]);
                    if decoded.ended {
                        self.trailers = decoder.trailers().to_vec();
                        self.left = Left::Nothing;
                    }
                    decoded.data
                }
                Left::Nothing | Left::Stream => 0,
            };
            if data > 0 {
                buffer.truncate(data);
                self.came(&buffer);
                return Ok(Some(Piece::Buffer(buffer)));
            }
        }
    }

    /// The client's socket and how much of the body it still brings, for bytes that need no look of ours.
    pub(crate) fn plain_tcp(&self) -> Option<(&'c TcpStream, u64)> {
        match (&self.from, &self.left) {
            (
                From::Http1 {
                    line, ahead: [], ..
                },
                Left::Length(left),
            ) if self.at == self.kept.len() && !self.pace.is_watching() => {
                Some((line.tcp()?, *left))
            }
            _ => None,
        }
    }

    /// So many bytes of the body have passed by.
    pub(crate) fn passed(&mut self, bytes: u64) {
        self.received += bytes;
        if let Left::Length(left) = &mut self.left {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.left = Left::Nothing;
            }
        }
    }

    /// How long the client may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.idle
    }

    /// Returns when the client has left, and why. Never while there is a body that nobody reads: the end of a
    /// connection lies behind it ([`Source::looks_gone`]).
    pub(crate) async fn gone(&mut self) -> Failure {
        match &mut self.from {
            // A stream ends apart from what was sent on it.
            From::Http2(stream) => return stream.reset().await,
            From::Http1 {
                line,
                ahead,
                behind,
            } if matches!(self.left, Left::Nothing) => {
                if ahead.is_empty() && behind.is_empty() {
                    match line.read(SMALL, u64::MAX).await {
                        Ok(buffer) if !buffer.is_empty() => behind.extend_from_slice(&buffer),
                        Ok(_) | Err(_) => return Failure::ClientGone,
                    }
                }
            }
            From::Http1 { .. } => {}
        }
        std::future::pending().await
    }

    /// Whether the kernel knows that the client has left, for a body that nobody reads yet.
    pub(crate) fn looks_gone(&self) -> bool {
        match &self.from {
            From::Http1 { line, .. } => line.is_closed(),
            From::Http2(_) => false,
        }
    }

    /// Whether [`Source::gone`] would notice.
    pub(crate) fn notices(&self) -> bool {
        matches!(self.from, From::Http2(_)) || self.is_done()
    }

    /// The trailer lines that followed the body. Those of HTTP/2 end here: the framework does not give
    /// them out.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}
