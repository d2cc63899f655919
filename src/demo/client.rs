//! A very small HTTP client, to push and pull as any other client would: by the client listeners.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HOST, LOCATION, USER_AGENT};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use super::DemoError;

/// Everything is on this machine and small.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Far more than anything in the demo's image, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;
/// One request follows another.
const POOL: usize = 1;

/// Talks to one registry.
pub(super) struct Client {
    connector: Connector,
    peer: HttpPeer,
    host: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Location`, as a path on the same host.
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

impl Client {
    /// `authority` only keeps the framework from reading the system's certificates.
    pub(super) fn new(registry: SocketAddr, authority: &Path) -> Self {
        let mut options = ConnectorOptions::new(POOL);
        options.ca_file = Some(authority.display().to_string());
        Self {
            connector: Connector::new(Some(options)),
            peer: HttpPeer::new(registry, false, String::new()),
            host: registry.to_string(),
        }
    }

    /// One request and its whole answer, whatever the status.
    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        header: Option<(&'static str, &str)>,
        body: &[u8],
    ) -> Result<Answer, DemoError> {
        let fault = |fault: String| DemoError::Client {
            request: format!("{method} http://{}{target}", self.host),
            fault,
        };
        let exchange = self.exchange(method, target, header, body);
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|error| fault(error.to_string())),
            Err(_) => Err(fault(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        target: &str,
        header: Option<(&'static str, &str)>,
        body: &[u8],
    ) -> pingora::Result<Answer> {
        let mut request = RequestHeader::build(method, target.as_bytes(), None)?;
        request.insert_header(HOST, &self.host)?;
        request.insert_header(USER_AGENT, concat!("shardlet-demo/", env!("CARGO_PKG_VERSION")))?;
        if let Some((name, value)) = header {
            request.insert_header(name, value)?;
        }
        if !matches!(method, "GET" | "HEAD") {
            request.insert_header(CONTENT_LENGTH, body.len())?;
        }
        let (mut session, _) = self.connector.get_http_session(&self.peer).await?;
        session.write_request_header(Box::new(request)).await?;
        session.write_body(body).await?;
        session.finish_body().await?;
        session.read_response().await?;

        let status = session.get_status().unwrap_or_default();
        let location = session.get_header(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(|location| path_of(location).to_owned());
        let mut body = BytesMut::new();
        while let Some(part) = session.read_body_bytes().await? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_LIMIT {
                return pingora::Error::e_explain(
                    pingora::ErrorType::ReadError,
                    "the answer is too large",
                );
            }
        }
        session.respect_keepalive();
        self.connector.release_http_session(session, &self.peer, None).await;
        Ok(Answer { status, location, body: body.freeze() })
    }
}

/// Registries answer with relative locations or with absolute ones.
fn path_of(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else { return location };
    rest.find('/').map_or("/", |path| &rest[path..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_become_paths() {
        assert_eq!(path_of("/v2/a/blobs/uploads/1?x=y"), "/v2/a/blobs/uploads/1?x=y");
        assert_eq!(path_of("http://127.0.0.1:5000/v2/a?x=http://b/"), "/v2/a?x=http://b/");
        assert_eq!(path_of("http://127.0.0.1:5000"), "/");
    }
}
