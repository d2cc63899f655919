//! One connection, read and written at the same time by the one task that owns it.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::buffer::Buffer;
use super::limit::Alarm;
use super::pace::Pace;
use super::wire::Wire;

/// Slices that one write takes along: a chunk's length, its data and its end.
const SLICES: usize = 4;

/// A connection both of whose directions go through `&self`: its task reads here while it writes there.
#[derive(Debug)]
pub(crate) enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS has one state for both directions. Nobody else ever waits for the lock: it is held within
    /// one poll of one task.
    Shared(Mutex<Wire>),
}

impl From<Wire> for Line {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Tcp(tcp) => Self::Tcp(tcp),
            Wire::Unix(unix) => Self::Unix(unix),
            Wire::Tls(_) | Wire::Stream(_) => Self::Shared(Mutex::new(wire)),
            #[cfg(test)]
            Wire::Memory(_) => Self::Shared(Mutex::new(wire)),
        }
    }
}

impl Line {
    /// The connection itself.
    pub(crate) fn into_wire(self) -> Wire {
        match self {
            Self::Tcp(tcp) => Wire::Tcp(tcp),
            Self::Unix(unix) => Wire::Unix(unix),
            Self::Shared(wire) => wire.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The socket, where its bytes are the message's own.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) | Self::Shared(_) => None,
        }
    }

    /// What has come, up to `room` and to `most` bytes; empty at the end of the connection. A buffer is taken only when
    /// there is something to read, so that a connection that waits holds none. Safe to cancel.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn read(
        &self,
        room: usize,
        most: u64,
    ) -> impl Future<Output = io::Result<Buffer>> + Unpin {
        poll_fn(move |cx| self.poll_read(cx, room, most))
    }

    fn poll_read(&self, cx: &mut Context<'_>, room: usize, most: u64) -> Poll<io::Result<Buffer>> {
        loop {
            match self {
                Self::Tcp(tcp) => ready!(tcp.poll_read_ready(cx))?,
                Self::Unix(unix) => ready!(unix.poll_read_ready(cx))?,
                Self::Shared(wire) => {
                    let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                    ready!(wire.poll_read_ready(cx))?;
                }
            }
            let mut buffer = Buffer::take(room);
            let spare = buffer.spare_mut();
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(spare.len());
            let spare = &mut spare[..most];
            let read = match self {
                Self::Tcp(tcp) => try_read(tcp, spare, |read| tcp.try_io(Interest::READABLE, read)),
                Self::Unix(unix) => {
                    try_read(unix, spare, |read| unix.try_io(Interest::READABLE, read))
                }
                Self::Shared(wire) => {
                    let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut spare = ReadBuf::new(spare);
                    ready!(Pin::new(&mut *wire).poll_read(cx, &mut spare))?;
                    Ok(spare.filled().len())
                }
            };
            match read {
                Ok(read) => {
                    buffer.fill(read);
                    return Poll::Ready(Ok(buffer));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes all of these, in order, and flushes; for as long as something is taken every `patience`, and
    /// not too slowly. Not safe to cancel: a part may be gone.
    ///
    /// # Errors
    /// Those of the connection, [`ErrorKind::TimedOut`], and [`TooSlow`](super::pace::TooSlow).
    pub(crate) fn write_all(
        &self,
        parts: &[&[u8]],
        patience: Duration,
        pace: &mut Pace,
    ) -> impl Future<Output = io::Result<()>> + Unpin {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let (mut written, mut alarm) = (0, Alarm::Unset);
        poll_fn(move |cx| {
            while written < length {
                match pace.watch(self.poll_write(cx, parts, written), |step| *step) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(step)) => {
                        written += step;
                        alarm = Alarm::Unset;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return alarm.poll(patience, cx).map(|over| Err(over.into())),
                }
            }
            match self.poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed),
                Poll::Pending => alarm.poll(patience, cx).map(|over| Err(over.into())),
            }
        })
    }

    /// Whether the other end has said that it sends no more, or is gone, though bytes of it may wait here
    /// unread.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Tcp(tcp) => is_closed(tcp.ready(Interest::READABLE)),
            Self::Unix(unix) => is_closed(unix.ready(Interest::READABLE)),
            Self::Shared(wire) => {
                let wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                if let Wire::Stream(stream) = &*wire {
                    return stream.is_closed();
                }
                wire.socket()
                    .is_some_and(|tcp| is_closed(tcp.ready(Interest::READABLE)))
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Shared(wire) => {
                let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *wire).poll_flush(cx)
            }
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[&[u8]],
        skip: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = rest_of(parts, skip, &mut slices);
        let slices = &slices[..count];
        loop {
            let written = match self {
                Self::Tcp(tcp) => match slices {
                    // It costs the kernel less.
                    [one] => tcp.try_io(Interest::WRITABLE, || {
                        Ok(rustix::net::send(tcp, one, SendFlags::NOSIGNAL)?)
                    }),
                    _ => tcp.try_write_vectored(slices),
                },
                Self::Unix(unix) => unix.try_write_vectored(slices),
                Self::Shared(wire) => {
                    let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                    return Pin::new(&mut *wire).poll_write_vectored(cx, slices);
                }
            };
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self {
                    Self::Tcp(tcp) => ready!(tcp.poll_write_ready(cx))?,
                    Self::Unix(unix) => ready!(unix.poll_write_ready(cx))?,
                    Self::Shared(_) => {}
                },
                written => return Poll::Ready(written),
            }
        }
    }
}

/// Reads, and says "not now" to the runtime already when there was less than there is room for: it would
/// have us ask the kernel once more otherwise. Within the one call, or bytes that come right behind it
/// would never be heard of.
pub(super) fn try_read(
    socket: impl AsFd,
    room: &mut [u8],
    io: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
) -> io::Result<usize> {
    let mut found = None;
    let tried = io(&mut || {
        let read = rustix::net::recv(&socket, &mut *room, RecvFlags::empty())?.0;
        found = Some(read);
        if (1..room.len()).contains(&read) {
            Err(ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    });
    match (found, tried) {
        (Some(read), _) => Ok(read),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(0),
    }
}

/// What the runtime knows of a socket, without asking the kernel.
fn is_closed(ready: impl Future<Output = io::Result<Ready>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::pin!(ready).poll(&mut context) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

/// The slices that are left of `parts` behind their first `skip` bytes.
fn rest_of<'p>(parts: &[&'p [u8]], mut skip: usize, slices: &mut [IoSlice<'p>; SLICES]) -> usize {
    let mut count = 0;
    for part in parts {
        let rest = part.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(part.len());
        if let (false, Some(slice)) = (rest.is_empty(), slices.get_mut(count)) {
            *slice = IoSlice::new(rest);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests;
