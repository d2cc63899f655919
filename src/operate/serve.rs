//! The pure [`handle`] as an application of pingora's HTTP server.

use super::command::{Door, Operated, obey};
use super::{AdminResponse, handle};
use async_trait::async_trait;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;

/// The admin application of one member; to be wrapped in pingora's `HttpServer`.
pub(crate) struct AdminApp {
    member: Arc<dyn Operated>,
    door: Door,
}

impl AdminApp {
    /// Shows what the member tells of itself.
    pub(crate) fn new(member: Arc<dyn Operated>) -> Self {
        let door = Door::Network;
        Self { member, door }
    }

    /// Tells it what an operator wants, too: for a socket that only operators can open.
    pub(crate) fn commanding(member: Arc<dyn Operated>) -> Self {
        let door = Door::Socket;
        Self { member, door }
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        let (method, path) = (head.method.as_str(), head.uri.path());
        let answer = match obey(&*self.member, method, path, self.door).await {
            Some(answer) => answer,
            None => handle(&*self.member, method, path, head.uri.query()),
        };
        let is_head = head.method == Method::HEAD;
        if !is_head && head.method != Method::GET {
            // Its body, if any, stays unread.
            session.set_keepalive(None);
        }
        write(answer, is_head)
    }
}

/// Headers that keep the status page from being framed, cached or scripted by anybody else.
const HARDENING: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// The answer as an HTTP response; a `HEAD` gets the length and no body.
fn write(answer: AdminResponse, is_head: bool) -> Response<Vec<u8>> {
    let AdminResponse {
        status,
        content_type,
        body,
        allow,
    } = answer;
    let mut response = Response::new(Vec::new());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in HARDENING {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if status == 405 {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if !is_head {
        *response.body_mut() = body.into_bytes();
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::Fixed;
    use pingora::apps::HttpServerApp;
    use pingora::apps::http_app::HttpServer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn answer(status: u16) -> AdminResponse {
        AdminResponse {
            status,
            content_type: "text/plain",
            body: "hello".into(),
            allow: "GET, HEAD",
        }
    }

    #[test]
    fn a_head_has_the_length_of_the_get() {
        let (get, head) = (write(answer(200), false), write(answer(200), true));
        assert_eq!(get.headers(), head.headers());
        assert_eq!(head.headers()["content-length"], "5");
        assert_eq!(
            (get.body().as_slice(), head.body().as_slice()),
            (&b"hello"[..], &b""[..])
        );
    }

    /// Sends raw bytes to the application as pingora runs it, and gives all that comes back.
    async fn over_the_wire(request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let app = Arc::new(HttpServer::new_app(AdminApp::new(Arc::new(
            Fixed::default(),
        ))));
        let (_keep, shutdown) = tokio::sync::watch::channel(false);
        client.write_all(request.as_bytes()).await.unwrap();
        let session = ServerSession::new_http1(Box::new(server));
        app.process_new_http(session, &shutdown).await;
        drop(app);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn pingora_serves_it() {
        let get = over_the_wire("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
        assert!(
            get.ends_with("\r\n\r\n[+]listeners ok\n[+]replica ok\nreadyz check passed\n"),
            "{get}"
        );
        let head = over_the_wire("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            head.contains("\r\nContent-Length: 3\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let post =
            over_the_wire("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").await;
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        let drain = over_the_wire("POST /api/v1/drain HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(drain.starts_with("HTTP/1.1 403 "), "{drain}");
    }

    #[test]
    fn a_refused_method_is_told_the_others() {
        assert_eq!(write(answer(405), false).headers()["allow"], "GET, HEAD");
        assert!(!write(answer(200), false).headers().contains_key("allow"));
    }
}
