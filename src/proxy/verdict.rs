//! What an upstream's answer, or the lack of one, means for the request.
//!
//! Two rules hold whatever happens: a request that may write is sent once, and a request is sent
//! to at most two upstreams.

use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::{Exchange, failure, give_up};
use crate::metrics::Upstream;
use crate::respond::Failure;
use crate::shard::{MemberIndex, OwnerDown, Plan};
use crate::state::State;
use crate::wire;

/// Second attempts that one request may have.
const RETRIES: u8 = 1;

/// Whom the plan calls.
pub fn upstream_of(ctx: &Exchange) -> Upstream {
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
pub fn on_response(
    state: &State,
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut Exchange,
) -> pingora::Result<()> {
    let rejected = response.remove_header(wire::REJECT);
    response.remove_header(wire::VIEW);
    let untouched = session.body_bytes_read() == 0;
    match ctx.plan {
        Some(Plan::Forward(owner) | Plan::PeerFallback { peer: owner }) if rejected.is_some() => {
            if response.status == StatusCode::MISDIRECTED_REQUEST {
                let owner = state.view.members().get(owner).id.clone();
                return Err(give_up(ctx, Failure::PeerMisdirected { owner }));
            }
            if untouched && response.status.is_server_error() && may_fall_back(state, owner, ctx) {
                ctx.try_elsewhere(Plan::Fallback { owner });
                return Err(elsewhere());
            }
            Ok(())
        }
        // Storage is shared, but a replica may have cached that the blob was not there.
        Some(Plan::Spread { owner })
            if untouched && response.status == StatusCode::NOT_FOUND && ctx.retries < RETRIES =>
        {
            ctx.permit = None;
            ctx.try_elsewhere(Plan::Forward(owner));
            Err(elsewhere())
        }
        Some(
            Plan::Local
            | Plan::Forward(_)
            | Plan::PeerFallback { .. }
            | Plan::Fallback { .. }
            | Plan::Spread { .. }
            | Plan::Reject(_),
        )
        | None => Ok(()),
    }
}

/// No connection, so nothing was sent: a read may still be served by the local replica.
pub fn on_connect_error(
    state: &State,
    session: &Session,
    peer: &HttpPeer,
    ctx: &mut Exchange,
    mut error: Box<Error>,
) -> Box<Error> {
    error.set_retry(false);
    let Some(plan @ (Plan::Forward(owner) | Plan::PeerFallback { peer: owner })) = ctx.plan else {
        return error;
    };
    if ctx.retries >= RETRIES {
        return error;
    }
    let untouched = session.body_bytes_read() == 0;
    if untouched && may_fall_back(state, owner, ctx) {
        ctx.try_elsewhere(Plan::Fallback { owner });
        error.set_retry(true);
    } else if matches!(error.etype(), ErrorType::TLSHandshakeFailure) && untouched {
        // Its certificate may carry the other of the member's two names.
        if state.upstreams.expect_other_name(owner, peer).is_ok() {
            ctx.try_elsewhere(plan);
            error.set_retry(true);
        }
    }
    error
}

/// The connection broke. Only a read that went into a pooled connection which the upstream was
/// just closing is sent again.
pub fn on_error(
    state: &State,
    session: &Session,
    ctx: &mut Exchange,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if ctx.elsewhere {
        error.set_retry(true);
        return error;
    }
    let unanswered = session.response_written().is_none();
    let blameless = *error.esource() == ErrorSource::Upstream && ctx.failure.is_none();
    if ctx.reads && reused && unanswered && blameless && session.body_bytes_read() == 0 {
        error.retry.decide_reuse(reused);
    } else {
        error.set_retry(false);
    }
    if error.retry() {
        ctx.retries += 1;
        state.metrics.retry(upstream_of(ctx));
    } else if ctx.failure.is_none() {
        ctx.failure = Some(failure::classify(&error));
    }
    error
}

/// The owner has no address yet: a read is served by the local replica. Says whether it is.
pub fn on_unresolved(state: &State, ctx: &mut Exchange) -> bool {
    let Some(Plan::Forward(owner) | Plan::PeerFallback { peer: owner }) = ctx.plan else {
        return false;
    };
    let falls_back = may_fall_back(state, owner, ctx);
    if falls_back {
        ctx.plan = Some(Plan::Fallback { owner });
    }
    falls_back
}

fn may_fall_back(state: &State, owner: MemberIndex, ctx: &Exchange) -> bool {
    let local = state.view.members().local();
    ctx.reads
        && ctx.retries < RETRIES
        && ctx.owner == Some(owner)
        && state.policy.owner_down == OwnerDown::Fallback
        && state.health_of(local).is_usable()
}

fn elsewhere() -> Box<Error> {
    let mut error = Error::new(ErrorType::Custom("to be asked elsewhere"));
    error.set_retry(true);
    error
}
