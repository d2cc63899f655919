//! The pure [`handle`] behind connections.

use super::command::{Door, Operated, obey};
use super::{AdminResponse, handle};
use crate::http::client::Client;
use crate::http::request::{Method, RequestHead};
use crate::http::respond::Failure;
use crate::http::{Refused, Serve};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::sync::Arc;

/// Told of requests that could not be read.
pub(crate) type OnRefused = Box<dyn Fn(&Failure) + Send + Sync>;

/// The admin application of one member.
pub(crate) struct AdminApp {
    member: Arc<dyn Operated>,
    door: Door,
    on_refused: OnRefused,
}

impl AdminApp {
    /// Shows what the member tells of itself.
    pub(crate) fn new(member: Arc<dyn Operated>, on_refused: OnRefused) -> Self {
        Self {
            member,
            door: Door::Network,
            on_refused,
        }
    }

    /// Tells it what an operator wants, too: for a socket that only operators can open.
    pub(crate) fn commanding(member: Arc<dyn Operated>, on_refused: OnRefused) -> Self {
        Self {
            door: Door::Socket,
            ..Self::new(member, on_refused)
        }
    }
}

impl Serve for AdminApp {
    async fn serve(&self, request: &RequestHead<'_>, client: &mut Client<'_>) {
        let method = request.method();
        let path = request.path();
        let query = request
            .query()
            .map(|query| str::from_utf8(query).unwrap_or_default());
        let answer = match obey(&*self.member, method.as_str(), path, self.door).await {
            Some(answer) => answer,
            None => handle(&*self.member, method.as_str(), path, query),
        };
        // A body, if there is any, stays unread.
        client.sink.closes |= !matches!(method, Method::Get | Method::Head);
        let (parts, body) = write(answer, method == Method::Head);
        // Who asked is gone if it does not arrive.
        let _ = client.answer(parts, body, request.version()).await;
    }

    fn refused(&self, refused: &Refused<'_>) {
        (self.on_refused)(refused.failure);
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
fn write(answer: AdminResponse, is_head: bool) -> (Parts, Bytes) {
    let AdminResponse {
        status,
        content_type,
        body,
        allow,
    } = answer;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = &mut parts.headers;
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
    let body = if is_head { String::new() } else { body };
    (parts, body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::End;
    use crate::http::wire::Wire;
    use crate::http::{Gate, GateLimits};
    use crate::operate::tests::Fixed;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

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
        assert_eq!(get.0.headers, head.0.headers);
        assert_eq!(head.0.headers["content-length"], "5");
        assert_eq!((&*get.1, &*head.1), (&b"hello"[..], &b""[..]));
    }

    /// Sends raw bytes to the application, and gives all that comes back.
    async fn over_the_wire(request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let app = AdminApp::new(Arc::new(Fixed::default()), Box::new(|_| ()));
        let limits = GateLimits::for_tests();
        let deadline = Instant::now() + limits.request_header;
        let gate = Gate::new(Arc::new(app), limits);
        let (_keep, shutdown) = tokio::sync::watch::channel(false);
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        gate.serve(Wire::Memory(server), &End::default(), deadline, &shutdown)
            .await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_is_served() {
        let get = over_the_wire("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
        assert!(
            get.ends_with("\r\n\r\n[+]listeners ok\n[+]replica ok\nreadyz check passed\n"),
            "{get}"
        );
        let head = over_the_wire("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            head.contains("\r\ncontent-length: 3\r\n") && head.ends_with("\r\n\r\n"),
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
        assert_eq!(write(answer(405), false).0.headers["allow"], "GET, HEAD");
        assert!(!write(answer(200), false).0.headers.contains_key("allow"));
    }
}
