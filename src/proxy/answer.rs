//! What we answer ourselves: failures, and a peer's question after our state.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use tokio::time::Instant;

use super::{Exchange, Proxy, attempt, hop};
use crate::http::client::{Client, Source};
use crate::http::request::Method;
use crate::http::respond::{Connection, Failure, Severity};
use crate::member::state::State;
use crate::peers::{answer, wire};
use crate::shard::Arrival;

/// How long a client that is turned away may go on sending its body, which is read and thrown
/// away: closing at once could take the answer away from it.
const READ_AWAY: std::time::Duration = std::time::Duration::from_secs(2);

/// What is read away at a time, in bytes.
const PIECE: u64 = 64 * 1024;

impl Proxy {
    /// Answers a request that has failed, if that can still be done.
    pub(super) async fn fail(
        &self,
        client: &mut Client<'_>,
        ctx: &mut Exchange<'_>,
        failure: Failure,
    ) {
        report(&failure, ctx);
        if failure.is_of_a_lost_client() || client.sink.has_begun() {
            // A response that has begun is cut, so that nobody takes a part of it for the whole.
            client.sink.cut();
        } else {
            self.reject(client, ctx, &failure).await;
        }
        ctx.failure = Some(failure);
    }

    /// Answers instead of forwarding.
    async fn reject(&self, client: &mut Client<'_>, ctx: &mut Exchange<'_>, failure: &Failure) {
        let is_head = ctx.request.method() == Method::Head;
        let (mut parts, body) = failure.response(ctx.request_id.as_str(), is_head);
        if self.arrival == Arrival::Peer {
            let reason = HeaderValue::from_static(failure.reason());
            parts.headers.insert(wire::REJECT, reason);
            // It is plain ASCII; without it the peer merely passes the answer on.
            let view = ctx.generation.view.fingerprint().to_string();
            if let Ok(view) = HeaderValue::from_str(&view) {
                parts.headers.insert(wire::VIEW, view);
            }
        }
        // One that waits for `100 Continue` may or may not send its body now (RFC 9110 §10.1.1).
        let may_send = hop::may_keep_body(ctx) && !client.source.is_done();
        client.sink.closes |= failure.answer().connection == Connection::Close
            || may_send
            || attempt::is_last(&self.state, ctx);
        // A client that is gone by now is seen in the log by the bytes sent.
        let _ = client.answer(parts, body, ctx.request.version()).await;
    }

    /// Answers a peer's probe.
    pub(super) async fn tell_state(&self, client: &mut Client<'_>, ctx: &Exchange<'_>) {
        let told = answer::state_for(&self.state, |name| {
            let sent = ctx.request.internal(name);
            sent.and_then(|sent| str::from_utf8(sent).ok())
        });
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let (mut parts, ()) = Response::new(()).into_parts();
        let headers = &mut parts.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        client.sink.closes |= attempt::is_last(&self.state, ctx);
        // A peer that is gone has no more use for it.
        let _ = client
            .answer(parts, body.into(), ctx.request.version())
            .await;
    }
}

/// Reads away what a client whose answer was complete is still sending: closing at once could take the
/// answer away from it. All of them together are read a piece at a time, so that thousands of
/// refused uploads cost others little; who has not seen its answer in time is cut off.
pub(super) async fn read_away(state: &State, ctx: &Exchange<'_>, source: &mut Source<'_>) {
    // A stream of HTTP/2 whose request was refused is reset, and its client has the answer all the same.
    let is_reset = ctx.is_http2 && ctx.failure.is_some();
    if source.is_done() || is_reset || hop::may_keep_body(ctx) {
        return;
    }
    let until = Instant::now() + READ_AWAY;
    let reading = async {
        while let Ok(Some(_)) = source.read_up_to(PIECE).await {
            match state.pieces.next(until) {
                Some(moment) => tokio::time::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        }
    };
    let _ = Box::pin(tokio::time::timeout_at(until, reading)).await;
}

/// More than the client is told, for the operator, under the same request id.
fn report(failure: &Failure, ctx: &Exchange<'_>) {
    let Some(error) = &ctx.cause else {
        return;
    };
    let (request_id, reason) = (ctx.request_id.as_str(), failure.reason());
    match failure.answer().severity {
        Severity::Debug => tracing::debug!(request_id, reason, %error, "request failed"),
        Severity::Info => tracing::info!(request_id, reason, %error, "request failed"),
        Severity::Warn => tracing::warn!(request_id, reason, %error, "request failed"),
        Severity::Error => tracing::error!(request_id, reason, %error, "request failed"),
    }
}
