//! What an upstream's answer, or the lack of one, means for the request.
//!
//! Two rules hold whatever happens: a request that may write is sent once, for as long as any replica can
//! have had the whole of it, and a request is sent to at most two upstreams.

use super::{Exchange, circuit};
use crate::http::respond::Failure;
use crate::http::response::ResponseHead;
use crate::observe::metrics::Upstream;
use crate::peers::wire;
use crate::shard::{self, MemberIndex, Plan};
use crate::upstream::{ConnectError, Route};

/// Why an attempt has not led to an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// It goes by a changed plan, or by another name, at once.
    Elsewhere,
    /// It goes the same way again, over a new connection.
    Again,
    /// Nothing of it is lost, and it may wait and be planned anew.
    Unsent(Failure),
    /// It is over.
    Over(Failure),
}

/// Whom the plan calls.
pub(crate) fn upstream_of(ctx: &Exchange<'_>) -> Upstream {
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
    response: &ResponseHead<'_>,
    ctx: &mut Exchange<'_>,
) -> Result<(), Setback> {
    let status = response.status();
    let reason = response.internal(wire::REJECT);
    let rejected = reason.is_some();
    let goes_on = match ctx.plan {
        Some(Plan::Forward(owner)) if rejected && status == 421 => {
            let id = ctx.generation.view.members().get(owner).id.clone();
            let failure = Failure::PeerMisdirected { owner: id };
            // A read would wait here for a dispute that may never end: only writes look at its age.
            return Err(if ctx.reads {
                Setback::Over(failure)
            } else {
                turned_away(ctx, owner, failure)
            });
        }
        // A member of a release that knows no stand-ins.
        Some(Plan::PeerFallback { .. }) if rejected && status == 421 => {
            return Err(Setback::Over(Failure::ReplicaDown));
        }
        // The peer itself answers, for a replica that does not.
        Some(Plan::Forward(_)) => rejected && (500..=599).contains(&status),
        // Storage is shared, but a replica may have cached that the blob was not there.
        Some(Plan::Spread { .. }) => status == 404,
        Some(Plan::Local | Plan::Fallback { .. } | Plan::PeerFallback { .. } | Plan::Reject(_))
        | None => false,
    };
    if goes_on && divert(ctx) {
        return Err(Setback::Elsewhere);
    }
    if let (Some(Plan::Forward(owner)), Some(reason)) = (ctx.plan, reason)
        && [Failure::Draining, Failure::LeaseOver, Failure::Handover]
            .iter()
            .any(|gone| reason == gone.reason().as_bytes())
        && ctx.is_whole
        && let Some(failure) = owner_down(ctx)
    {
        return Err(turned_away(ctx, owner, failure));
    }
    Ok(())
}

/// The peer has changed, and we do not know it yet: it is asked at once. It has done nothing with the
/// request, which may therefore wait, if all of its body is still here.
fn turned_away(ctx: &Exchange<'_>, peer: MemberIndex, failure: Failure) -> Setback {
    ctx.generation.peer_state(peer).wake();
    if ctx.is_whole {
        Setback::Unsent(failure)
    } else {
        Setback::Over(failure)
    }
}

/// No connection, so nothing was sent: a read may still be served by another replica.
pub(crate) fn on_connect_error(
    route: &Route,
    ctx: &mut Exchange<'_>,
    error: &ConnectError,
) -> Setback {
    let failure = match error {
        ConnectError::Refused(_) | ConnectError::Failed(_) => Failure::UpstreamRefused,
        ConnectError::TimedOut => Failure::UpstreamConnectTimeout,
        ConnectError::Tls(_) => Failure::UpstreamTls,
    };
    circuit::failed(ctx, &failure);
    if divert(ctx) || try_other_name(route, ctx, error) {
        return Setback::Elsewhere;
    }
    // It waits, if it may, before the next attempt: such failures end when the other side is back.
    if failure == Failure::UpstreamTls {
        Setback::Over(failure)
    } else {
        Setback::Unsent(failure)
    }
}

/// The upstream broke off, or was silent, before the head of its answer. A read that went into a pooled
/// connection which the upstream was just closing is sent again; another read may be served by another
/// replica.
pub(crate) fn on_no_answer(ctx: &mut Exchange<'_>, failure: Failure, was_pooled: bool) -> Setback {
    let was_closing = was_pooled && failure == Failure::UpstreamReset;
    if was_closing && ctx.is_untouched_read() {
        return Setback::Again;
    }
    circuit::failed(ctx, &failure);
    if divert(ctx) {
        Setback::Elsewhere
    } else {
        Setback::Over(failure)
    }
}

/// The same before the owner has invited the body: whatever it did with the head, the write can wait and go
/// to whoever is the owner then.
pub(crate) fn on_no_invitation(
    ctx: &mut Exchange<'_>,
    failure: Failure,
    was_pooled: bool,
) -> Setback {
    if was_pooled && failure == Failure::UpstreamReset {
        return Setback::Again;
    }
    circuit::failed(ctx, &failure);
    if failure == Failure::UpstreamProtocol {
        return Setback::Over(failure);
    }
    owner_down(ctx).map_or(Setback::Over(failure), Setback::Unsent)
}

/// The owner that it was forwarded to is the owner no more, or down, and has not answered. What was `kept_back`
/// goes to the next one. Nothing else does: with `has_all` of it, the replica may have written it, and without,
/// some of the body is gone.
pub(crate) fn on_owner_gone(ctx: &mut Exchange<'_>, kept_back: bool, has_all: bool) -> Setback {
    ctx.cause = Some("its owner is out of the view, or down".into());
    match owner_down(ctx) {
        Some(failure) if kept_back => Setback::Unsent(failure),
        Some(failure) if !has_all => Setback::Over(failure),
        _ => Setback::Over(Failure::UpstreamTimeout),
    }
}

fn owner_down(ctx: &Exchange<'_>) -> Option<Failure> {
    let Some(Plan::Forward(owner)) = ctx.plan else {
        return None;
    };
    let owner = ctx.generation.view.members().get(owner).id.clone();
    Some(Failure::OwnerDown { owner })
}

/// A read goes to the next upstream at once, and once only, since that one may not be callable either.
/// Says whether it does.
pub(crate) fn divert(ctx: &mut Exchange<'_>) -> bool {
    let Some(plan) = second(ctx) else {
        return false;
    };
    ctx.go_by(plan);
    ctx.has_second = true;
    true
}

/// Whether somebody else would serve it.
pub(crate) fn has_second(ctx: &Exchange<'_>) -> bool {
    second(ctx).is_some()
}

fn second(ctx: &Exchange<'_>) -> Option<Plan> {
    if ctx.has_second || !ctx.is_untouched_read() {
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
fn try_other_name(route: &Route, ctx: &mut Exchange<'_>, error: &ConnectError) -> bool {
    let failed = matches!(error, ConnectError::Tls(_)) && !ctx.tried_other_name;
    let (Some(plan @ Plan::Forward(member)), true) = (ctx.plan, failed && ctx.is_untouched) else {
        return false;
    };
    let upstream = ctx.generation.upstreams.member(member);
    let tries = upstream.expect_other_name(route);
    if tries.is_ok() {
        ctx.go_by(plan);
        ctx.tried_other_name = true;
    }
    tries.is_ok()
}
