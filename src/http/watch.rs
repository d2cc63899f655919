//! Watches over a connection that speaks HTTP/2: its frames, and the time that a header block takes.
//!
//! Who does too much is told so by a GOAWAY before the connection ends. The library beneath the
//! framework writes frames of its own, so ours has to wait for the end of the one that is on its way.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::cork::Corked;
use super::frames::{Abuse, Frames};
use super::framing::{DATA, Frame, Framing, GOAWAY, Piece, goaway};
use super::refusal;

/// `NO_ERROR` and `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;
/// How long a frame that is on its way may take to its end, before the client is cut in its middle.
const LAST_FRAME: Duration = Duration::from_secs(5);
/// A GOAWAY has two numbers before its debug data, of which so many bytes are kept.
const GOAWAY_BYTES: usize = 8;
const SAID_BYTES: usize = 64;

/// How a connection ended, for those who served it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    abuse: OnceLock<Abuse>,
    line: Mutex<Option<Goodbye>>,
}

/// A connection that the library has let go, and what its client is still told.
#[derive(Debug)]
pub(super) struct Goodbye {
    line: Corked,
    said: Vec<u8>,
}

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Watch {
    frames: Frames,
    sent: Sent,
    began: Instant,
    /// How long a header block may take from its first frame to its last.
    patience: Duration,
    block_ends: Option<Pin<Box<Sleep>>>,
    leaving: Leaving,
    ending: Arc<Ending>,
}

/// What the library has written, as far as it matters here.
#[derive(Debug)]
struct Sent {
    framing: Framing,
    /// The beginning of a GOAWAY's payload, once one was sent.
    goaway: Option<Vec<u8>>,
    in_goaway: bool,
}

/// Whether the connection is about to end for what its client has done.
#[derive(Debug)]
enum Leaving {
    No,
    /// As soon as the frame that is on its way has ended, or this has.
    Soon(Pin<Box<Sleep>>),
    Gone,
}

impl Ending {
    /// What the client did too much of, if that ended the connection.
    pub(super) fn abuse(&self) -> Option<&Abuse> {
        self.abuse.get()
    }

    /// The connection, if its client is still to be told why it ends.
    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.take()
    }
}

impl Goodbye {
    /// Says the last word and leaves the client time to read it.
    pub(super) async fn say(mut self) {
        refusal::say_last(&mut self.line, &self.said).await;
    }
}

impl Watch {
    pub(super) fn new(patience: Duration, ending: Arc<Ending>) -> Self {
        Self {
            frames: Frames::default(),
            sent: Sent::default(),
            began: Instant::now(),
            patience,
            block_ends: None,
            leaving: Leaving::No,
            ending,
        }
    }

    /// Reads what the client sends, first of all from `held`.
    pub(super) fn poll_read(
        &mut self,
        line: &mut Corked,
        held: &mut BytesMut,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        if !matches!(self.leaving, Leaving::No) {
            return self.poll_leave(line, cx).map(Err);
        }
        let before = buf.filled().len();
        if held.is_empty() {
            match Pin::new(&mut *line).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    ready!(self.poll_overdue(cx));
                    return self.leave(Abuse::SlowHeaderBlock, line, cx).map(Err);
                }
            }
        } else {
            let taken = held.len().min(buf.remaining());
            buf.put_slice(&held[..taken]);
            held.advance(taken);
        }
        let now = self.began.elapsed();
        if let Err(abuse) = self.frames.follow(&buf.filled()[before..], now) {
            buf.set_filled(before);
            return self.leave(abuse, line, cx).map(Err);
        }
        if !self.frames.in_header_block() {
            self.block_ends = None;
        } else if self.block_ends.is_none() {
            self.block_ends = Some(Box::pin(sleep(self.patience)));
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the library has for the client; only to the end of a frame if the connection is to
    /// end.
    pub(super) fn poll_write(
        &mut self,
        line: &mut Corked,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let written = if matches!(self.leaving, Leaving::No) {
            ready!(Pin::new(line).poll_write_vectored(cx, bufs))?
        } else {
            let left = self.sent.framing.owes();
            if left == 0 || matches!(self.leaving, Leaving::Gone) {
                return self.poll_leave(line, cx).map(Err);
            }
            let first = bufs.iter().find(|buf| !buf.is_empty());
            let first = first.map_or(&[][..], |buf| &**buf);
            ready!(Pin::new(line).poll_write(cx, &first[..first.len().min(left)]))?
        };
        let mut left = written;
        for buf in bufs {
            let taken = left.min(buf.len());
            left -= taken;
            self.sent.follow(&buf[..taken], &mut self.frames);
        }
        if matches!(self.leaving, Leaving::Soon(_)) && self.sent.framing.owes() == 0 {
            // There may be no more to write, and nobody else would look.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(written))
    }

    /// The library closes the connection: it is taken from it, since the client is still to read why, and may
    /// have its own last word under way.
    pub(super) fn shut_down(&mut self, line: &mut Corked) {
        if let Some((ENHANCE_YOUR_CALM, said)) = self.sent.error() {
            // The first one counts.
            let _ = self.ending.abuse.set(Abuse::Library(said));
        }
        self.hand_over(line, Vec::new());
    }

    /// The library lets the connection go without a word, as it does once no request has come for
    /// long enough: the client is told that none of its requests is lost, should one be on its way.
    pub(super) fn dropped(&mut self, line: &mut Corked) {
        let silent = self.sent.goaway.is_none() && self.sent.framing.owes() == 0;
        if silent && matches!(self.leaving, Leaving::No) {
            let last = self.frames.last_stream();
            self.hand_over(line, goaway(last, NO_ERROR, ""));
        }
    }

    /// Nothing comes from the client: ready once it has owed the rest of a header block for too
    /// long. No stream waits for it yet, so nobody else would.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.block_ends {
            Some(ends) => ends.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn leave(&mut self, abuse: Abuse, line: &mut Corked, cx: &mut Context<'_>) -> Poll<Error> {
        // The first one counts.
        let _ = self.ending.abuse.set(abuse);
        self.leaving = Leaving::Soon(Box::pin(sleep(LAST_FRAME)));
        self.poll_leave(line, cx)
    }

    /// Takes the connection from the library between two frames.
    fn poll_leave(&mut self, line: &mut Corked, cx: &mut Context<'_>) -> Poll<Error> {
        if let Leaving::Soon(limit) = &mut self.leaving {
            if self.sent.framing.owes() == 0 {
                let why = self.ending.abuse().map_or("", Abuse::as_str);
                let last = self.frames.last_stream();
                self.hand_over(line, goaway(last, ENHANCE_YOUR_CALM, why));
            } else {
                ready!(limit.as_mut().poll(cx));
                self.leaving = Leaving::Gone;
            }
        }
        Poll::Ready(Error::from(ErrorKind::ConnectionAborted))
    }

    fn hand_over(&mut self, line: &mut Corked, said: Vec<u8>) {
        self.leaving = Leaving::Gone;
        let line = std::mem::replace(line, Corked::closed());
        let goodbye = Goodbye { line, said };
        let mut place = self
            .ending
            .line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(goodbye);
    }
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            framing: Framing::of_server(),
            goaway: None,
            in_goaway: false,
        }
    }
}

impl Sent {
    /// These bytes were written: the client may have something to say to them.
    fn follow(&mut self, mut bytes: &[u8], frames: &mut Frames) {
        while let Some(piece) = self.framing.next(&mut bytes) {
            match piece {
                Piece::Frame(Frame { kind, length, .. }) => {
                    self.in_goaway = kind == GOAWAY;
                    if self.in_goaway {
                        self.goaway = Some(Vec::new());
                    }
                    if kind == DATA {
                        frames.sent_body(length);
                    }
                }
                Piece::Payload(payload) if self.in_goaway => {
                    let kept = self.goaway.get_or_insert_default();
                    let room = (GOAWAY_BYTES + SAID_BYTES).saturating_sub(kept.len());
                    kept.extend_from_slice(&payload[..payload.len().min(room)]);
                }
                Piece::Payload(_) => {}
            }
        }
    }

    /// Code and debug data of the last GOAWAY, if it told of an error.
    fn error(&self) -> Option<(u32, Box<str>)> {
        let [_, _, _, _, c0, c1, c2, c3, said @ ..] = self.goaway.as_deref()? else {
            return None;
        };
        let code = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
        (code != NO_ERROR).then(|| (code, String::from_utf8_lossy(said).into()))
    }
}
