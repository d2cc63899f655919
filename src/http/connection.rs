//! One connection, request by request.

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, GetSocketDigest, Ssl, Stream};
use pingora::server::ShutdownWatch;
use tokio::time::{Instant, timeout_at};

use super::frames::Abuse;
use super::framing::PREFACE_BYTES;
use super::head::{self, Body, HeadLimits, Scanner};
use super::http2::{Ending, Goodbye, Http2};
use super::refusal::{self, Refused};
use super::stream::{GatedStream, Tempo};
use crate::http::request_id::RequestId;
use crate::http::respond::{Failure, Malformed};

/// What one read of a head asks for; most heads fit.
const HEAD_READ: usize = 4096;

/// Bounds on a connection and the heads it carries.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Bounds on each head.
    pub head: HeadLimits,
    /// Total time for a head, from its first byte (from the accept for the first one).
    pub request_header: Duration,
    /// How slow a client may be.
    pub tempo: Tempo,
    /// How long a connection may sit idle between requests.
    pub keepalive: Duration,
    /// Requests on one connection; the last is answered with `Connection: close`.
    pub requests: u32,
}

/// Serves connections of one listener through `app`.
pub struct Gate<A> {
    app: Arc<A>,
    limits: GateLimits,
    refused: Arc<dyn Fn(&Refused<'_>) + Send + Sync>,
}

/// A connection that was ended for what its client did, and is still open.
#[derive(Debug)]
pub struct Cut {
    /// What it did too much of.
    pub abuse: Abuse,
    goodbye: Option<Goodbye>,
}

/// What became of waiting for a head.
enum Next {
    Head(head::Head),
    Closed,
    Refused(Failure),
}

impl<A: HttpServerApp + Send + Sync + 'static> Gate<A> {
    /// `refused` learns of every request that is answered here and never reaches `app`.
    pub fn new(
        app: Arc<A>,
        limits: GateLimits,
        refused: impl Fn(&Refused<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            app,
            limits,
            refused: Arc::new(refused),
        }
    }

    /// A gate like this one, with other limits, for connections that are yet to come.
    pub fn with_limits(&self, app: Arc<A>, limits: GateLimits) -> Self {
        Self {
            app,
            limits,
            refused: self.refused.clone(),
        }
    }

    /// What serves the requests.
    pub fn app(&self) -> &Arc<A> {
        &self.app
    }

    /// The bounds on its connections.
    pub fn limits(&self) -> &GateLimits {
        &self.limits
    }

    /// Serves one accepted (and, with TLS, handshaken) connection until it ends; its first head, or
    /// preface, has to be there by `deadline`. Says so, if it was ended for what the client did to it.
    pub async fn serve(
        &self,
        stream: Stream,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) -> Option<Cut> {
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let gated = GatedStream::new(stream, self.limits.tempo);
        if http2 {
            return self.serve_http2(gated, deadline, shutdown).await;
        }
        self.serve_http1(gated, deadline, shutdown).await;
        None
    }

    async fn serve_http2(
        &self,
        mut gated: GatedStream,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) -> Option<Cut> {
        if !preface_comes(&mut gated, deadline).await {
            return None;
        }
        let ending = Arc::new(Ending::default());
        let watch = Http2::new(self.limits.request_header, ending.clone());
        let stream = Box::new(gated.open(watch));
        self.app.process_new(stream, shutdown).await;
        let goodbye = ending.goodbye();
        if let Some(abuse) = ending.abuse().cloned() {
            return Some(Cut { abuse, goodbye });
        }
        if let Some(goodbye) = goodbye {
            goodbye.say().await;
        }
        None
    }

    async fn serve_http1(
        &self,
        mut gated: GatedStream,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) {
        let mut served = 0;
        loop {
            let started = Instant::now();
            let first = (served == 0).then_some(deadline);
            let head = match self.next_head(&mut gated, first, shutdown).await {
                Next::Head(head) => head,
                Next::Closed => return,
                Next::Refused(failure) => return self.refuse(gated, failure, started).await,
            };
            served += 1;
            admit(&mut gated, &head);
            let mut session = ServerSession::new_http1(Box::new(gated));
            let left = self.limits.requests.saturating_sub(served);
            session.set_keepalive_reuses_remaining(Some(left));
            let Some(reused) = self.app.process_new_http(session, shutdown).await else {
                return;
            };
            let (stream, _) = reused.consume();
            let Ok(same) = stream.into_any().downcast::<GatedStream>() else {
                return;
            };
            // Whatever the framework made of the body: a byte of it must never begin a request.
            if !same.is_between_requests() {
                return;
            }
            gated = *same;
        }
    }

    async fn next_head(
        &self,
        gated: &mut GatedStream,
        first: Option<Instant>,
        shutdown: &ShutdownWatch,
    ) -> Next {
        let limits = &self.limits;
        let mut deadline = first.unwrap_or_else(|| Instant::now() + limits.request_header);
        if first.is_none() && gated.held().is_empty() {
            let mut shutdown = shutdown.clone();
            let idle_until = Instant::now() + limits.keepalive;
            let more = tokio::select! {
                biased;
                read = timeout_at(idle_until, gated.fill(HEAD_READ)) => read,
                // Nothing is under way here, so a member that drains lets the connection go.
                _ = shutdown.wait_for(|draining| *draining) => return Next::Closed,
            };
            match more {
                Ok(Ok(read)) if read > 0 => {}
                _ => return Next::Closed,
            }
            deadline = Instant::now() + limits.request_header;
        }
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(gated.held(), &limits.head) {
                Ok(Some(length)) => {
                    return match head::check(&gated.held()[..length]) {
                        Ok(head) => Next::Head(head),
                        Err(failure) => Next::Refused(failure),
                    };
                }
                Ok(None) => {}
                Err(failure) => return Next::Refused(failure),
            }
            match timeout_at(deadline, gated.fill(HEAD_READ)).await {
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => return Next::Closed,
                // A connection that never said anything is closed without a word.
                Err(_) if gated.held().is_empty() => return Next::Closed,
                Err(_) => return Next::Refused(Failure::HeaderTimeout),
            }
        }
    }

    async fn refuse(&self, mut gated: GatedStream, mut failure: Failure, started: Instant) {
        let id = RequestId::make();
        let client = client_address(&gated);
        let tls = gated.get_ssl_digest().is_some();
        if tls && failure == Failure::BadRequest(Malformed::TlsHello) {
            // A handshake within TLS is just no request.
            failure = Failure::BadRequest(Malformed::RequestLine);
        }
        let elapsed = started.elapsed();
        let head = gated.held().starts_with(b"HEAD ");
        let mut stream = gated.into_inner();
        let bytes_sent = refusal::answer(&mut stream, &failure, id.as_str(), head).await;
        (self.refused)(&Refused {
            failure: &failure,
            request_id: id.as_str(),
            client,
            tls,
            bytes_sent,
            elapsed,
        });
    }
}

impl Cut {
    /// Tells the client why, if it can be told, and closes the connection.
    pub async fn close(self) {
        if let Some(goodbye) = self.goodbye {
            goodbye.say().await;
        }
    }
}

/// Waits for the preface of HTTP/2 (RFC 9113 §3.4), for which its library would wait for ever.
async fn preface_comes(gated: &mut GatedStream, deadline: Instant) -> bool {
    while gated.held().len() < PREFACE_BYTES {
        match timeout_at(deadline, gated.fill(HEAD_READ)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return false,
        }
    }
    true
}

/// Lets exactly this request through.
fn admit(gated: &mut GatedStream, head: &head::Head) {
    let body = match head.body {
        Body::Length(length) => Some(length),
        Body::Chunked => None,
    };
    let mut length = head.length;
    if let Some((cut, filler)) = &head.rewrite {
        let mut rewritten = gated.held()[..length].to_vec();
        rewritten.splice(cut.clone(), filler.iter().copied());
        gated.replace_head(length, &rewritten);
        length = rewritten.len();
    }
    gated.admit(length, body);
}

fn client_address(stream: &GatedStream) -> Option<std::net::SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use pingora::apps::ReusedHttpStream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const HEAD_TIME: Duration = Duration::from_secs(10);
    const LIMITS: GateLimits = GateLimits {
        head: HeadLimits {
            request_line: 1000,
            bytes: 1000,
            count: 10,
        },
        request_header: HEAD_TIME,
        tempo: Tempo {
            patience: HEAD_TIME,
            upload_rate: None,
            download_rate: None,
        },
        keepalive: HEAD_TIME,
        requests: 1,
    };

    struct Nothing;

    #[async_trait]
    impl HttpServerApp for Nothing {
        async fn process_new_http(
            self: &Arc<Self>,
            _: ServerSession,
            _: &ShutdownWatch,
        ) -> Option<ReusedHttpStream> {
            None
        }
    }

    /// The handshake before it may have taken most of the time for both.
    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_what_is_left_of_its_time() {
        let gate = Gate::new(Arc::new(Nothing), LIMITS, |_| {});
        let (mut client, server) = tokio::io::duplex(4096);
        client.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
        let (began, left) = (Instant::now(), HEAD_TIME / 4);
        let (_open, shutdown) = tokio::sync::watch::channel(false);
        let serve = gate.serve(Box::new(server), began + left, &shutdown);
        let mut first = [0; 12];
        let (_, read) = tokio::join!(serve, async {
            client.read_exact(&mut first).await.unwrap();
            let after = began.elapsed();
            drop(client);
            after
        });
        assert_eq!((&first, read), (b"HTTP/1.1 408", left));
    }
}
