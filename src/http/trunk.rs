//! One connection between two members that carries many small requests at once.
//!
//! Over a connection of its own each request between members costs both of them system calls and TLS records
//! for it alone. On a trunk those that are under way at the same time share them. A trunk carries streams, and
//! each is used as a connection is: requests and answers are the same bytes of HTTP/1.1. Large bodies have
//! connections of their own, where nothing stands between them and the socket.
//!
//! Who asks has one trunk for each of its threads and opens the streams; who answers serves each in a task of
//! its own, on the thread that has the trunk. A trunk is agreed on by ALPN, so that a member that knows none
//! speaks HTTP/1.1 over the same connection.

mod frame;
mod streams;

use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::buffer::{Buffer, LARGE};
use super::limit::within;
use super::tls::Tls;
use streams::{Key, Streams};

/// Its name in ALPN.
pub(crate) const PROTOCOL: &[u8] = b"shardlet-trunk/1";

/// How long the last bytes of a trunk may take to go out.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// A trunk, for who opens its streams. Those that are open go on without it.
pub(crate) struct Trunk(Shared);

/// One stream of a trunk. Ends when dropped.
pub(crate) struct Stream {
    shared: Shared,
    key: Key,
}

impl Trunk {
    /// Begins one. What it carries goes by a task of its own on this runtime.
    pub(crate) fn begin(tls: Box<Tls>) -> Self {
        let shared = Shared::new(false);
        let carrier = Carrier::new(tls, shared.clone());
        tokio::spawn(carrier.run(Duration::MAX, pending(), |_| {}));
        Self(shared)
    }

    /// A new stream; none if it has too many, or is silent or over.
    pub(crate) fn open(&self) -> Option<Stream> {
        let key = self.0.lock().open()?;
        Some(Stream {
            shared: self.0.clone(),
            key,
        })
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        wake(self.0.lock().leave());
    }
}

/// Carries what the other end opens, until that ends the trunk, has opened nothing for so long, or `draining`
/// has ended and so has the last stream.
pub(crate) async fn accept(
    tls: Box<Tls>,
    idle: Duration,
    draining: impl Future<Output = ()>,
    serve: impl FnMut(Stream),
) {
    let carrier = Carrier::new(tls, Shared::new(true));
    carrier.run(idle, draining, serve).await;
}

/// What can be read of each stream when the other end has said this, in pieces of so many bytes; nothing if no
/// member says that.
pub fn read_of_each(said: &[u8], piece: usize) -> Option<Vec<Vec<u8>>> {
    let (mut streams, mut keys) = (Streams::new(true), Vec::new());
    let mut came = Buffer::default();
    for piece in said.chunks(piece) {
        came.join(piece);
        let taken = streams.take_in(&mut came, &mut Vec::new(), |key| keys.push(key));
        taken.ok()?;
    }
    let mut cx = Context::from_waker(Waker::noop());
    let read = keys.into_iter().map(|key| {
        let mut bytes = Vec::new();
        let _ = streams.poll_read(&mut cx, key, |came| {
            bytes.extend_from_slice(came);
            came.len()
        });
        bytes
    });
    Some(read.collect())
}

/// What both the streams and their carrier have in their hands. All of them are on one thread, but for what
/// is dropped elsewhere: nobody waits for the lock.
#[derive(Clone)]
struct Shared(Arc<Mutex<Streams>>);

impl Shared {
    fn new(accepts: bool) -> Self {
        Self(Arc::new(Mutex::new(Streams::new(accepts))))
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(carrier: Option<Waker>) {
    if let Some(carrier) = carrier {
        carrier.wake();
    }
}

/// Moves frames between the streams and the connection.
struct Carrier {
    tls: Box<Tls>,
    shared: Shared,
    /// The part of a frame.
    came: Buffer,
    /// Frames that are being sent.
    going: Buffer,
    /// Kept for its memory.
    woken: Vec<Waker>,
}

impl Carrier {
    fn new(tls: Box<Tls>, shared: Shared) -> Self {
        Self {
            tls,
            shared,
            came: Buffer::default(),
            going: Buffer::default(),
            woken: Vec::new(),
        }
    }

    async fn run(
        mut self,
        idle: Duration,
        draining: impl Future<Output = ()>,
        mut serve: impl FnMut(Stream),
    ) {
        let mut draining = pin!(draining);
        let mut is_last = false;
        let mut waits_for_use = true;
        let ended = loop {
            let carrying = poll_fn(|cx| {
                if !is_last && draining.as_mut().poll(cx).is_ready() {
                    is_last = true;
                    self.shared.lock().leave();
                }
                self.poll(cx, waits_for_use, &mut serve)
            });
            let carried = if waits_for_use {
                within(idle, carrying).await
            } else {
                Ok(carrying.await)
            };
            match carried {
                Ok(Ok(())) => waits_for_use = !waits_for_use,
                Ok(Err(error)) => break error,
                Err(over) => break over.into(),
            }
        };
        let woken = self.shared.lock().fail(ended.kind());
        woken.into_iter().for_each(Waker::wake);
        let _ = timeout(LAST_BYTES, self.tls.shutdown()).await;
    }

    /// Ready once there are streams, or none, as `is_used` says.
    ///
    /// # Errors
    /// Why nothing is carried any more; also that nobody will open another stream.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_used: bool,
        serve: &mut impl FnMut(Stream),
    ) -> Poll<io::Result<()>> {
        self.shared.lock().carry(cx);
        if let Poll::Ready(Err(error)) = self.poll_in(cx, serve) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        let streams = self.shared.lock();
        if !streams.is_used() && streams.is_left() && self.going.is_empty() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        if streams.is_used() == is_used {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Takes in what has come. Ends only with the connection.
    fn poll_in(
        &mut self,
        cx: &mut Context<'_>,
        serve: &mut impl FnMut(Stream),
    ) -> Poll<io::Result<()>> {
        loop {
            self.came.make_room(LARGE / 2);
            let mut room = ReadBuf::new(self.came.spare_mut());
            let polled = Pin::new(&mut self.tls).poll_read(cx, &mut room);
            let read = room.filled().len();
            if polled.is_pending() {
                self.came.shrink();
            }
            ready!(polled)?;
            if read == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            self.came.fill(read);
            let (came, woken) = (&mut self.came, &mut self.woken);
            let mut opened = Vec::new();
            let taken = (self.shared.lock()).take_in(came, woken, |key| opened.push(key));
            woken.drain(..).for_each(Waker::wake);
            for key in opened {
                serve(Stream {
                    shared: self.shared.clone(),
                    key,
                });
            }
            taken.map_err(|_| ErrorKind::InvalidData)?;
        }
    }

    /// Sends what is to be sent. Ends when all of it has been, or with the connection.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.going.is_empty() {
                let (going, crowd) = self.shared.lock().take_out();
                crowd.into_iter().for_each(Waker::wake);
                self.going = going;
            }
            if self.going.is_empty() {
                return Pin::new(&mut self.tls).poll_flush(cx);
            }
            let sent = ready!(Pin::new(&mut self.tls).poll_write(cx, &self.going))?;
            self.going.consume(sent);
        }
    }
}

impl Stream {
    /// Whether the other end has ended it.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().is_closed(self.key)
    }

    /// Whether its trunk leaves open whether anybody is there.
    pub(crate) fn is_silent(&self) -> bool {
        self.shared.lock().is_silent()
    }

    fn end(&self) {
        wake(self.shared.lock().end(self.key));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (polled, carrier) = self.shared.lock().poll_read(cx, self.key, |came| {
            let count = came.len().min(buf.remaining());
            buf.put_slice(&came[..count]);
            count
        });
        wake(carrier);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (polled, carrier) = self.shared.lock().poll_write(cx, self.key, bufs);
        wake(carrier);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The trunk's own matter.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Both directions end; what was sent before arrives.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
