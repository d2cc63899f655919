//! The framework's phases, and no policy: what to do with a request is decided by
//! [`crate::shard::plan`], whom to call is known to [`crate::upstream`], and what to answer when
//! it fails stands in [`crate::respond`]. This module carries it out.
//!
//! ```text
//! request_filter ── intake: route, plan ──► answered here, or
//!   └► upstream_peer ── admission, target ──► upstream_request_filter ── headers
//!        └► upstream_response_filter ── may send the request elsewhere, once
//!             └► response_filter ──► logging
//! ```

mod entry;
mod exchange;
mod failure;
pub mod headers;
mod intake;
mod record;
mod verdict;
pub mod wire;

pub use exchange::Exchange;
pub use record::refused;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::{CONNECTION, SET_COOKIE};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::respond::{Connection, Failure, REQUEST_ID_HEADER};
use crate::shard::{Arrival, Plan};
use crate::state::State;

/// The proxy behind one listener.
pub struct Proxy {
    arrival: Arrival,
    state: Arc<State>,
}

impl Proxy {
    /// Requests that come in by this listener are of this arrival, whatever they say.
    pub fn new(arrival: Arrival, state: Arc<State>) -> Self {
        Self { arrival, state }
    }

    /// Answers instead of forwarding.
    async fn reject(&self, session: &mut Session, ctx: &mut Exchange, failure: Failure) {
        let head = session.req_header().method == http::Method::HEAD;
        let (parts, body) = failure.response(ctx.request_id.as_str(), head);
        let mut response = ResponseHeader::from(parts);
        if self.arrival == Arrival::Peer {
            let reason = HeaderValue::from_static(failure.reason());
            let view = self.state.view.fingerprint().to_string();
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
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new()
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // No compression: digests are over the bytes as they are.
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        ctx: &mut Exchange,
    ) -> pingora::Result<bool> {
        intake::set_limits(session, &self.state.timeouts, self.state.is_draining());
        ctx.in_flight = Some(self.state.metrics.request_begins(self.arrival));
        match intake::take_in(self.arrival, &self.state, session, ctx) {
            Ok(()) if ctx.is_state_probe => {
                self.tell_state(session).await?;
                Ok(true)
            }
            Ok(()) => Ok(false),
            Err(failure) => {
                self.reject(session, ctx, failure).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Exchange,
    ) -> pingora::Result<Box<HttpPeer>> {
        if std::mem::take(&mut ctx.elsewhere) {
            ctx.retries += 1;
            self.state.metrics.retry(verdict::upstream_of(ctx));
        }
        let mut peer = self.target(session, ctx).await?;
        if peer.is_none() && verdict::on_unresolved(&self.state, ctx) {
            peer = self.target(session, ctx).await?;
        }
        let Some(peer) = peer else {
            return Err(give_up(ctx, Failure::Unresolved));
        };
        ctx.upstream_asked
            .get_or_insert_with(std::time::Instant::now);
        Ok(Box::new((*peer).clone()))
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: std::os::unix::io::RawFd,
        _: Option<&Digest>,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        self.state
            .metrics
            .upstream_connection(verdict::upstream_of(ctx), reused);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        headers::drop_internal(request);
        if self.arrival == Arrival::Client {
            headers::set_forwarded(request, &intake::downstream(&self.state, session))?;
        }
        request.insert_header(REQUEST_ID_HEADER, ctx.request_id.as_str())?;
        if let Some(trace) = &ctx.trace {
            request.insert_header(intake::TRACE_HEADER, trace.as_str())?;
        }
        if let Some(Plan::Forward(_)) = ctx.plan {
            let view = &self.state.view;
            request.insert_header(wire::VIEW, view.fingerprint().to_string())?;
            let local = view.members().get(view.members().local());
            request.insert_header(wire::MEMBER, local.id.to_string())?;
        } else {
            headers::drop_cookie(request, &self.state.sticky.cookie)?;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        if let Some(asked) = ctx.upstream_asked {
            let after = *ctx.first_byte.get_or_insert(asked.elapsed());
            self.state
                .metrics
                .first_byte(verdict::upstream_of(ctx), after);
        }
        verdict::on_response(&self.state, session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        // Only now: the framework would take a `100 Continue` before the body for an early answer.
        headers::drop_hop_by_hop(response);
        intake::leave_time_to_read(session);
        response.insert_header(REQUEST_ID_HEADER, ctx.request_id.as_str())?;
        if ctx.hand_out_cookie {
            let view = &self.state.view;
            let token = view.sticky_token(view.members().local());
            let sticky = &self.state.sticky;
            let cookie = format!(
                "{}={token}; Path={}; HttpOnly; SameSite=Lax",
                sticky.cookie, sticky.path
            );
            response.append_header(SET_COOKIE, cookie)?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Exchange,
        error: Box<Error>,
    ) -> Box<Error> {
        verdict::on_connect_error(&self.state, session, peer, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        verdict::on_error(session, ctx, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Exchange,
    ) -> FailToProxy {
        let failure = ctx
            .failure
            .take()
            .unwrap_or_else(|| failure::classify(error));
        let gone = matches!(failure, Failure::ClientGone | Failure::ClientStalled);
        let begun = session
            .response_written()
            .is_some_and(|response| !response.status.is_informational());
        let status = failure.answer().status;
        if gone || begun {
            // A response that has begun is cut, so that nobody takes a part of it for the whole.
            ctx.failure = Some(failure);
        } else {
            self.reject(session, ctx, failure).await;
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Exchange) {
        ctx.permit = None;
        ctx.in_flight = None;
        if !ctx.is_state_probe {
            record::ended(self.arrival, &self.state, session, ctx);
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        // Every request has its line in our log, with the reason.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Proxy {
    /// Whom the plan calls, with a place there; none while the name has no address.
    async fn target(
        &self,
        session: &mut Session,
        ctx: &mut Exchange,
    ) -> pingora::Result<Option<Arc<HttpPeer>>> {
        match ctx.plan {
            Some(Plan::Forward(owner)) => Ok(self.state.upstreams.member(owner)),
            Some(Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. }) => {
                entry::enter_replica(&self.state, session, ctx).await?;
                Ok(self.state.upstreams.replica())
            }
            Some(Plan::Reject(_)) | None => Err(give_up(ctx, Failure::Internal)),
        }
    }

    /// Answers a peer's probe.
    async fn tell_state(&self, session: &mut Session) -> pingora::Result<()> {
        let view = &self.state.view;
        let local = view.members().local();
        let own_view = view.fingerprint().to_string();
        let asked_by = session
            .req_header()
            .headers
            .get(wire::VIEW)
            .and_then(|told| told.to_str().ok());
        let state = wire::MemberState {
            member: view.members().get(local).id.to_string(),
            view: own_view.clone(),
            replica_up: self.state.health_of(local).is_usable(),
            draining: self.state.is_draining(),
            description: (asked_by != Some(own_view.as_str())).then(|| view.describe()),
        };
        let body = serde_json::to_vec(&state).unwrap_or_default();
        let mut response = ResponseHeader::build(200, Some(3))?;
        response.insert_header(http::header::CONTENT_TYPE, "application/json")?;
        response.insert_header(http::header::CONTENT_LENGTH, body.len())?;
        session
            .write_response_header(Box::new(response), false)
            .await?;
        session.write_response_body(Some(body.into()), true).await
    }
}

/// Ends the request with this failure, which [`Proxy::fail_to_proxy`] answers.
fn give_up(ctx: &mut Exchange, failure: Failure) -> Box<Error> {
    ctx.failure = Some(failure);
    let mut error = Error::new(ErrorType::Custom("given up"));
    error.set_retry(false);
    error
}
