//! What we answer ourselves: failures, and a peer's question after our state.

use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use super::{Exchange, Proxy, intake};
use crate::http::respond::{Connection, Failure};
use crate::member::state::State;
use crate::peers::{answer, wire};
use crate::shard::Arrival;

impl Proxy {
    /// Answers instead of forwarding.
    pub(super) async fn reject(&self, session: &mut Session, ctx: &mut Exchange, failure: Failure) {
        let head = session.req_header().method == http::Method::HEAD;
        let (parts, body) = failure.response(ctx.request_id.as_str(), head);
        let mut response = ResponseHeader::from(parts);
        if self.arrival == Arrival::Peer {
            let reason = HeaderValue::from_static(failure.reason());
            let view = ctx.generation.view.fingerprint().to_string();
            // Both are plain ASCII; without them the peer merely passes the answer on.
            let _ = response.insert_header(wire::REJECT, reason);
            let _ = response.insert_header(wire::VIEW, view);
        }
        if failure.answer().connection == Connection::Close {
            session.set_keepalive(None);
        }
        // HTTP/1 gets its own from the framework, and HTTP/2 has none (RFC 9113 §8.2.2).
        response.remove_header(&CONNECTION);
        intake::leave_time_to_read(session);
        ctx.failure = Some(failure);
        let end = body.is_empty();
        let sent = session.write_response_header(Box::new(response), end).await;
        if sent.is_ok() && !end {
            // A client that is gone by now is seen in the log by the bytes sent.
            let _ = session.write_response_body(Some(body), true).await;
        }
        self.record(session, ctx);
        read_away(&self.state, session).await;
    }

    /// Answers a peer's probe.
    pub(super) async fn tell_state(&self, session: &mut Session) -> pingora::Result<()> {
        let told = answer::state_for(&self.state, &session.req_header().headers);
        tell(session, &told).await
    }
}

/// Sends what was received of a response that has broken off. The framework flushes a response at its
/// end alone, and would drop what it has written of this one together with the connection.
pub(super) async fn send_what_came(session: &mut Session) {
    if session.is_http2() {
        // Each frame is on its way already.
        return;
    }
    // The framework flushes before a failure, if that is not the first of several tasks.
    let broken_off = Error::new(ErrorType::ConnectionClosed);
    let tasks = vec![HttpTask::Body(None, false), HttpTask::Failed(broken_off)];
    // Always an error: the one that we have just made, or that the client is gone.
    let _ = session.as_downstream_mut().response_duplex_vec(tasks).await;
}

/// Reads away what a client that was turned away is still sending: closing at once could take the
/// answer away from it. All of them together are read a piece at a time, so that thousands of
/// refused uploads cost others little; who has not seen its answer in time is cut off.
async fn read_away(state: &State, session: &mut Session) {
    if session.is_http2() || session.req_header().headers.contains_key(EXPECT) {
        return;
    }
    let until = Instant::now() + intake::DRAIN_REJECTED;
    let client = session.as_downstream_mut();
    let reading = async {
        client.finish_body().await?;
        while !client.is_body_done() {
            client.read_request_body().await?;
            match state.pieces.next(until) {
                Some(moment) => tokio::time::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        }
        Ok::<_, Box<Error>>(())
    };
    if !matches!(tokio::time::timeout_at(until, reading).await, Ok(Ok(()))) {
        session.set_keepalive(None);
    }
}

async fn tell(session: &mut Session, told: &impl serde::Serialize) -> pingora::Result<()> {
    let body = serde_json::to_vec(told).unwrap_or_default();
    let mut response = ResponseHeader::build(200, Some(3))?;
    response.insert_header(http::header::CONTENT_TYPE, "application/json")?;
    response.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    session
        .write_response_header(Box::new(response), false)
        .await?;
    session.write_response_body(Some(body.into()), true).await
}
