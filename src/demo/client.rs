//! A very small HTTP client, to push and pull as any other client would: by the client listeners.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use super::DemoError;
use crate::upstream::{NoAnswer, Place, Question, Route};

/// Everything is on this machine and small.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one registry, one request after another.
pub(super) struct Client {
    registry: SocketAddr,
    route: Route,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    /// `Location`, as a path on the same host.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(registry: SocketAddr) -> Self {
        Self {
            registry,
            route: Route::aside(Place::Address(registry), None),
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
        let fault = |fault: NoAnswer| DemoError::Client {
            request,
            fault: fault.to_string(),
        };
        let mut question = Question::new(method, target, &self.registry.to_string());
        if let Some((name, value)) = header {
            question = question.field(name, value);
        }
        if method != "GET" {
            question = question.body(body);
        }
        let answer = self.route.ask(&question, TIMEOUT).await.map_err(fault)?;
        let location = answer.field("location");
        Ok(Response {
            status: answer.status,
            location: location.map(|location| path_of(location).to_owned()),
            body: answer.body,
        })
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
