//! A connection, to a client or to an upstream, by whatever carries it.

#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::Tls;
use super::trunk::{self, Stream};

/// One connection.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
    Stream(Stream),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Calls the same method of whatever carries it.
macro_rules! each {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire {
            Wire::Tcp($stream) => $call,
            Wire::Unix($stream) => $call,
            Wire::Tls($stream) => $call,
            Wire::Stream($stream) => $call,
            #[cfg(test)]
            Wire::Memory($stream) => $call,
        }
    };
}

impl Wire {
    /// Whether nothing has happened on a connection on which nothing should: neither its end nor a
    /// byte. Makes no system call where none is known to have happened.
    pub(crate) fn is_fresh(&mut self) -> bool {
        let mut probe = [0; 1];
        let read = match self {
            Self::Tcp(tcp) => tcp.try_read(&mut probe),
            Self::Unix(unix) => unix.try_read(&mut probe),
            Self::Tls(tls) => return tls.is_quiet() || self.has_nothing_to_read(&mut probe),
            Self::Stream(stream) if stream.is_silent() => return false,
            Self::Stream(_) => return self.has_nothing_to_read(&mut probe),
            #[cfg(test)]
            Self::Memory(_) => return self.has_nothing_to_read(&mut probe),
        };
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// TLS may have had something to say to itself, so it has to be asked.
    fn has_nothing_to_read(&mut self, probe: &mut [u8]) -> bool {
        let mut probe = ReadBuf::new(probe);
        // A task that has had its share of time would be told that nothing is there.
        let read = tokio::task::unconstrained(poll_fn(|cx| {
            Poll::Ready(Pin::new(&mut *self).poll_read(cx, &mut probe).is_pending())
        }));
        // Nobody is woken: nobody waits for it yet.
        let mut nobody = Context::from_waker(Waker::noop());
        pin!(read).poll(&mut nobody) == Poll::Ready(true)
    }

    /// Waits until there may be something to read, and needs no room for it until then.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_read_ready(cx),
            Self::Stream(_) => Poll::Ready(Ok(())),
            #[cfg(test)]
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether the client has chosen HTTP/2 (RFC 9113 §3.2).
    pub(crate) fn is_http2(&self) -> bool {
        let chosen = match self {
            Self::Tls(tls) => tls.agreed().alpn_protocol(),
            Self::Tcp(_) | Self::Unix(_) | Self::Stream(_) => None,
            #[cfg(test)]
            Self::Memory(_) => None,
        };
        chosen == Some(b"h2")
    }

    /// What carries a trunk, where both ends have agreed on one; else the wire itself.
    pub(crate) fn into_trunk(self) -> Result<Box<Tls>, Self> {
        let Self::Tls(tls) = self else {
            return Err(self);
        };
        if tls.agreed().alpn_protocol() == Some(trunk::PROTOCOL) {
            Ok(tls)
        } else {
            Err(Self::Tls(tls))
        }
    }

    /// The socket beneath, to ask the kernel about it.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.socket()),
            Self::Unix(_) | Self::Stream(_) => None,
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    /// Over TLS with its `close_notify`.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Unix(_) => "Unix",
            Self::Tls(_) => "Tls",
            Self::Stream(_) => "Stream",
            #[cfg(test)]
            Self::Memory(_) => "Memory",
        })
    }
}
