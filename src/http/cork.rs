//! Small writes wait for each other.
//!
//! The library writes HTTP/2's frames one after the other. On a connection with `TCP_NODELAY` that makes
//! two packets of every small answer (and two TLS records), and a system call more than the answer is
//! worth. Here what is small waits for a larger write, which
//! takes it along, or for the flush that ends each message.

use std::fmt;
use std::io::{IoSlice, Result as IoResult};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that wait: a head and a small manifest. More is written with the next write.
const WAITING_LIMIT: usize = 4096;
/// Slices that one vectored write takes along: the framework frames a chunk in three.
const SLICES: usize = 8;

/// A connection that writes small pieces together.
#[derive(Debug)]
pub(super) struct Corked {
    inner: Box<dyn Connection>,
    waiting: Vec<u8>,
}

/// What can be corked.
pub(super) trait Connection:
    AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin
{
}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin> Connection for T {}

impl Corked {
    pub(super) fn new(inner: impl Connection + 'static) -> Self {
        Self {
            inner: Box::new(inner),
            waiting: Vec::new(),
        }
    }

    /// In the place of a connection that was taken elsewhere.
    pub(super) fn closed() -> Self {
        Self::new(std::io::Cursor::new(Vec::new()))
    }

    /// Writes what waits as far as that is possible at once: for a connection that is given up.
    pub(super) async fn let_go(&mut self) {
        std::future::poll_fn(|cx| {
            // A client that does not read shall not hold us up.
            let _ = self.poll_waiting(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.waiting.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// What waits goes first, then the slices, in one call where the connection takes several.
    fn poll_write_along(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        if self.waiting.is_empty() {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        if self.inner.is_write_vectored() {
            let mut all = [IoSlice::new(&[]); SLICES];
            all[0] = IoSlice::new(&self.waiting);
            let along = bufs.len().min(SLICES - 1);
            all[1..=along].copy_from_slice(&bufs[..along]);
            let all = &all[..=along];
            let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, all))?;
            let waited = written.min(self.waiting.len());
            self.waiting.drain(..waited);
            if written > waited {
                return Poll::Ready(Ok(written - waited));
            }
        }
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        if this.waiting.len() + buf.len() <= WAITING_LIMIT {
            this.waiting.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        this.poll_write_along(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if this.waiting.len() + length <= WAITING_LIMIT {
            bufs.iter()
                .for_each(|buf| this.waiting.extend_from_slice(buf));
            return Poll::Ready(Ok(length));
        }
        this.poll_write_along(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests;
