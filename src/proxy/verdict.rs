//! What an upstream's answer, or the lack of one, means for the request.
//!
//! Two rules hold whatever happens: a request that may write is sent once, and a request is sent
//! to at most two upstreams.

use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::{Exchange, circuit, failure, give_up};
use crate::http::respond::Failure;
use crate::member::state::State;
use crate::observe::metrics::Upstream;
use crate::peers::wire;
use crate::shard::{self, MemberIndex, Plan};

/// Whom the plan calls.
pub(crate) fn upstream_of(ctx: &Exchange) -> Upstream {
    match ctx.plan {
        Some(Plan::Forward(_) | Plan::PeerFallback { .. }) => Upstream::Peer,
        Some(Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. } | Plan::Reject(_))
        | None => Upstream::Replica,
    }
}

/// Looks at the head of a response before anything of it has gone downstream.
///
/// # Errors
/// When the response must not go downstream: because the peer is not the owner after all, or
/// because the request goes elsewhere.
pub(crate) fn on_response(
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut Exchange,
) -> pingora::Result<()> {
    let reason = response.remove_header(wire::REJECT);
    let rejected = reason.is_some();
    response.remove_header(wire::VIEW);
    let goes_on = match ctx.plan {
        Some(Plan::Forward(owner))
            if rejected && response.status == StatusCode::MISDIRECTED_REQUEST =>
        {
            let id = ctx.generation.view.members().get(owner).id.clone();
            let failure = Failure::PeerMisdirected { owner: id };
            // A read would wait here for a dispute that may never end: only writes look at its age.
            return Err(if ctx.reads {
                give_up(ctx, failure)
            } else {
                turned_away(session, ctx, owner, failure)
            });
        }
        // A member of a release that knows no stand-ins.
        Some(Plan::PeerFallback { .. })
            if rejected && response.status == StatusCode::MISDIRECTED_REQUEST =>
        {
            return Err(give_up(ctx, Failure::ReplicaDown));
        }
        // The peer itself answers, for a replica that does not.
        Some(Plan::Forward(_)) => rejected && response.status.is_server_error(),
        // Storage is shared, but a replica may have cached that the blob was not there.
        Some(Plan::Spread { .. }) => response.status == StatusCode::NOT_FOUND,
        Some(Plan::Local | Plan::Fallback { .. } | Plan::PeerFallback { .. } | Plan::Reject(_))
        | None => false,
    };
    if goes_on && try_second(session, ctx) {
        let mut error = Error::new(ErrorType::Custom("to be asked elsewhere"));
        error.set_retry(true);
        return Err(error);
    }
    if let (Some(Plan::Forward(owner)), Some(reason)) = (ctx.plan, reason)
        && reason == Failure::Draining.reason()
        && session.body_bytes_read() == 0
    {
        let id = ctx.generation.view.members().get(owner).id.clone();
        let failure = Failure::OwnerDown { owner: id };
        return Err(turned_away(session, ctx, owner, failure));
    }
    Ok(())
}

/// The peer has changed, and we do not know it yet: it is asked at once. It has done nothing with the
/// request, which may therefore wait, if nothing of its body is gone.
fn turned_away(
    session: &Session,
    ctx: &mut Exchange,
    peer: MemberIndex,
    failure: Failure,
) -> Box<Error> {
    ctx.generation.peer_state(peer).wake();
    if session.body_bytes_read() > 0 {
        return give_up(ctx, failure);
    }
    ctx.unsent = Some(failure);
    let mut error = Error::new(ErrorType::Custom("turned away"));
    error.set_retry(true);
    error
}

/// No connection, so nothing was sent: a read may still be served by another replica.
pub(crate) fn on_connect_error(
    session: &Session,
    peer: &HttpPeer,
    ctx: &mut Exchange,
    mut error: Box<Error>,
) -> Box<Error> {
    circuit::failed(ctx, &error);
    let mut retry = try_second(session, ctx) || try_other_name(session, peer, ctx, &error);
    if !retry && session.body_bytes_read() == 0 {
        // It waits, if it may, before the next attempt.
        ctx.unsent = waits_after(&failure::classify(&error));
        retry = ctx.unsent.is_some();
    }
    error.set_retry(retry);
    error
}

/// The connection broke. A read that went into a pooled connection which the upstream was just
/// closing is sent again; another read may be served by another replica.
pub(crate) fn on_error(
    state: &State,
    session: &mut Session,
    ctx: &mut Exchange,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if ctx.elsewhere {
        error.set_retry(true);
        return error;
    }
    if let Some(unsent) = ctx.unsent.take() {
        let untouched = session.body_bytes_read() == 0;
        let kept = if untouched {
            &mut ctx.unsent
        } else {
            &mut ctx.failure
        };
        *kept = Some(unsent);
        error.set_retry(untouched);
        return error;
    }
    if *error.esource() != ErrorSource::Upstream || ctx.failure.is_some() {
        error.set_retry(false);
        ctx.failure.get_or_insert_with(|| failure::classify(&error));
        return error;
    }
    if *error.etype() == ErrorType::ReadTimedout && !session.as_downstream_mut().is_body_done() {
        // The upstream has taken all there was, and can only wait for the rest. Over HTTP/2 nobody
        // else has noticed; nothing is wrong with the upstream.
        error.set_retry(false);
        ctx.failure = Some(Failure::BodyTimeout);
        return error;
    }
    let was_closing = reused && !ctx.resent && !failure::is_timeout(&error);
    if was_closing && is_untouched_read(session, ctx) && session.response_written().is_none() {
        error.retry.decide_reuse(reused);
    } else {
        error.set_retry(false);
    }
    if error.retry() {
        // The place and the leave are still good.
        ctx.resent = true;
        ctx.retries += 1;
        state.metrics.retry(upstream_of(ctx));
        return error;
    }
    circuit::failed(ctx, &error);
    if session.response_written().is_none() && try_second(session, ctx) {
        error.set_retry(true);
    } else {
        ctx.failure = Some(failure::classify(&error));
    }
    error
}

/// The upstream is not to be called at all: a read goes to the next at once, and once only, since
/// that one may not be callable either. Says whether it does.
pub(crate) fn divert(session: &Session, ctx: &mut Exchange) -> bool {
    let second = second(session, ctx);
    if second.is_some() {
        ctx.plan = second;
        ctx.has_second = true;
    }
    second.is_some()
}

fn try_second(session: &Session, ctx: &mut Exchange) -> bool {
    let second = second(session, ctx);
    if let Some(plan) = second {
        ctx.try_elsewhere(plan);
        ctx.has_second = true;
    }
    second.is_some()
}

/// Whether somebody else would serve it.
pub(crate) fn has_second(session: &Session, ctx: &Exchange) -> bool {
    second(session, ctx).is_some()
}

fn second(session: &Session, ctx: &Exchange) -> Option<Plan> {
    if ctx.has_second || !is_untouched_read(session, ctx) {
        return None;
    }
    let generation = &ctx.generation;
    let health = |member| generation.health_of(member);
    shard::second(
        ctx.plan?,
        ctx.arrival,
        ctx.owner,
        &generation.view,
        &generation.policy,
        health,
    )
}

/// A certificate may carry the other of the member's two names.
fn try_other_name(session: &Session, peer: &HttpPeer, ctx: &mut Exchange, error: &Error) -> bool {
    let failed = matches!(error.etype(), ErrorType::TLSHandshakeFailure);
    let untouched = session.body_bytes_read() == 0 && !ctx.tried_other_name;
    let (Some(plan @ Plan::Forward(member)), true) = (ctx.plan, failed && untouched) else {
        return false;
    };
    let tries = ctx
        .generation
        .upstreams
        .member(member)
        .expect_other_name(peer);
    if tries.is_ok() {
        ctx.try_elsewhere(plan);
        ctx.tried_other_name = true;
    }
    tries.is_ok()
}

/// Failures to connect that end when the other side is back.
fn waits_after(failure: &Failure) -> Option<Failure> {
    matches!(
        failure,
        Failure::UpstreamRefused | Failure::UpstreamConnectTimeout
    )
    .then(|| failure.clone())
}

/// Whether the request can be sent again: it reads, and nothing of a body was consumed.
fn is_untouched_read(session: &Session, ctx: &Exchange) -> bool {
    ctx.reads && session.body_bytes_read() == 0
}
