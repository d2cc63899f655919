//! Bodies, in both directions at once: an answer may begin before the request has ended.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::attempt::Broken;
use super::hop::Hop;
use crate::http::body::{self, Decoder};
use crate::http::buffer::{Buffer, LARGE};
use crate::http::client::{Piece, Sink, Source};
use crate::http::head::Body;
use crate::http::limit::within;
use crate::http::line::Line;
use crate::http::pace::Pace;
use crate::http::progress::Progress;
use crate::http::request::RequestHead;
use crate::http::respond::{Failure, Malformed};
use crate::http::response::{ResponseBody, ResponseHead};
use crate::http::splice::{self, Idle, Pipe, Side};
use crate::member::leases::LastLook;

/// Less than this is copied: two calls for a pipe cost more.
const WORTH_A_PIPE: u64 = 64 * 1024;
/// So much goes into the buffers of a connection where nothing is left from before.
const NEVER_WAITS: u64 = 8 * 1024;

/// How a request's body gets on, for those who wait for its answer meanwhile.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    began: Instant,
    /// Bytes that have come from the client.
    read: AtomicU64,
    /// Whether some of what has come cannot be read again.
    is_gone: AtomicBool,
    /// What the upstream has taken of it.
    progress: Progress,
    ended: OnceLock<Instant>,
    /// Asked before the request is whole, where it is written by a lease.
    last_look: Option<LastLook<'a>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(began: Instant, last_look: Option<LastLook<'a>>) -> Self {
        Self {
            began,
            read: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            progress: Progress::default(),
            ended: OnceLock::new(),
            last_look,
        }
    }

    /// When all of it was sent; where there is none, when it began.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// Whether nothing of the body has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.read.load(Ordering::Relaxed) == 0
    }

    /// Whether all of the body can be sent again.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_gone.load(Ordering::Relaxed)
    }

    /// What the upstream has taken of it.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Sends the head and then the body. Never ends by itself: from the end of the body on it waits for
    /// the client to leave.
    ///
    /// # Errors
    /// What the client has done, or why the body was kept back. An upstream that takes no more may have
    /// answered: that is for whoever reads the answer to find out.
    pub(super) async fn send(
        &self,
        head: &[u8],
        request: &RequestHead<'_>,
        source: &mut Source<'_>,
        line: &Line,
        patience: Duration,
        hop: Option<&Hop<'_>>,
    ) -> Broken {
        let sent = {
            let mut sending = pin!(self.send_all(head, request, source, line, patience, hop));
            poll_fn(|cx| {
                let sent = sending.as_mut().poll(cx);
                if let (Poll::Pending, Some(look)) = (&sent, &self.last_look) {
                    let cut = look.poll_cut(cx);
                    return cut.map(|()| Err(Broken::Client(refusal(look))));
                }
                sent
            })
            .await
        };
        match sent {
            Ok(()) => {
                let now = if source.has_body() {
                    Instant::now()
                } else {
                    self.began
                };
                let _ = self.ended.set(now);
                Broken::Client(source.gone().await)
            }
            Err(Broken::Upstream(_)) => std::future::pending().await,
            Err(broken) => broken,
        }
    }

    async fn send_all(
        &self,
        head: &[u8],
        request: &RequestHead<'_>,
        source: &mut Source<'_>,
        line: &Line,
        patience: Duration,
        hop: Option<&Hop<'_>>,
    ) -> Result<(), Broken> {
        let framing = request.body();
        let fits = fits(head, framing);
        if framing == Body::Length(0) {
            return self.write_last(line, [head, &[]], fits, patience).await;
        }
        // A small body that has come already goes along with its head.
        let goes_along = fits && source.has_at_hand(framing);
        if !goes_along {
            self.write(line, &[head], 0, patience).await?;
        }
        let head_left = if goes_along { head } else { &[] };
        if let Some(hop) = hop.filter(|hop| hop.asks) {
            Box::pin(hop.invited(source)).await?;
        }
        while source.has_more() {
            if self.splice(source, line, patience).await? {
                continue;
            }
            let read = source.read().await.map_err(Broken::Client)?;
            let Some(piece) = read else {
                break;
            };
            let data = piece.as_ref();
            if data.is_empty() {
                // An empty chunk would be the last one (RFC 9112 §7.1).
                continue;
            }
            let read = self.read.fetch_add(data.len() as u64, Ordering::Relaxed);
            self.is_gone.store(!source.can_rewind(), Ordering::Relaxed);
            match framing {
                Body::Length(length) if read + data.len() as u64 > length => {
                    return Err(Broken::Client(Failure::BadRequest(Malformed::Body)));
                }
                Body::Length(length) if read + data.len() as u64 == length => {
                    let parts = [head_left, data];
                    self.write_last(line, parts, fits, patience).await?;
                }
                Body::Length(_) => self.write(line, &[data], data.len(), patience).await?,
                Body::Chunked => {
                    let mut size = [0; 18];
                    let size = body::chunk_head(&mut size, data.len());
                    self.write(line, &[size, data, b"\r\n"], data.len(), patience)
                        .await?;
                }
            }
        }
        match framing {
            Body::Length(length) if self.read.load(Ordering::Relaxed) != length => {
                Err(Broken::Client(Failure::BadRequest(Malformed::Body)))
            }
            Body::Length(_) => Ok(()),
            Body::Chunked => {
                self.look_last().map_err(Broken::Client)?;
                self.end_chunks(request, source, line, patience).await
            }
        }
    }

    /// Sends what makes the request whole: what is left of its head, and the last piece of its body. Unless all of it
    /// fits, its last byte is kept back until it was looked.
    async fn write_last(
        &self,
        line: &Line,
        [head, data]: [&[u8]; 2],
        fits: bool,
        patience: Duration,
    ) -> Result<(), Broken> {
        let mut last = [head, data];
        let splits = !fits && self.last_look.is_some();
        if splits {
            let part = usize::from(!data.is_empty());
            let (before, byte) = last[part].split_at(last[part].len().saturating_sub(1));
            let mut most = std::mem::take(&mut last);
            (most[part], last[part]) = (before, byte);
            self.write(line, &most, most[1].len(), patience).await?;
        }
        self.look_last().map_err(|failure| {
            if head.is_empty() || splits {
                Broken::Client(failure)
            } else {
                Broken::Withheld(failure)
            }
        })?;
        self.write(line, &last, last[1].len(), patience).await
    }

    async fn end_chunks(
        &self,
        request: &RequestHead<'_>,
        source: &Source<'_>,
        line: &Line,
        patience: Duration,
    ) -> Result<(), Broken> {
        let trailers = if request.passes_trailers() {
            source.trailers()
        } else {
            &[]
        };
        let end: [&[u8]; 3] = [body::LAST_CHUNK, trailers, b"\r\n"];
        self.write(line, &end, 0, patience).await
    }

    /// The replica is about to have all of it. Until then it does nothing that lasts.
    fn look_last(&self) -> Result<(), Failure> {
        match &self.last_look {
            Some(look) if !look.may_finish() => Err(refusal(look)),
            _ => Ok(()),
        }
    }

    async fn write(
        &self,
        line: &Line,
        parts: &[&[u8]],
        data: usize,
        patience: Duration,
    ) -> Result<(), Broken> {
        let began = (data > 0).then(Instant::now);
        let written = line.write_all(parts, patience, &mut Pace::off()).await;
        written.map_err(Broken::Upstream)?;
        if let Some(began) = began {
            self.progress.note(data as u64);
            self.progress.note_pending(began.elapsed());
        }
        Ok(())
    }

    /// Has the kernel move what it can. Says whether it has moved anything.
    async fn splice(
        &self,
        source: &mut Source<'_>,
        line: &Line,
        patience: Duration,
    ) -> Result<bool, Broken> {
        let (Some((from, length)), Some(to)) = (source.plain_tcp(), line.tcp()) else {
            return Ok(false);
        };
        if length < WORTH_A_PIPE {
            return Ok(false);
        }
        let Some(mut pipe) = Pipe::take() else {
            return Ok(false);
        };
        let length = length - u64::from(self.last_look.is_some());
        let idle = Idle {
            read: source.patience(),
            write: patience,
        };
        // From now on something of it is gone, however much that turns out to be.
        self.read.fetch_add(length, Ordering::Relaxed);
        self.is_gone.store(true, Ordering::Relaxed);
        let taken = |bytes| source.passed(bytes);
        let splicing = splice::splice(&mut pipe, from, to, length, idle, taken, &self.progress);
        let spliced = Box::pin(splicing).await;
        match spliced {
            Ok(()) => Ok(true),
            Err(cut) => Err(match (cut.side, cut.error.kind()) {
                (Side::Reading, ErrorKind::Unsupported) => {
                    // Nothing was taken after all.
                    self.read.fetch_sub(length, Ordering::Relaxed);
                    self.is_gone.store(!source.can_rewind(), Ordering::Relaxed);
                    return Ok(false);
                }
                (Side::Reading, ErrorKind::TimedOut) => Broken::Client(Failure::BodyTimeout),
                (Side::Reading, _) => Broken::Client(Failure::ClientGone),
                (Side::Writing, _) => Broken::Upstream(cut.error),
            }),
        }
    }
}

/// Why a write is cut.
fn refusal(look: &LastLook<'_>) -> Failure {
    if look.lasts() {
        Failure::Handover
    } else {
        Failure::LeaseOver
    }
}

/// Whether all of a request goes into the buffers of its connection.
fn fits(head: &[u8], body: Body) -> bool {
    match body {
        Body::Length(length) => (head.len() as u64).saturating_add(length) <= NEVER_WAITS,
        Body::Chunked => false,
    }
}

/// What is still to come of an answer's body.
pub(super) enum Incoming {
    Nothing,
    Length(u64),
    Chunked(Box<Decoder>),
    ToClose,
}

/// An answer's body on its way.
pub(super) struct Download {
    incoming: Incoming,
    passes_trailers: bool,
    trailers: Vec<u8>,
    /// Bytes that have come from the upstream.
    pub(super) received: u64,
    /// Whether bytes came that belong to nothing.
    pub(super) has_more: bool,
}

impl Download {
    pub(super) fn of(head: &ResponseHead<'_>) -> Self {
        Self {
            passes_trailers: head.passes_trailers(),
            incoming: match head.body() {
                ResponseBody::None | ResponseBody::Length(0) => Incoming::Nothing,
                ResponseBody::Length(length) => Incoming::Length(length),
                ResponseBody::Chunked => Incoming::Chunked(Box::default()),
                ResponseBody::ToClose => Incoming::ToClose,
            },
            trailers: Vec::new(),
            received: 0,
            has_more: false,
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.incoming, Incoming::Nothing)
    }

    /// Reduces what has come to the data in it.
    ///
    /// # Errors
    /// Bytes that are no chunks.
    pub(super) fn take(&mut self, buffer: &mut Buffer) -> Result<(), Broken> {
        let (data, used) = match &mut self.incoming {
            Incoming::Nothing => (0, 0),
            Incoming::ToClose => (buffer.len(), buffer.len()),
            Incoming::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.incoming = Incoming::Nothing;
                }
                (taken, taken)
            }
            Incoming::Chunked(decoder) => {
                let decoded = decoder.decode(buffer).map_err(|_| Broken::protocol())?;
                if decoded.ended {
                    if self.passes_trailers {
                        self.trailers = decoder.trailers().to_vec();
                    }
                    self.incoming = Incoming::Nothing;
                }
                (decoded.data, decoded.used)
            }
        };
        self.has_more |= used < buffer.len();
        self.received += data as u64;
        buffer.truncate(data);
        Ok(())
    }

    /// Passes the rest on, and the end.
    ///
    /// # Errors
    /// Whoever broke off.
    pub(super) async fn pass(
        &mut self,
        line: &Line,
        sink: &mut Sink<'_>,
        patience: Duration,
    ) -> Result<(), Broken> {
        while !self.is_done() {
            if self.splice(line, sink, patience).await? {
                continue;
            }
            let most = match self.incoming {
                Incoming::Length(left) => left,
                Incoming::Nothing | Incoming::Chunked(_) | Incoming::ToClose => u64::MAX,
            };
            let read = within(patience, line.read(LARGE, most)).await;
            let mut buffer = read
                .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
                .map_err(Broken::Upstream)?;
            if buffer.is_empty() {
                if !matches!(self.incoming, Incoming::ToClose) {
                    return Err(Broken::Upstream(ErrorKind::UnexpectedEof.into()));
                }
                self.incoming = Incoming::Nothing;
                break;
            }
            self.take(&mut buffer)?;
            let written = sink.write(Piece::Buffer(buffer)).await;
            written.map_err(Broken::Client)?;
        }
        self.end(sink).await
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// A client that is gone.
    pub(super) async fn end(&self, sink: &mut Sink<'_>) -> Result<(), Broken> {
        sink.end(&self.trailers).await.map_err(Broken::Client)
    }

    async fn splice(
        &mut self,
        line: &Line,
        sink: &mut Sink<'_>,
        patience: Duration,
    ) -> Result<bool, Broken> {
        let (Incoming::Length(left), Some(from), Some(to)) =
            (&mut self.incoming, line.tcp(), sink.plain_tcp())
        else {
            return Ok(false);
        };
        if *left < WORTH_A_PIPE {
            return Ok(false);
        }
        let Some(mut pipe) = Pipe::take() else {
            return Ok(false);
        };
        let idle = Idle {
            read: patience,
            write: sink.patience(),
        };
        let (length, progress) = (*left, Progress::default());
        let taken = |bytes| *left = left.saturating_sub(bytes);
        let splicing = splice::splice(&mut pipe, from, to, length, idle, taken, &progress);
        let spliced = Box::pin(splicing).await;
        self.received += length - *left;
        sink.passed(progress.moved());
        if *left == 0 {
            self.incoming = Incoming::Nothing;
        }
        match spliced {
            Ok(()) => Ok(true),
            Err(cut) => Err(match (cut.side, cut.error.kind()) {
                (Side::Reading, ErrorKind::Unsupported) => return Ok(false),
                (Side::Reading, _) => Broken::Upstream(cut.error),
                (Side::Writing, ErrorKind::TimedOut) => Broken::Client(Failure::ClientStalled),
                (Side::Writing, _) => Broken::Client(Failure::ClientGone),
            }),
        }
    }
}

impl Broken {
    fn protocol() -> Self {
        Self::Upstream(io::Error::from(ErrorKind::InvalidData))
    }
}

#[cfg(test)]
mod tests;
