//! The framework's phases, and no policy: what to do with a request is decided by
//! [`crate::shard::plan`], whom to call is known to [`crate::upstream`], and what to answer when
//! it fails stands in [`crate::http::respond`]. This module carries it out.
//!
//! ```text
//! request_filter ── intake: route, plan ──► answered here, or
//!   └► upstream_peer ── admission, target ──► upstream_request_filter ── headers
//!        └► upstream_response_filter ── may send the request elsewhere, once
//!             └► response_filter ──► logging
//! ```

mod answer;
mod circuit;
mod client;
mod entry;
mod exchange;
mod failure;
pub mod headers;
mod hold;
mod intake;
mod record;
mod target;
mod times;
mod verdict;
mod writing;

use exchange::Exchange;
pub(crate) use record::refused;

use hold::{Awaited, Denied};
use intake::Taken;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HOST, SET_COOKIE, TRANSFER_ENCODING, VIA};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::http::respond::{Failure, REQUEST_ID_HEADER, Severity};
use crate::member::state::State;
use crate::observe::metrics::Upstream;
use crate::peers::wire;
use crate::shard::{Arrival, Plan};
use crate::upstream::{PEER_GRACE, cause};

/// The proxy behind one listener.
pub(crate) struct Proxy {
    arrival: Arrival,
    state: Arc<State>,
}

impl Proxy {
    /// Requests that come in by this listener are of this arrival, whatever they say.
    pub(crate) fn new(arrival: Arrival, state: Arc<State>) -> Self {
        Self { arrival, state }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.state.generation(), self.arrival)
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // No compression: digests are over the bytes as they are.
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        ctx: &mut Exchange,
    ) -> pingora::Result<bool> {
        let phase = self.state.phase();
        intake::set_limits(session, &ctx.generation.timeouts, self.arrival, phase);
        ctx.in_flight = Some(self.state.metrics.request_begins(self.arrival));
        match self.receive(session, ctx).await {
            Ok(Taken::Planned) => return Ok(false),
            Ok(Taken::State) => self.tell_state(session).await?,
            Err(failure) => self.reject(session, ctx, failure).await,
        }
        Ok(true)
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
        let peer = loop {
            let unsent = match ctx.unsent.take() {
                Some(unsent) => unsent,
                None => match entry::enter(&self.state, session, ctx).await? {
                    Ok(peer) => break peer,
                    Err(_) if verdict::divert(session, ctx) => continue,
                    Err(failure) => failure,
                },
            };
            // Nothing was sent: it may wait, and be planned anew.
            let called = entry::called(&ctx.generation, ctx).map(|(member, ..)| member);
            let member = called.unwrap_or_else(|| ctx.generation.view.members().local());
            let denied = Denied::Wait(unsent, Awaited::member(ctx, member));
            let again = self.receive_after(session, ctx, denied).await;
            again.map_err(|failure| give_up(ctx, failure))?;
        };
        ctx.times.asks(!session.is_body_empty());
        let mut peer = Box::new((*peer).clone());
        if !ctx.reads {
            // A peer waits as long for its replica, and is to tell of it before we give it up.
            let grace = match ctx.plan {
                Some(Plan::Forward(_)) => PEER_GRACE,
                _ => Duration::ZERO,
            };
            peer.options.read_timeout = Some(ctx.generation.timeouts.commit + grace);
        }
        Ok(peer)
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
        // Only now: until there was a connection, it might have had to wait on.
        hold::end(&self.state, ctx);
        ctx.times.connected(reused);
        if let Some(write) = &mut ctx.write {
            write.mark_sent();
        }
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
        if !request.headers.contains_key(HOST)
            && let Some(address) = session.server_addr()
        {
            // HTTP/1.0 may do without; what we send is HTTP/1.1, which may not.
            request.insert_header(HOST, address.to_string())?;
        }
        if self.arrival == Arrival::Client {
            headers::set_forwarded(request, &intake::downstream(&ctx.generation, session))?;
        }
        request.append_header(VIA, self.state.via.line(session.req_header().version))?;
        request.insert_header(REQUEST_ID_HEADER, ctx.request_id.as_str())?;
        if let Some(trace) = intake::trace_for_upstream(&self.state, session, ctx) {
            request.insert_header(intake::TRACE_HEADER, trace.as_str())?;
        }
        if ctx.repository.is_some() {
            drop_namespace(request);
        }
        let view = &ctx.generation.view;
        if verdict::upstream_of(ctx) == Upstream::Peer {
            request.insert_header(wire::VIEW, view.fingerprint().to_string())?;
            let local = view.members().get(view.members().local());
            request.insert_header(wire::MEMBER, local.id.to_string())?;
            // There, a read would only wait for what is served here at once.
            let left = if verdict::has_second(session, ctx) {
                0
            } else {
                hold::time_left(ctx).as_millis()
            };
            request.insert_header(wire::HOLD, left.to_string())?;
        } else {
            headers::drop_cookie(request, &ctx.generation.sticky.cookie)?;
        }
        if let Some(Plan::PeerFallback { .. }) = ctx.plan {
            request.insert_header(wire::FALLBACK, "1")?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        ended: bool,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        if ended {
            ctx.times.body_ended();
            // The framework writes an empty last piece, as HTTP/2 has them, as a chunk, which ends a
            // chunked body, and then its end once more: that would begin the next request.
            if body.as_ref().is_some_and(Bytes::is_empty) {
                *body = None;
            }
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> pingora::Result<()> {
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked for it: upgrades are not passed on.
            return Err(give_up(ctx, Failure::UpstreamProtocol));
        }
        if response.status.is_informational() {
            headers::drop_internal_response(response);
            ctx.times.invited();
            return Ok(());
        }
        ctx.times.answered();
        circuit::succeeded(ctx);
        if let Some(write) = &mut ctx.write {
            write.mark_answered();
        }
        verdict::on_response(session, response, ctx)?;
        // From here on it is the client who takes its time.
        ctx.permit = None;
        entry::begin_transfer(&self.state, session, ctx)
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
        if session.req_header().version == http::Version::HTTP_10 {
            // It knows no chunks (RFC 9112 §6.1): the end of the connection ends the body.
            response.remove_header(&TRANSFER_ENCODING);
        }
        response.insert_header(REQUEST_ID_HEADER, ctx.request_id.as_str())?;
        if ctx.hand_out_cookie {
            let view = &ctx.generation.view;
            let token = view.sticky_token(view.members().local());
            let sticky = &ctx.generation.sticky;
            let secure = if intake::is_tls(session) {
                "; Secure"
            } else {
                ""
            };
            let cookie = format!(
                "{}={token}; Path={}; HttpOnly; SameSite=Lax{secure}",
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
        ctx.times.answered();
        verdict::on_connect_error(session, peer, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        ctx.times.answered();
        verdict::on_error(&self.state, session, ctx, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Exchange,
    ) -> FailToProxy {
        hold::end(&self.state, ctx);
        let failure = ctx
            .failure
            .take()
            .unwrap_or_else(|| failure::classify(error));
        let failure = failure::or_abuse(failure, error, session);
        let gone = failure.is_of_a_lost_client();
        let begun = session
            .response_written()
            .is_some_and(|response| !response.status.is_informational());
        let status = failure.answer().status;
        report(&failure, error, ctx);
        if gone || begun {
            // A response that has begun is cut, so that nobody takes a part of it for the whole.
            ctx.failure = Some(failure);
            if !gone {
                answer::send_what_came(session).await;
            }
        } else {
            // The framework drops the connection after an error, so the client is told.
            session.set_keepalive(None);
            self.reject(session, ctx, failure).await;
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Exchange) {
        self.record(session, ctx);
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
    /// Finds out what a request is and what is to be done with it, as soon as that can be done.
    async fn receive(&self, session: &mut Session, ctx: &mut Exchange) -> Result<Taken, Failure> {
        match self.plan(session, ctx) {
            Ok(taken) => Ok(taken),
            Err(denied) => self.receive_after(session, ctx, denied).await,
        }
    }

    /// The same, after it was denied.
    async fn receive_after(
        &self,
        session: &mut Session,
        ctx: &mut Exchange,
        mut denied: Denied,
    ) -> Result<Taken, Failure> {
        loop {
            let waited = hold::wait(&self.state, session, ctx, denied).await;
            let _turn = waited.inspect_err(|_| hold::end(&self.state, ctx))?;
            ctx.begin_anew(self.state.next_generation());
            match self.plan(session, ctx) {
                Ok(taken) => return Ok(taken),
                Err(again) => denied = again,
            }
        }
    }

    /// The request has ended; what comes after that does not count.
    fn record(&self, session: &Session, ctx: &mut Exchange) {
        ctx.permit = None;
        ctx.transfer = None;
        ctx.pass = None;
        ctx.write = None;
        ctx.in_flight = None;
        if !ctx.is_question && !std::mem::replace(&mut ctx.recorded, true) {
            record::ended(self.arrival, &self.state, session, ctx);
        }
    }

    fn plan(&self, session: &Session, ctx: &mut Exchange) -> Result<Taken, Denied> {
        let taken = intake::take_in(&self.state, session, ctx)?;
        if taken == Taken::Planned {
            writing::admit(&self.state, ctx)?;
        }
        Ok(taken)
    }
}

/// Has the path alone say which repository is meant ([`target`]).
fn drop_namespace(request: &mut RequestHeader) {
    let Some(kept) = target::without_namespace(request.raw_path()) else {
        return;
    };
    let mut parts = request.uri.clone().into_parts();
    // A part of what was one before is one.
    parts.path_and_query = http::uri::PathAndQuery::try_from(kept).ok();
    if let Ok(uri) = http::Uri::from_parts(parts) {
        request.set_uri(uri);
    }
}

/// More than the client is told, for the operator, under the same request id.
fn report(failure: &Failure, error: &Error, ctx: &Exchange) {
    let (request_id, reason) = (ctx.request_id.as_str(), failure.reason());
    let error = cause(error);
    match failure.answer().severity {
        Severity::Debug => tracing::debug!(request_id, reason, %error, "request failed"),
        Severity::Info => tracing::info!(request_id, reason, %error, "request failed"),
        Severity::Warn => tracing::warn!(request_id, reason, %error, "request failed"),
        Severity::Error => tracing::error!(request_id, reason, %error, "request failed"),
    }
}

/// Ends the request with this failure, which [`Proxy::fail_to_proxy`] answers.
fn give_up(ctx: &mut Exchange, failure: Failure) -> Box<Error> {
    ctx.failure = Some(failure);
    let mut error = Error::new(ErrorType::Custom("given up"));
    error.set_retry(false);
    error
}
