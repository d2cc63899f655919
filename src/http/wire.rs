//! A connection, to a client or to an upstream, by whatever carries it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client;

use super::buffer::{Buffer, LARGE, SMALL};
use super::server_tls::ServerTls;

/// One connection.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A client's, or a member's that calls us.
    Server(Box<ServerTls>),
    /// An upstream's.
    Client(Box<client::TlsStream<ReadAhead>>),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Calls the same method of whatever carries it.
macro_rules! each {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire {
            Wire::Tcp($stream) => $call,
            Wire::Unix($stream) => $call,
            Wire::Server($stream) => $call,
            Wire::Client($stream) => $call,
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
            Self::Server(_) | Self::Client(_) => return self.has_nothing_to_read(&mut probe),
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

    /// Whether the client has chosen HTTP/2 (RFC 9113 §3.2).
    pub(crate) fn is_http2(&self) -> bool {
        let chosen = match self {
            Self::Server(tls) => tls.agreed().alpn_protocol(),
            Self::Tcp(_) | Self::Unix(_) | Self::Client(_) => None,
            #[cfg(test)]
            Self::Memory(_) => None,
        };
        chosen == Some(b"h2")
    }

    /// The socket beneath, to ask the kernel about it.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Server(tls) => Some(tls.socket()),
            Self::Client(tls) => Some(&tls.get_ref().0.tcp),
            Self::Unix(_) => None,
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
            Self::Server(_) => "Server",
            Self::Client(_) => "Client",
            #[cfg(test)]
            Self::Memory(_) => "Memory",
        })
    }
}

/// The socket beneath TLS to an upstream. rustls reads 4 KiB at a time, five calls a record; this reads all there is
/// into a buffer of the thread's, and holds none while there is nothing.
pub(crate) struct ReadAhead {
    tcp: TcpStream,
    held: Buffer,
    /// Whether the last read had more than a small buffer to bring.
    is_busy: bool,
}

impl ReadAhead {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            held: Buffer::default(),
            is_busy: false,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.tcp.poll_read_ready(cx))?;
        let mut buffer = Buffer::take(if self.is_busy { LARGE } else { SMALL });
        let mut room = ReadBuf::new(buffer.spare_mut());
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.is_busy = read >= SMALL;
        buffer.fill(read);
        self.held = buffer;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() {
            ready!(this.poll_fill(cx))?;
        }
        let count = this.held.len().min(buf.remaining());
        buf.put_slice(&this.held[..count]);
        this.held.consume(count);
        if this.held.is_empty() {
            this.held = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // It costs the kernel less.
            [one] => Pin::new(&mut self.tcp).poll_write(cx, one),
            _ => Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
