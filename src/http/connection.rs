//! One connection, request by request.
//!
//! Each head is read under one total deadline and with size limits, and checked so strictly that no
//! reader behind us can understand another request than we do. What a client pipelines behind a request
//! waits here until the next head is due.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use super::buffer::{Buffer, SMALL};
use super::client::{Client, End};
use super::fields::Fields;
use super::frames::Abuse;
use super::head::{HeadLimits, Scanner};
use super::http2;
use super::limit::{Moment, within};
use super::line::Line;
use super::refusal::{self, Refused};
use super::request::RequestHead;
use super::request_id::RequestId;
use super::respond::{Failure, Malformed};
use super::stream::Tempo;
use super::watch::Goodbye;
use super::wire::Wire;

/// How long the last bytes of a connection may take to go out.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Serves requests, whatever they came by.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Serves one, to its end.
    fn serve(
        &self,
        request: &RequestHead<'_>,
        client: &mut Client<'_>,
    ) -> impl Future<Output = ()> + Send;

    /// Learns of a request that was answered before it could be served.
    fn refused(&self, refused: &Refused<'_>);
}

/// Bounds on a connection and the requests it carries.
#[derive(Debug, Clone)]
pub(crate) struct GateLimits {
    /// Bounds on each head.
    pub(crate) head: HeadLimits,
    /// Total time for a head, from its first byte (from the accept for the first one).
    pub(crate) request_header: Duration,
    /// How slow a client may be.
    pub(crate) tempo: Tempo,
    /// How long a connection may sit idle between requests.
    pub(crate) keepalive: Duration,
    /// Requests on one connection; the last is answered with `Connection: close`.
    pub(crate) requests: u32,
    /// How HTTP/2 is spoken, where it is.
    pub(crate) http2: Option<http2::Limits>,
}

/// Serves connections of one listener through `app`.
pub(crate) struct Gate<A> {
    app: Arc<A>,
    limits: GateLimits,
}

/// A connection that was ended for what its client did, and is still open.
#[derive(Debug)]
pub(crate) struct Cut {
    /// What it did too much of.
    pub(crate) abuse: Abuse,
    pub(super) goodbye: Option<Goodbye>,
}

/// What became of waiting for a head.
enum Next {
    /// So many bytes, and what was found in them.
    Head(usize, Fields),
    Closed,
    Refused(Failure),
}

impl<A: Serve> Gate<A> {
    pub(crate) fn new(app: Arc<A>, limits: GateLimits) -> Self {
        Self { app, limits }
    }

    /// A gate like this one, with other limits, for connections that are yet to come.
    pub(crate) fn with_limits(&self, limits: GateLimits) -> Self {
        Self::new(self.app.clone(), limits)
    }

    /// The bounds on its connections.
    pub(crate) fn limits(&self) -> &GateLimits {
        &self.limits
    }

    /// Serves one accepted (and, with TLS, handshaken) connection until it ends; its first head, or
    /// preface, has to be there by `deadline`. Says so, if it was ended for what the client did to it.
    pub(crate) fn serve(
        &self,
        wire: Wire,
        end: &End,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) -> impl Future<Output = Option<Cut>> + Send {
        // No async fn, here and below: that keeps twice what it is called with, for as long as the
        // connection is there.
        let is_http2 = wire.is_http2();
        async move {
            if is_http2 {
                let (app, limits) = (self.app.clone(), &self.limits);
                let end = End {
                    transfers: Default::default(),
                    text: Default::default(),
                    ..*end
                };
                return Box::pin(http2::serve(app, limits, wire, end, deadline, shutdown)).await;
            }
            self.serve_http1(wire, end, deadline, shutdown).await;
            None
        }
    }

    fn serve_http1(
        &self,
        wire: Wire,
        end: &End,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) -> impl Future<Output = ()> + Send {
        let line = Line::from(wire);
        async move {
            let mut held = Buffer::default();
            let mut served = 0;
            // One for the whole connection: each request would have to put it on a list that all share.
            let mut draining = pin!(drains(shutdown.clone()));
            loop {
                let started = Moment::now();
                let first = (served == 0).then_some(deadline);
                let next = self.next_head(&line, &mut held, first, draining.as_mut());
                let (length, fields) = match next.await {
                    Next::Head(length, fields) => (length, fields),
                    Next::Closed => break,
                    Next::Refused(failure) => {
                        return Box::pin(self.refuse(line, &held, end, failure, started)).await;
                    }
                };
                served += 1;
                // In a box, as all that is not waiting for a request: one that waits needs no room for it.
                match Box::pin(self.one(&line, &held, (length, fields), end, served)).await {
                    Ok(Some(rest)) => held = rest,
                    Ok(None) => break,
                    Err(failure) => {
                        return Box::pin(self.refuse(line, &held, end, failure, started)).await;
                    }
                }
            }
            // Whether it arrives is the client's affair now.
            let _ = timeout(LAST_BYTES, line.into_wire().shutdown()).await;
        }
    }

    /// Serves the request whose head is the first `length` bytes of `held`. Gives what begins the next
    /// one, if there may be a next one.
    async fn one(
        &self,
        line: &Line,
        held: &Buffer,
        (length, mut fields): (usize, Fields),
        end: &End,
        served: u32,
    ) -> Result<Option<Buffer>, Failure> {
        let (head, ahead) = held.split_at(length);
        let request = RequestHead::parse(head, &mut fields)?;
        let tempo = &self.limits.tempo;
        let mut client = Client::http1(end, line, request.body(), ahead, tempo);
        client.sink.closes = request.wants_close() || served >= self.limits.requests;
        self.app.serve(&request, &mut client).await;
        Ok(client.into_rest())
    }

    async fn next_head(
        &self,
        line: &Line,
        held: &mut Buffer,
        first: Option<Instant>,
        draining: Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        let limits = &self.limits;
        let mut deadline = first;
        if first.is_none() && held.is_empty() {
            match self.idle(line, draining).await {
                Some(read) => *held = read,
                None => return Next::Closed,
            }
        }
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(held, &limits.head) {
                Ok(Some(length)) => return Next::Head(length, scanner.0),
                Ok(None) => {}
                Err(failure) => return Next::Refused(failure),
            }
            let until = *deadline.get_or_insert_with(|| Instant::now() + limits.request_header);
            match timeout_at(until, line.read(SMALL, u64::MAX)).await {
                Ok(Ok(read)) if !read.is_empty() => held.join(&read),
                Ok(_) => return Next::Closed,
                // A connection that never said anything is closed without a word.
                Err(_) if held.is_empty() => return Next::Closed,
                Err(_) => return Next::Refused(Failure::HeaderTimeout),
            }
        }
    }

    /// Waits for the first bytes of another request.
    async fn idle(
        &self,
        line: &Line,
        draining: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<Buffer> {
        let read = tokio::select! {
            biased;
            read = within(self.limits.keepalive, line.read(SMALL, u64::MAX)) => read,
            // Nothing is under way here, so a member that drains lets the connection go.
            () = draining => return None,
        };
        read.ok()?.ok().filter(|read| !read.is_empty())
    }

    async fn refuse(
        &self,
        line: Line,
        held: &Buffer,
        end: &End,
        mut failure: Failure,
        started: Moment,
    ) {
        let id = RequestId::make();
        if end.tls.is_some() && failure == Failure::BadRequest(Malformed::TlsHello) {
            // A handshake within TLS is just no request.
            failure = Failure::BadRequest(Malformed::RequestLine);
        }
        let elapsed = started.elapsed();
        let head = held.starts_with(b"HEAD ");
        let mut wire = line.into_wire();
        let bytes_sent = refusal::answer(&mut wire, &failure, id.as_str(), head).await;
        self.app.refused(&Refused {
            failure: &failure,
            request_id: &id,
            client: end.address,
            tls: end.tls.is_some(),
            bytes_sent,
            elapsed,
        });
    }
}

/// Returns when the member drains.
async fn drains(mut shutdown: ShutdownWatch) {
    let changes = shutdown.clone();
    // An error tells that nobody is left who could say so, which is the end as well.
    let drains = unconstrained(shutdown.wait_for(|draining| *draining));
    let (mut drains, mut is_asked) = (pin!(drains), false);
    // It is asked once, and when something has changed: each time it takes a lock that all share.
    poll_fn(|cx| {
        if std::mem::replace(&mut is_asked, true) && !changes.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        drains.as_mut().poll(cx).map(|_| ())
    })
    .await
}

#[cfg(test)]
impl GateLimits {
    /// Some that no test comes near.
    pub(crate) fn for_tests() -> Self {
        let time = Duration::from_secs(10);
        Self {
            head: HeadLimits {
                request_line: 1000,
                fields: 1000,
                count: 10,
            },
            request_header: time,
            tempo: Tempo {
                patience: time,
                upload_rate: None,
                download_rate: None,
            },
            keepalive: time,
            requests: 1000,
            http2: None,
        }
    }
}

impl Cut {
    /// Tells the client why, if it can be told, and closes the connection.
    pub(crate) async fn close(self) {
        if let Some(goodbye) = self.goodbye {
            goodbye.say().await;
        }
    }
}

#[cfg(test)]
mod tests;
