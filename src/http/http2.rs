//! Requests that come over HTTP/2. Their heads are written as HTTP/1 has them, so that what follows is
//! one story for both: the same checks, the same routes, the same rewriting.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, HttpSession, default_h2_options};
use pingora::server::ShutdownWatch;
use tokio::time::Instant;

use super::client::{Client, End, Http2};
use super::connection::{Cut, GateLimits, Serve};
use super::fields::Fields;
use super::refusal::Refused;
use super::request::{RequestHead, Version};
use super::request_id::RequestId;
use super::respond::Failure;
use super::stream::{Http2Stream, Tempo};
use super::watch::{Ending, Watch};
use super::wire::Wire;

/// Streams that a client has reset and that are still remembered; a client that resets faster loses its
/// connection (CVE-2023-44487).
const RESET_STREAMS: usize = 32;
/// The connection's receive window, in stream windows.
const CONNECTION_WINDOWS: u32 = 4;

/// Bounds on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Streams at a time.
    pub(crate) streams: u32,
    /// The receive window of a stream, in bytes.
    pub(crate) window: u32,
    /// The most that the fields of a head may have, in bytes (RFC 9113 §6.5.2).
    pub(crate) header_bytes: usize,
}

/// Serves the streams of one connection.
struct Streams<A> {
    app: Arc<A>,
    end: End,
    tempo: Tempo,
    ending: Arc<Ending>,
    options: H2Options,
    server_options: HttpServerOptions,
}

/// Serves a connection until it ends. Says so, if it was ended for what the client did to it.
pub(super) async fn serve<A: Serve>(
    app: Arc<A>,
    limits: &GateLimits,
    wire: Wire,
    end: End,
    deadline: Instant,
    shutdown: &ShutdownWatch,
) -> Option<Cut> {
    let ending = Arc::new(Ending::default());
    let watch = Watch::new(limits.request_header, ending.clone());
    let mut stream = Http2Stream::new(wire, &limits.tempo, watch);
    if !stream.preface_comes(deadline).await {
        return None;
    }
    let streams = Arc::new(Streams {
        app,
        end,
        tempo: limits.tempo,
        ending: ending.clone(),
        options: options(limits.http2.as_ref()),
        server_options: server_options(limits.keepalive),
    });
    streams.process_new(Box::new(stream), shutdown).await;
    let goodbye = ending.goodbye();
    if let Some(abuse) = ending.abuse().cloned() {
        return Some(Cut { abuse, goodbye });
    }
    if let Some(goodbye) = goodbye {
        goodbye.say().await;
    }
    None
}

#[async_trait]
impl<A: Serve> HttpServerApp for Streams<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if let ServerSession::H2(session) = session {
            self.one(session).await;
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }
}

impl<A: Serve> Streams<A> {
    async fn one(&self, session: HttpSession) {
        let started = Instant::now();
        let mut head = Vec::with_capacity(1024);
        write_head(&mut head, session.req_header(), !session.is_body_empty());
        let stream = Http2::new(session, self.ending.clone());
        let mut fields = Fields::new();
        match RequestHead::parse_http2(&head, &mut fields) {
            Ok(request) => {
                let mut client = Client::http2(&self.end, &stream, request.body(), &self.tempo);
                self.app.serve(&request, &mut client).await;
            }
            Err(failure) => {
                let is_head = head.starts_with(b"HEAD ");
                self.refuse(&stream, failure, is_head, started.elapsed())
                    .await;
            }
        }
    }

    async fn refuse(&self, stream: &Http2, failure: Failure, is_head: bool, elapsed: Duration) {
        let id = RequestId::make();
        let (parts, body) = failure.response(id.as_str(), is_head);
        let nothing = super::head::Body::Length(0);
        let mut client = Client::http2(&self.end, stream, nothing, &self.tempo);
        // Whether it arrives is the client's affair now.
        let _ = client.answer(parts, body, Version::Http2).await;
        self.app.refused(&Refused {
            failure: &failure,
            request_id: &id,
            client: self.end.address,
            tls: self.end.tls.is_some(),
            bytes_sent: client.sink.sent,
            elapsed,
        });
    }
}

/// A head as HTTP/1 has it (RFC 9113 §8.3.1, §8.2.3). The library has refused what may not stand in one:
/// no value has a line end, and no field is about the connection.
fn write_head(out: &mut Vec<u8>, request: &RequestHeader, has_body: bool) {
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    let target = match request.raw_path() {
        // CONNECT has none; it is refused by its method.
        b"" if request.method == Method::CONNECT => b"/",
        target => target,
    };
    put(&[
        request.method.as_str().as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\n",
    ]);
    if let (Some(authority), false) = (request.uri.authority(), request.headers.contains_key(HOST))
    {
        put(&[b"host: ", authority.as_str().as_bytes(), b"\r\n"]);
    }
    let mut has_length = false;
    for (name, value) in &request.headers {
        if *name == COOKIE || (*name == CONTENT_LENGTH && std::mem::replace(&mut has_length, true))
        {
            continue;
        }
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    // A client may send a field for each of its cookies, which only HTTP/2 knows.
    let cookies = request.headers.get_all(COOKIE).iter();
    for (at, cookie) in cookies.enumerate() {
        let before: &[u8] = if at == 0 { b"cookie: " } else { b"; " };
        put(&[before, cookie.as_bytes()]);
    }
    if request.headers.contains_key(COOKIE) {
        put(&[b"\r\n"]);
    }
    if has_body && !has_length {
        put(&[b"transfer-encoding: chunked\r\n"]);
    }
    put(&[b"\r\n"]);
}

fn server_options(idle: Duration) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // Refused by us, with an OCI error; the framework's own refusal has no body.
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(idle);
    options
}

fn options(limits: Option<&Limits>) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_pending_accept_reset_streams(RESET_STREAMS);
    if let Some(limits) = limits {
        let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
        options
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(header_bytes)
            .initial_window_size(limits.window)
            .initial_connection_window_size(limits.window.saturating_mul(CONNECTION_WINDOWS));
    }
    options
}
