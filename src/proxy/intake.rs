//! From the head of a request to its plan.

use std::borrow::Cow;

use super::hold::{Awaited, Denied};
use super::{Exchange, client, onward, verdict};
use crate::http::field::Name;
use crate::http::request::Method;
use crate::http::request_id::TraceParent;
use crate::http::respond::{Failure, Malformed};
use crate::member::generation::Generation;
use crate::member::state::{Phase, State};
use crate::observe::metrics::Upstream;
use crate::peers::{answer, wire};
use crate::shard::{self, Access, Arrival, Plan, Reject, Request, Route};

/// What a request turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// One for an upstream, with a plan.
    Planned,
    /// A peer's question after our state.
    State,
}

/// Whether its sender's word on sampling counts.
fn is_trusted(ctx: &Exchange<'_>) -> bool {
    match ctx.arrival {
        Arrival::Client => client::downstream(ctx).is_trusted(),
        Arrival::Peer => true,
    }
}

/// The trace as it is sent on. A peer believes us, and without a tracer nothing has decided: what a
/// client says that is not trusted ends here.
pub(crate) fn trace_for_upstream<'e>(
    state: &State,
    ctx: &'e Exchange<'_>,
) -> Option<Cow<'e, TraceParent>> {
    let trace = ctx.trace.as_ref()?;
    let is_told_on = state.tracer.is_some()
        || verdict::upstream_of(ctx) != Upstream::Peer
        || !trace.is_sampled()
        || is_trusted(ctx);
    Some(if is_told_on {
        Cow::Borrowed(trace)
    } else {
        Cow::Owned(trace.unsampled())
    })
}

/// Finds or begins the request's trace, which stays when it is planned anew.
pub(crate) fn trace(state: &State, ctx: &mut Exchange<'_>) {
    let parent = ctx
        .request
        .first(Name::TraceParent)
        .and_then(TraceParent::keep);
    let trace = match &state.tracer {
        Some(tracer) => {
            let is_trusted = parent.is_some() && is_trusted(ctx);
            let (trace, sampled) = tracer.begin(parent, is_trusted);
            ctx.sampled = sampled;
            trace
        }
        None => parent.unwrap_or_else(TraceParent::make),
    };
    ctx.trace = Some(trace);
}

/// Routes and plans a request.
///
/// # Errors
/// Whatever is to be answered instead of forwarding.
pub(crate) fn take_in(state: &State, ctx: &mut Exchange<'_>) -> Result<Taken, Denied> {
    let request = ctx.request;
    let path = request.path();
    if ctx.arrival == Arrival::Peer {
        if request.method() == Method::Get && path == wire::STATE_PATH {
            return Ok(Taken::State);
        }
        // Only members send it, and they always do.
        let text = |name| request.internal(name).map(str::from_utf8);
        let Some(view) = text(wire::VIEW) else {
            return Err(Failure::BadRequest(Malformed::PeerFields).into());
        };
        let view = view.ok().and_then(|view| view.parse().ok());
        let member = text(wire::MEMBER).and_then(Result::ok);
        answer::note_sender(state, member, view.as_ref());
        // What is here already, and waits, is finished.
        if state.phase() == Phase::Closed && ctx.work.is_none() {
            return Err(Failure::Draining.into());
        }
    }
    // Peers send nothing on, so what went in a circle comes back as a client's.
    if ctx.arrival == Arrival::Client && state.via.has_seen(request) {
        return Err(Failure::LoopDetected.into());
    }
    ctx.work = Some(state.work.token());
    let route = shard::parse(path).map_err(Failure::Route)?;
    plan(state, &route, ctx)?;
    Ok(Taken::Planned)
}

fn plan<'r>(state: &State, route: &Route<'r>, ctx: &mut Exchange<'r>) -> Result<(), Denied> {
    let (request, arrival) = (ctx.request, ctx.arrival);
    let generation = ctx.generation.clone();
    let view = &generation.view;
    let method = request.method().as_str();
    let access = generation.access_of(method, route);
    ctx.operation = route.operation(method);
    ctx.reads = access == Access::Read;
    if let Route::Repository { repository, .. } = route {
        ctx.repository = Some(*repository);
        ctx.owner = Some(view.owner(repository));
    }
    let sticky = match route {
        Route::Session | Route::Registry(_) if arrival == Arrival::Client => {
            onward::sticky_member(request, &generation.sticky.cookie, view)
        }
        Route::Session | Route::Registry(_) | Route::Repository { .. } | Route::Private => None,
    };
    let plan = shard::plan(
        &Request {
            arrival,
            route,
            owner: ctx.owner,
            access,
            ranged: request.has(Name::Range),
            method_is_get: request.method() == Method::Get,
            sticky,
            fallback: request.internal(wire::FALLBACK).is_some() || is_late_read(ctx),
        },
        view,
        &generation.policy,
        |member| generation.health_of(member),
    );
    ctx.plan = Some(plan);
    let handed_over = matches!(plan, Plan::Forward(_)) && sticky.is_some();
    let ours = sticky == Some(view.members().local());
    // Not for `/v2/`, though browsers log in there too: a session of the registry's own has to be good
    // at the owners of repositories anyway, and no other client knows what to do with a cookie.
    ctx.hand_out_cookie =
        matches!(route, Route::Session) && arrival == Arrival::Client && !handed_over && !ours;
    match plan {
        Plan::Local
        | Plan::Forward(_)
        | Plan::Fallback { .. }
        | Plan::PeerFallback { .. }
        | Plan::Spread { .. } => Ok(()),
        Plan::Reject(Reject::Misdirected { .. }) if is_ahead(ctx) => {
            // It is about to be ours. Whoever is behind plans anew instead.
            Err(Denied::Wait(Failure::Handover, Awaited::lease(state)))
        }
        Plan::Reject(reject) => Err(denied(reject, &generation, ctx)),
    }
}

/// Whether a read that a peer has sent by another view of the store may be served all the same: for
/// reads any replica is good, for as long as the two differ.
fn is_late_read(ctx: &Exchange<'_>) -> bool {
    ctx.arrival == Arrival::Peer && ctx.reads && ctx.generation.epoch.is_some()
}

/// Whether a peer has sent it by a later view of the store than ours.
fn is_ahead(ctx: &Exchange<'_>) -> bool {
    let told = ctx.request.internal(wire::EPOCH);
    let told: Option<u64> = told.and_then(|told| str::from_utf8(told).ok()?.parse().ok());
    ctx.generation.epoch.is_some() && told > ctx.generation.epoch
}

fn denied(reject: Reject, generation: &Generation, ctx: &Exchange<'_>) -> Denied {
    let members = generation.view.members();
    match reject {
        Reject::OwnerDown { owner } => {
            let id = members.get(owner).id.clone();
            let failure = Failure::OwnerDown { owner: id };
            Denied::Wait(failure, Awaited::member(ctx, owner))
        }
        Reject::ReplicaDown => {
            let awaited = Awaited::member(ctx, members.local());
            Denied::Wait(Failure::ReplicaDown, awaited)
        }
        Reject::Misdirected { owner } => Denied::Now(Failure::Misdirected {
            owner: members.get(owner).id.clone(),
            view: *generation.view.fingerprint(),
        }),
        Reject::Private => Denied::Now(Failure::Private),
    }
}
