//! What goes to a client: the answer, as its connection frames it.

use std::io::ErrorKind;
use std::time::Duration;

use pingora::http::ResponseHeader;
use tokio::net::TcpStream;

use super::{Http2, Piece};
use crate::http::body;
use crate::http::line::Line;
use crate::http::pace::{Pace, TooSlow};
use crate::http::respond::Failure;
use crate::http::stream::Tempo;

/// So much of a body is copied behind its head: the kernel takes more time over two parts than over one.
const JOINED: usize = 4 * 1024;

/// The answer.
pub(crate) struct Sink<'c> {
    pub(super) to: To<'c>,
    framing: Framing,
    patience: Duration,
    pace: Pace,
    /// Bytes of the body that have gone, its framing not counted.
    pub(crate) sent: u64,
    /// The status that was sent.
    pub(crate) status: Option<u16>,
    /// Whether the connection ends with this answer.
    pub(crate) closes: bool,
    pub(super) ended: bool,
}

pub(super) enum To<'c> {
    Http1(&'c Line),
    Http2(&'c Http2),
}

/// How an answer's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length or by the end of the connection.
    Plain,
    Chunked,
}

impl<'c> Sink<'c> {
    pub(super) fn new(to: To<'c>, tempo: &Tempo) -> Self {
        Self {
            to,
            framing: Framing::Plain,
            patience: tempo.patience,
            pace: Pace::new(tempo.download_rate, tempo.patience, TooSlow::Reading),
            sent: 0,
            status: None,
            closes: false,
            ended: false,
        }
    }

    /// Whether the answer has begun, 1xx not counted.
    pub(crate) fn has_begun(&self) -> bool {
        self.status.is_some()
    }

    /// Passes a 1xx on, which comes as HTTP/1 has it. The library has no way to do so over HTTP/2.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(crate) async fn interim(&mut self, head: &[u8]) -> Result<(), Failure> {
        match &self.to {
            To::Http1(_) => self.write_http1(&[head], 0).await,
            To::Http2(_) => Ok(()),
        }
    }

    /// Sends the head over HTTP/1, and the beginning of its body along.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(crate) async fn begin_http1(
        &mut self,
        head: &mut Vec<u8>,
        data: &[u8],
        framing: Framing,
    ) -> Result<(), Failure> {
        self.framing = framing;
        let mut size = [0; 18];
        let length = data.len();
        if framing == Framing::Chunked && length > 0 {
            let size = body::chunk_head(&mut size, length);
            return self.write_http1(&[head, size, data, b"\r\n"], length).await;
        }
        if length <= JOINED {
            head.extend_from_slice(data);
            return self.write_http1(&[head], length).await;
        }
        self.write_http1(&[head, data], length).await
    }

    /// Sends the head over HTTP/2.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(crate) fn begin_http2(
        &mut self,
        head: Box<ResponseHeader>,
        ends: bool,
    ) -> Result<(), Failure> {
        let To::Http2(stream) = &self.to else {
            return Err(Failure::Internal);
        };
        let mut session = stream.session();
        let sent = session.write_response_header(head, ends);
        sent.map_err(|_| stream.lost())?;
        *stream.body() = session.take_response_body_writer();
        self.ended = ends;
        Ok(())
    }

    /// Sends a part of the body.
    ///
    /// # Errors
    /// A client that is gone, or takes too little for too long.
    pub(crate) async fn write(&mut self, piece: Piece) -> Result<(), Failure> {
        let length = piece.as_ref().len();
        if length == 0 {
            return Ok(());
        }
        match (&mut self.to, self.framing) {
            (To::Http1(_), Framing::Plain) => self.write_http1(&[piece.as_ref()], length).await,
            (To::Http1(_), Framing::Chunked) => {
                let mut size = [0; 18];
                let size = body::chunk_head(&mut size, length);
                self.write_http1(&[size, piece.as_ref(), b"\r\n"], length)
                    .await
            }
            (To::Http2(stream), _) => {
                stream.send(piece.into_bytes(), self.patience).await?;
                self.sent += length as u64;
                Ok(())
            }
        }
    }

    /// The answer has come to its end.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(crate) async fn end(&mut self, trailers: &[u8]) -> Result<(), Failure> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        match (&mut self.to, self.framing) {
            (To::Http1(_), Framing::Plain) => Ok(()),
            (To::Http1(_), Framing::Chunked) => {
                self.write_http1(&[body::LAST_CHUNK, trailers, b"\r\n"], 0)
                    .await
            }
            (To::Http2(stream), _) => stream.end(trailers),
        }
    }

    /// The answer has broken off: nobody must take a part of it for the whole.
    pub(crate) fn cut(&mut self) {
        self.closes = true;
        if let To::Http2(stream) = &self.to {
            match &mut *stream.body() {
                Some(body) => body.send_reset(h2::Reason::INTERNAL_ERROR),
                None => stream.session().shutdown(),
            }
        }
    }

    /// The client's socket and where it stands, for bytes that need no look of ours.
    pub(crate) fn plain_tcp(&self) -> Option<&'c TcpStream> {
        match (&self.to, self.framing) {
            (To::Http1(line), Framing::Plain) if !self.pace.is_watching() => line.tcp(),
            _ => None,
        }
    }

    /// So many bytes of the body have passed by.
    pub(crate) fn passed(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// How long the client may take nothing.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    async fn write_http1(&mut self, parts: &[&[u8]], length: usize) -> Result<(), Failure> {
        let To::Http1(line) = &self.to else {
            return Err(Failure::Internal);
        };
        let written = line.write_all(parts, self.patience, &mut self.pace).await;
        written.map_err(|error| match (TooSlow::of(&error), error.kind()) {
            (Some(_), _) => Failure::ClientTooSlow,
            (None, ErrorKind::TimedOut) => Failure::ClientStalled,
            (None, _) => Failure::ClientGone,
        })?;
        self.sent += length as u64;
        Ok(())
    }
}
