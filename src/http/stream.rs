//! A connection that yields one request and no byte more.

use std::io::{Error, ErrorKind, IoSlice, Result as IoResult};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::chunks::Chunks;
use super::cork::Corked;
use super::http2::Http2;
use super::pace::{Pace, TooSlow};
use super::patience::Patience;

/// How many bytes of the next request one look-ahead takes while the current one is answered.
const LOOK_AHEAD: usize = 1;

/// Wraps a connection so that the framework above sees the current request only: its head, already
/// checked, and its body. What a client pipelines behind it stays in `held` for the next head.
#[derive(Debug)]
pub struct GatedStream {
    inner: Corked,
    /// Read from the connection and not yet delivered.
    held: BytesMut,
    /// How many more bytes of the current request are known to come.
    allowance: u64,
    /// Finds the end of the chunked body that follows those, if one does.
    chunks: Option<Chunks>,
    /// Watches what follows once the gate is open for good.
    http2: Option<Box<Http2>>,
    patience: Patience,
    upload: Pace,
    download: Pace,
}

/// What a client may take its time over.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// How long a write may wait.
    pub patience: Duration,
    /// The slowest rate of a body that it sends over HTTP/1, in bytes per second.
    pub upload_rate: Option<NonZeroU32>,
    /// The slowest rate at which it reads, in bytes per second.
    pub download_rate: Option<NonZeroU32>,
}

impl GatedStream {
    /// Nothing may be read until [`GatedStream::admit`].
    pub fn new(inner: Stream, tempo: Tempo) -> Self {
        Self {
            inner: Corked::new(inner),
            held: BytesMut::new(),
            allowance: 0,
            chunks: None,
            http2: None,
            patience: Patience::new(tempo.patience),
            upload: Pace::new(tempo.upload_rate, tempo.patience, TooSlow::Sending),
            download: Pace::new(tempo.download_rate, tempo.patience, TooSlow::Reading),
        }
    }

    /// Opens the gate for good, for a protocol that frames its requests itself.
    pub(super) fn open(mut self, watch: Http2) -> Self {
        self.allowance = u64::MAX;
        self.http2 = Some(Box::new(watch));
        self
    }

    /// Whether the current request was read to its end, so that the next byte begins another.
    pub fn is_between_requests(&self) -> bool {
        self.allowance == 0 && self.chunks.is_none()
    }

    /// Opens the gate for the request whose checked head is the first `head` bytes of
    /// [`GatedStream::held`], followed by `body` bytes of the connection (`None`: by a chunked
    /// body).
    pub fn admit(&mut self, head: usize, body: Option<u64>) {
        self.allowance = body.unwrap_or_default().saturating_add(head as u64);
        self.chunks = body.is_none().then(Chunks::default);
        self.upload.reset();
        self.download.reset();
    }

    /// Replaces the first `old` bytes of [`GatedStream::held`].
    pub fn replace_head(&mut self, old: usize, new: &[u8]) {
        let rest = self.held.split_off(old);
        self.held.clear();
        self.held.extend_from_slice(new);
        self.held.extend_from_slice(&rest);
    }

    /// Reads more of the connection into [`GatedStream::held`]: 0 bytes at its end. Safe to cancel.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn fill(&mut self, room: usize) -> IoResult<usize> {
        // The client may wait for this before it sends more.
        self.inner.flush().await?;
        self.held.reserve(room);
        self.inner.read_buf(&mut self.held).await
    }

    /// What has been read ahead: where the next head begins.
    pub fn held(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// Gives the connection up; read-ahead bytes are lost.
    pub fn into_inner(mut self) -> Stream {
        std::mem::replace(&mut self.inner, Corked::closed()).into_inner()
    }

    /// Between requests only the end of the connection is news. Bytes are held back: they are the
    /// next request, which waits its turn.
    fn poll_beyond_the_request(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        if !self.held.is_empty() {
            return Poll::Pending;
        }
        let mut probe = [0; LOOK_AHEAD];
        let mut buffer = ReadBuf::new(&mut probe);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(buffer.filled());
        Poll::Pending
    }

    /// How many bytes may be delivered by one read; none at the end of the request.
    fn allowed(&self) -> Option<usize> {
        match (self.allowance, &self.chunks) {
            (0, None) => None,
            (0, Some(_)) => Some(usize::MAX),
            (left, _) => Some(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    /// Reads at most `allowed` bytes of what was read ahead, or else of the connection.
    fn poll_allowed(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        allowed: usize,
    ) -> Poll<IoResult<()>> {
        if !self.held.is_empty() {
            let take = self.held.len().min(allowed).min(buf.remaining());
            buf.put_slice(&self.held[..take]);
            self.held.advance(take);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = if allowed >= buf.remaining() {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else {
            let mut limited = ReadBuf::new(buf.initialize_unfilled_to(allowed));
            let polled = Pin::new(&mut self.inner).poll_read(cx, &mut limited);
            let read = limited.filled().len();
            buf.advance(read);
            polled
        };
        let read = buf.filled().len() - before;
        self.upload.watch(polled, |()| read)
    }

    /// Takes the bytes of `buf` from `before` on as delivered, except for those behind the end of
    /// a chunked body, which are held back again.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> IoResult<()> {
        let delivered = &buf.filled()[before..];
        if self.allowance > 0 {
            self.allowance = self.allowance.saturating_sub(delivered.len() as u64);
            return Ok(());
        }
        let Some(chunks) = &mut self.chunks else {
            return Ok(());
        };
        // What one reader takes for a chunk and another does not is how requests are smuggled.
        let end = chunks
            .end_in(delivered)
            .map_err(|_| Error::from(ErrorKind::InvalidData))?;
        if let Some(end) = end {
            self.chunks = None;
            let mut held = BytesMut::from(&delivered[end..]);
            held.extend_from_slice(&self.held);
            self.held = held;
            buf.set_filled(before + end);
        }
        Ok(())
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

impl Drop for GatedStream {
    fn drop(&mut self) {
        if let Some(http2) = &mut self.http2 {
            http2.dropped(&mut self.inner);
        }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        let this = &mut *self;
        if let Some(http2) = &mut this.http2 {
            return http2.poll_read(&mut this.inner, &mut this.held, cx, buf);
        }
        let Some(allowed) = this.allowed() else {
            return this.poll_beyond_the_request(cx);
        };
        if this.chunks.as_ref().is_some_and(Chunks::are_lost) {
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        ready!(this.poll_allowed(cx, buf, allowed))?;
        let delivered = this.deliver(buf, before);
        if delivered.is_err() {
            buf.set_filled(before);
        }
        Poll::Ready(delivered)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        let polled = match &mut this.http2 {
            Some(http2) => http2.poll_write(&mut this.inner, cx, &[IoSlice::new(buf)]),
            None => Pin::new(&mut this.inner).poll_write(cx, buf),
        };
        this.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushed(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let this = &mut *self;
        let polled = match &mut this.http2 {
            Some(http2) => http2.poll_shutdown(&mut this.inner, cx),
            None => Pin::new(&mut this.inner).poll_shutdown(cx),
        };
        this.flushed(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let this = &mut *self;
        let polled = match &mut this.http2 {
            Some(http2) => http2.poll_write(&mut this.inner, cx, bufs),
            None => Pin::new(&mut this.inner).poll_write_vectored(cx, bufs),
        };
        this.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for GatedStream {
    async fn shutdown(&mut self) {
        self.inner.let_go().await;
        Shutdown::shutdown(self.inner.get_mut().as_mut()).await;
    }
}

impl UniqueID for GatedStream {
    fn id(&self) -> UniqueIDType {
        self.inner.get_ref().id()
    }
}

impl Ssl for GatedStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for GatedStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_ref().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_ref().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_ref().get_write_pending_time()
    }
}

impl GetProxyDigest for GatedStream {
    /// No proxy stands before us that the framework would know of, so this carries what becomes of
    /// the connection to its requests.
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.http2.as_ref().and_then(|http2| http2.digest())
    }
}

impl GetSocketDigest for GatedStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_ref().get_socket_digest()
    }
}

#[async_trait]
impl Peek for GatedStream {}

#[cfg(test)]
mod tests;
