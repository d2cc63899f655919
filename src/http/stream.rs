//! An HTTP/2 connection as the framework has them: watched over frame by frame, and with limits on how
//! slow its client may be.

use std::io::{IoSlice, Result as IoResult};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::cork::{Connection, Corked};
use super::framing::PREFACE_BYTES;
use super::pace::{Pace, TooSlow};
use super::patience::Patience;
use super::watch::Watch;

/// One connection.
#[derive(Debug)]
pub(super) struct Http2Stream {
    inner: Corked,
    /// Read from the connection and not yet delivered.
    held: BytesMut,
    watch: Watch,
    patience: Patience,
    download: Pace,
}

/// What a client may take its time over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tempo {
    /// How long a read or a write of a body may wait.
    pub(crate) patience: Duration,
    /// The slowest rate of a body that it sends over HTTP/1, in bytes per second.
    pub(crate) upload_rate: Option<NonZeroU32>,
    /// The slowest rate at which it reads, in bytes per second.
    pub(crate) download_rate: Option<NonZeroU32>,
}

impl Http2Stream {
    pub(super) fn new(inner: impl Connection + 'static, tempo: &Tempo, watch: Watch) -> Self {
        Self {
            inner: Corked::new(inner),
            held: BytesMut::new(),
            watch,
            patience: Patience::new(tempo.patience),
            download: Pace::new(tempo.download_rate, tempo.patience, TooSlow::Reading),
        }
    }

    /// Waits for the preface of HTTP/2 (RFC 9113 §3.4), for which its library would wait for ever.
    pub(super) async fn preface_comes(&mut self, deadline: Instant) -> bool {
        while self.held.len() < PREFACE_BYTES {
            match timeout_at(deadline, self.inner.read_buf(&mut self.held)).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return false,
            }
        }
        true
    }

    /// What became of writing: the client has its time, and its pace.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<IoResult<usize>>,
    ) -> Poll<IoResult<usize>> {
        let polled = self.patience.watch(cx, polled);
        self.download.watch(polled, |written| *written)
    }

    fn flushed(&mut self, cx: &mut Context<'_>, polled: Poll<IoResult<()>>) -> Poll<IoResult<()>> {
        let polled = self.patience.watch(cx, polled);
        self.download.watch(polled, |()| 0)
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.watch.dropped(&mut self.inner);
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        let this = &mut *self;
        this.watch
            .poll_read(&mut this.inner, &mut this.held, cx, buf)
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        let polled = this
            .watch
            .poll_write(&mut this.inner, cx, &[IoSlice::new(buf)]);
        this.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushed(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        let this = &mut *self;
        this.watch.shut_down(&mut this.inner);
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        let polled = this.watch.poll_write(&mut this.inner, cx, bufs);
        this.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Http2Stream {
    async fn shutdown(&mut self) {
        self.inner.let_go().await;
    }
}

impl UniqueID for Http2Stream {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl Ssl for Http2Stream {
    /// That HTTP/2 was agreed on is why it is one of these.
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(ALPN::H2)
    }
}

// What is known of a connection its requests are told by us, not by the framework.
impl GetTimingDigest for Http2Stream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Http2Stream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Http2Stream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[async_trait]
impl Peek for Http2Stream {}

#[cfg(test)]
mod tests;
