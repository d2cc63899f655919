//! One small GET, asked on our own account: probes, and the command line's questions.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{HOST, USER_AGENT};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType};

use crate::shard::Members;

/// The most that an answer may have, in bytes: several views of 1,024 members and 4,096 long pins.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Idle connections: one to each party.
const POOL: usize = Members::MAX + 1;

/// Asks upstreams small questions over connections of its own, so that a probe neither takes a
/// warm connection from a request nor waits behind one.
pub(crate) struct Asker {
    connector: Connector,
}

impl Asker {
    /// The kind of error when an answer is too large to be one.
    pub(crate) const TOO_LARGE: ErrorType = ErrorType::Custom("too large");

    /// `authority_file` only keeps the framework from reading the system's certificates; each
    /// target brings its own trust.
    pub(crate) fn new(authority_file: Option<String>) -> Self {
        let mut options = ConnectorOptions::new(POOL);
        options.ca_file = authority_file;
        Self {
            connector: Connector::new(Some(options)),
        }
    }

    /// Status and body of a GET.
    ///
    /// # Errors
    /// Whatever kept the whole answer from arriving within `timeout`.
    pub(crate) async fn get(
        &self,
        peer: &HttpPeer,
        request: RequestHeader,
        timeout: Duration,
    ) -> pingora::Result<(StatusCode, Bytes)> {
        let (head, body) = self.get_with_head(peer, request, timeout).await?;
        Ok((head.status, body))
    }

    /// Head and body of a GET's answer.
    ///
    /// # Errors
    /// As [`Asker::get`].
    pub(crate) async fn get_with_head(
        &self,
        peer: &HttpPeer,
        request: RequestHeader,
        timeout: Duration,
    ) -> pingora::Result<(ResponseHeader, Bytes)> {
        in_time(timeout, self.exchange(peer, request, None)).await
    }

    /// Head of the answer to a request with a body, whose length its head has.
    ///
    /// # Errors
    /// As [`Asker::get`].
    pub(crate) async fn send(
        &self,
        peer: &HttpPeer,
        request: RequestHeader,
        body: &[u8],
        timeout: Duration,
    ) -> pingora::Result<ResponseHeader> {
        let (head, _) = in_time(timeout, self.exchange(peer, request, Some(body))).await?;
        Ok(head)
    }

    async fn exchange(
        &self,
        peer: &HttpPeer,
        request: RequestHeader,
        body: Option<&[u8]>,
    ) -> pingora::Result<(ResponseHeader, Bytes)> {
        let (mut session, _) = self.connector.get_http_session(peer).await?;
        session.write_request_header(Box::new(request)).await?;
        if let Some(body) = body {
            session.write_body(body).await?;
        }
        session.finish_body().await?;
        session.read_response().await?;
        let head = session
            .resp_header()
            .cloned()
            .ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no head"))?;
        let mut body = BytesMut::new();
        while let Some(part) = session.read_body_bytes().await? {
            if body.len() + part.len() > ANSWER_LIMIT {
                return Error::e_explain(Self::TOO_LARGE, "the answer is too large");
            }
            body.extend_from_slice(&part);
        }
        session.respect_keepalive();
        self.connector
            .release_http_session(session, peer, peer.idle_timeout())
            .await;
        Ok((head, body.freeze()))
    }
}

async fn in_time<T>(
    timeout: Duration,
    answer: impl Future<Output = pingora::Result<T>>,
) -> pingora::Result<T> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer,
        Err(_) => Error::e_explain(ErrorType::ReadTimedout, "no answer in time"),
    }
}

/// What went wrong, for a log: never what was sent or received, which the framework's own words
/// quote and which may hold tokens.
pub(crate) fn cause(error: &Error) -> String {
    let (whose, what) = (error.esource().as_str(), error.etype().as_str());
    let said = format!("{whose} {what}");
    let root = error.root_cause();
    let root = if root.is::<Error>() {
        String::new()
    } else {
        format!(": {root}")
    };
    said.trim_start().to_owned() + &root
}

/// An error in a few words: why, and where known what lies behind it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the framework has thirty kinds of error"
)]
pub(crate) fn brief(error: &Error) -> String {
    match error.etype() {
        ErrorType::ConnectRefused => "it refuses connections".into(),
        ErrorType::ConnectTimedout => "connecting takes too long".into(),
        ErrorType::ReadTimedout => "it does not answer in time".into(),
        ErrorType::TLSHandshakeFailure => {
            format!("the TLS handshake failed: {}", error.root_cause())
        }
        // Our own words. The framework's may quote what was received.
        ErrorType::Custom(_) | ErrorType::CustomCode(..) => match &error.context {
            Some(context) => context.as_str().to_owned(),
            None => error.etype().as_str().to_owned(),
        },
        _ => cause(error),
    }
}

/// The code of the system's error behind this one. The framework wraps those of connecting.
pub(crate) fn os_error(error: &Error) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(code) = io.and_then(std::io::Error::raw_os_error) {
            return Some(code);
        }
        cause = error.source();
    }
    None
}

/// The head of a small question.
///
/// # Errors
/// A path or a host that cannot stand in one.
pub(crate) fn question(path: &str, host: &str) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
    request.insert_header(HOST, host)?;
    request.insert_header(USER_AGENT, concat!("shardlet/", env!("CARGO_PKG_VERSION")))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_systems_error_is_found_behind_a_connection_that_was_not_made() {
        // Nobody can connect to a broadcast address: ENETUNREACH.
        let nowhere = std::net::SocketAddr::from(([127, 255, 255, 255], 1));
        let error = pingora::protocols::l4::ext::connect(&nowhere, None).await;
        assert_eq!(os_error(&error.unwrap_err()), Some(101));
    }

    #[test]
    fn a_cause_quotes_nothing_that_was_received() {
        let quoted = "buf: Location: /v2/a/blobs/uploads/1?_state=secret";
        let mut error = Error::explain(ErrorType::InvalidHTTPHeader, quoted).into_up();
        assert_eq!(cause(&error), "Upstream InvalidHTTPHeader");
        error = Error::because(ErrorType::WriteError, quoted, error).into_down();
        assert_eq!(cause(&error), "Downstream WriteError");
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Error::because(ErrorType::ReadError, quoted, reset).into_up();
        assert_eq!(cause(&error), "Upstream ReadError: connection reset");
    }
}
