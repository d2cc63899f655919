//! One stream of an HTTP/2 connection, which the h2 library frames.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::protocols::http::v2::server::HttpSession;

use crate::http::limit::within;
use crate::http::respond::{Failure, Malformed};
use crate::http::watch::Ending;

/// One stream of an HTTP/2 connection.
pub(crate) struct Http2 {
    session: Mutex<HttpSession>,
    /// Where the answer's body goes, once its head was sent. Nobody else ever waits for these locks: they
    /// are held within one poll of one task.
    body: Mutex<Option<SendStream<Bytes>>>,
    ending: Arc<Ending>,
}

impl Http2 {
    pub(crate) fn new(session: HttpSession, ending: Arc<Ending>) -> Self {
        Self {
            session: Mutex::new(session),
            body: Mutex::default(),
            ending,
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, HttpSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read(&self) -> Result<Option<Bytes>, Failure> {
        let data = std::future::poll_fn(|cx| self.session().poll_read_body_bytes(cx)).await;
        match data {
            None => Ok(None),
            Some(Ok(data)) => Ok(Some(data)),
            Some(Err(error)) => Err(self.lost_by(&error)),
        }
    }

    pub(super) fn body(&self) -> MutexGuard<'_, Option<SendStream<Bytes>>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the client has reset the stream, or the connection is gone.
    pub(super) async fn reset(&self) -> Failure {
        std::future::poll_fn(|cx| match &mut *self.body() {
            Some(body) => body.poll_reset(cx).map(|reset| match reset {
                Ok(_) => self.lost(),
                Err(error) => self.lost_by(&error),
            }),
            None => Pin::new(&mut self.session().idle()).poll(cx).map(|reset| {
                let error = reset
                    .as_ref()
                    .err()
                    .and_then(|error| error.root_cause().downcast_ref());
                error.map_or_else(|| self.lost(), |error| self.lost_by(error))
            }),
        })
        .await
    }

    /// Sends data as the client makes room for it.
    pub(super) async fn send(&self, mut data: Bytes, patience: Duration) -> Result<(), Failure> {
        while !data.is_empty() {
            let room = std::future::poll_fn(|cx| match &mut *self.body() {
                Some(body) => {
                    body.reserve_capacity(data.len());
                    body.poll_capacity(cx)
                }
                None => Poll::Ready(None),
            });
            let room = match within(patience, room).await {
                Err(_) => return Err(Failure::ClientStalled),
                Ok(None) => return Err(self.lost()),
                Ok(Some(Err(error))) => return Err(self.lost_by(&error)),
                Ok(Some(Ok(room))) => room,
            };
            if room == 0 {
                // It has changed, and is gone again.
                continue;
            }
            let part = data.split_to(room.min(data.len()));
            let sent = self.body().as_mut().map(|body| body.send_data(part, false));
            sent.unwrap_or(Ok(()))
                .map_err(|error| self.lost_by(&error))?;
        }
        Ok(())
    }

    pub(super) fn end(&self, trailers: &[u8]) -> Result<(), Failure> {
        let mut body = self.body();
        let body = body.as_mut().ok_or(Failure::Internal)?;
        let ended = match fields_of(trailers) {
            Some(trailers) => body.send_trailers(trailers),
            None => body.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| self.lost_by(&error))
    }

    /// A client may be gone because we have cut it off, for what it did on another stream too.
    pub(super) fn lost(&self) -> Failure {
        if self.ending.abuse().is_some() {
            Failure::ClientAbuse
        } else {
            Failure::ClientGone
        }
    }

    /// The library tells its streams before it tells the client, and so before we can know.
    fn lost_by(&self, error: &h2::Error) -> Failure {
        let refused = error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        if refused || self.ending.abuse().is_some() {
            Failure::ClientAbuse
        } else if error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR) {
            // Data that does not add up to the length that was told (RFC 9113 §8.1.1).
            Failure::BadRequest(Malformed::Body)
        } else {
            Failure::ClientGone
        }
    }
}

/// Trailer lines as HTTP/2 has them.
fn fields_of(lines: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
            continue;
        };
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    (!fields.is_empty()).then_some(fields)
}
