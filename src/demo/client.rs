//! A very small HTTP client, to push and pull as any other client would: by the client listeners.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HOST, LOCATION, USER_AGENT};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::{ErrorType, OrErr};
use tokio::net::TcpStream;

use super::DemoError;

/// Everything is on this machine and small.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Far more than anything in the demo's image, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// Talks to one registry, one request after another.
pub(super) struct Client {
    registry: SocketAddr,
    /// The connection, while it can be used again.
    idle: Option<Stream>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    /// `Location`, as a path on the same host.
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) fn new(registry: SocketAddr) -> Self {
        Self {
            registry,
            idle: None,
        }
    }

    /// One request and its whole answer, whatever the status.
    pub(super) async fn send(
        &mut self,
        method: &str,
        target: &str,
        header: Option<(&'static str, &str)>,
        body: &[u8],
    ) -> Result<Response, DemoError> {
        let request = format!("{method} http://{}{target}", self.registry);
        let fault = |fault: String| DemoError::Client { request, fault };
        let exchange = self.exchange(method, target, header, body);
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|error| fault(error.to_string())),
            Err(_) => Err(fault(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(
        &mut self,
        method: &str,
        target: &str,
        header: Option<(&'static str, &str)>,
        body: &[u8],
    ) -> pingora::Result<Response> {
        let mut request = RequestHeader::build(method, target.as_bytes(), None)?;
        request.insert_header(HOST, self.registry.to_string())?;
        request.insert_header(
            USER_AGENT,
            concat!("shardlet-demo/", env!("CARGO_PKG_VERSION")),
        )?;
        if let Some((name, value)) = header {
            request.insert_header(name, value)?;
        }
        if !matches!(method, "GET" | "HEAD") {
            request.insert_header(CONTENT_LENGTH, body.len())?;
        }
        let mut session = HttpSession::new(self.connection().await?);
        session.write_request_header(Box::new(request)).await?;
        session.write_body(body).await?;
        session.finish_body().await?;
        session.read_response().await?;

        let status = session.get_status().unwrap_or_default();
        let location = session
            .get_header(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.map(|location| path_of(location).to_owned());
        let mut body = BytesMut::new();
        while let Some(part) = session.read_body_bytes().await? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_LIMIT {
                return pingora::Error::e_explain(ErrorType::ReadError, "the answer is too large");
            }
        }
        session.respect_keepalive();
        self.idle = session.reuse().await;
        Ok(Response {
            status,
            location,
            body: body.freeze(),
        })
    }

    async fn connection(&mut self) -> pingora::Result<Stream> {
        if let Some(idle) = self.idle.take() {
            return Ok(idle);
        }
        let tcp = TcpStream::connect(self.registry).await;
        let tcp = tcp.or_err(ErrorType::ConnectError, "no connection")?;
        // Head and body go in a packet each, and the second is not to wait for the first.
        let _ = tcp.set_nodelay(true);
        Ok(Box::new(L4Stream::from(tcp)))
    }
}

/// Registries answer with relative locations or with absolute ones.
fn path_of(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else {
        return location;
    };
    rest.find('/').map_or("/", |path| &rest[path..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_become_paths() {
        assert_eq!(
            path_of("/v2/a/blobs/uploads/1?x=y"),
            "/v2/a/blobs/uploads/1?x=y"
        );
        assert_eq!(
            path_of("http://127.0.0.1:5000/v2/a?x=http://b/"),
            "/v2/a?x=http://b/"
        );
        assert_eq!(path_of("http://127.0.0.1:5000"), "/");
    }
}
