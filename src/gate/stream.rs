//! A connection that yields one request and no byte more.

use std::io::Result as IoResult;
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
}

impl GatedStream {
    /// Nothing may be read until [`GatedStream::admit`].
    pub fn new(inner: Stream) -> Self {
        Self {
            inner: Corked::new(inner),
            held: BytesMut::new(),
            allowance: 0,
            chunks: None,
        }
    }

    /// Opens the gate for the request whose checked head is the first `head` bytes of
    /// [`GatedStream::held`], followed by `body` bytes of the connection (`None`: by a chunked
    /// body).
    pub fn admit(&mut self, head: usize, body: Option<u64>) {
        self.allowance = body.unwrap_or_default().saturating_add(head as u64);
        self.chunks = body.is_none().then(Chunks::default);
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
    pub fn into_inner(self) -> Stream {
        self.inner.into_inner()
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

    /// Takes the bytes of `buf` from `before` on as delivered, except for those behind the end of
    /// a chunked body, which are held back again.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let delivered = &buf.filled()[before..];
        if self.allowance > 0 {
            self.allowance = self.allowance.saturating_sub(delivered.len() as u64);
            return;
        }
        let end = self
            .chunks
            .as_mut()
            .and_then(|chunks| chunks.end_in(delivered));
        if let Some(end) = end {
            self.chunks = None;
            let mut held = BytesMut::from(&delivered[end..]);
            held.extend_from_slice(&self.held);
            self.held = held;
            buf.set_filled(before + end);
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
        let Some(allowed) = this.allowed() else {
            return this.poll_beyond_the_request(cx);
        };
        let before = buf.filled().len();
        if !this.held.is_empty() {
            let take = this.held.len().min(allowed).min(buf.remaining());
            buf.put_slice(&this.held[..take]);
            this.held.advance(take);
        } else if allowed >= buf.remaining() {
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        } else {
            let mut limited = ReadBuf::new(buf.initialize_unfilled_to(allowed));
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut limited))?;
            let read = limited.filled().len();
            buf.advance(read);
        }
        this.deliver(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<IoResult<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
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
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_ref().get_proxy_digest()
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
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn read_some(stream: &mut GatedStream) -> Vec<u8> {
        let mut buf = vec![0; 64];
        let read = stream.read(&mut buf).await.unwrap();
        buf.truncate(read);
        buf
    }

    #[tokio::test]
    async fn a_request_is_delivered_to_its_last_byte_and_no_further() {
        let (client, server) = tokio::io::duplex(1024);
        let (mut client, mut gated) = (client, GatedStream::new(Box::new(server)));
        client.write_all(b"head bodyGET /next").await.unwrap();
        while gated.held().len() < 7 {
            gated.fill(7).await.unwrap();
        }
        gated.admit(5, Some(4));

        let mut seen = Vec::new();
        while seen.len() < 9 {
            seen.extend(read_some(&mut gated).await);
        }
        assert_eq!(seen, b"head body");

        let beyond = tokio::time::timeout(Duration::from_millis(20), read_some(&mut gated)).await;
        assert!(
            beyond.is_err(),
            "the next request must wait, got {beyond:?}"
        );

        while gated.held().len() < 9 {
            gated.fill(9).await.unwrap();
        }
        gated.replace_head(3, b"PUT");
        gated.admit(9, Some(0));
        let mut next = Vec::new();
        while next.len() < 9 {
            next.extend(read_some(&mut gated).await);
        }
        assert_eq!(next, b"PUT /next");
    }

    #[tokio::test]
    async fn the_end_of_the_connection_is_seen_between_requests() {
        let (client, server) = tokio::io::duplex(64);
        let mut gated = GatedStream::new(Box::new(server));
        drop(client);
        assert_eq!(read_some(&mut gated).await, b"");
    }

    #[tokio::test]
    async fn a_chunked_body_is_delivered_to_its_end_and_no_further() {
        let (client, server) = tokio::io::duplex(64);
        let (mut client, mut gated) = (client, GatedStream::new(Box::new(server)));
        client
            .write_all(b"head 1\r\nx\r\n0\r\n\r\nGET /next")
            .await
            .unwrap();
        gated.fill(5).await.unwrap();
        gated.admit(5, None);
        let mut seen = Vec::new();
        while seen.len() < 16 {
            seen.extend(read_some(&mut gated).await);
        }
        assert_eq!(seen, b"head 1\r\nx\r\n0\r\n\r\n");
        assert_eq!(&gated.held()[..], b"GET /next");
        let beyond = tokio::time::timeout(Duration::from_millis(20), read_some(&mut gated)).await;
        assert!(
            beyond.is_err(),
            "the next request must wait, got {beyond:?}"
        );
    }
}
