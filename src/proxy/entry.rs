//! The way in to an upstream: leave of its circuit, and a place at once or after a wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exchange, client};
use crate::http::client::Source;
use crate::http::head::Body;
use crate::http::respond::Failure;
use crate::member::generation::Generation;
use crate::member::peer_state::PeerState;
use crate::member::state::State;
use crate::member::writes::WriteGuard;
use crate::shard::{Access, Arrival, CircuitState, MemberIndex, Operation, Plan};
use crate::upstream::{Load, Route, Upstream};

/// The largest body that fits into any receive window together with its head.
const SMALL_BODY: u64 = 16 * 1024;

/// How often a request in the queue looks whether its upstream has gone down.
const DOWN_CHECK: Duration = Duration::from_millis(100);

/// Why there is no way in.
pub(crate) enum Shut {
    /// Nothing was sent, and it may go elsewhere or wait.
    For(Failure),
    /// It is over.
    Over(Failure),
}

/// Whom the plan calls, ready to be called.
///
/// # Errors
/// Why that is of no use; or that there is no place in time, or the client has left.
pub(crate) async fn enter(
    state: &State,
    source: &mut Source<'_>,
    ctx: &mut Exchange<'_>,
) -> Result<Arc<Route>, Shut> {
    let generation = ctx.generation.clone();
    let called = called(&generation, ctx.plan).ok_or(Shut::Over(Failure::Internal))?;
    let (member, peer_state, upstream) = called;
    let load = load(ctx);
    let route = upstream.route(load).ok_or(Shut::For(Failure::Unresolved))?;
    if let Some(write) = &ctx.write
        && *write.replica() != generation.replica_id_by(&route)
    {
        // Its name has another address since the write was admitted.
        return Err(Shut::For(Failure::Reloading));
    }
    if ctx.permit.is_none() {
        look_for_room(state, ctx)?;
        wait_for_place(state, source, ctx, peer_state, member).await?;
    }
    if ctx.permit.is_none() {
        let is_cut = ctx.write.as_ref().is_some_and(WriteGuard::is_cut);
        return Err(Shut::For(if is_cut {
            Failure::Handover
        } else {
            closed_to_us(&generation, ctx, member)
        }));
    }
    // Only now: a trial of an open circuit must not stand in the queue. Nor must it take as long as
    // a large upload; every push begins with small requests.
    let may_try = load != Load::Large || peer_state.breaker.state() == CircuitState::Closed;
    if ctx.pass.is_none() && may_try {
        ctx.pass = peer_state.breaker.enter();
    }
    if ctx.pass.is_none() {
        ctx.permit = None;
        return Err(Shut::For(closed_to_us(&generation, ctx, member)));
    }
    if !ctx.reads {
        // Its answer must reach the client, so that it is now or never.
        begin_transfer(state, ctx).map_err(Shut::Over)?;
    }
    Ok(route)
}

/// Counts the body as on its way to the client, or from it.
///
/// # Errors
/// When the client has its share.
pub(crate) fn begin_transfer(state: &State, ctx: &mut Exchange<'_>) -> Result<(), Failure> {
    if ctx.transfer.is_some() {
        return Ok(());
    }
    let share = match ctx.arrival {
        Arrival::Client => {
            let begun = state.transfers.begin(client::whose(ctx));
            Some(begun.ok_or(Failure::TransfersFull)?)
        }
        // A member is many clients, and has seen to their shares.
        Arrival::Peer => None,
    };
    ctx.transfer = Some((state.metrics.transfer_begins(ctx.arrival), share));
    Ok(())
}

/// Asks for nothing that could not be passed on.
fn look_for_room(state: &State, ctx: &Exchange<'_>) -> Result<(), Shut> {
    let transfers = &state.transfers;
    if ctx.transfer.is_some()
        || ctx.arrival == Arrival::Peer
        || transfers.is_roomy()
        || transfers.has_room(client::whose(ctx))
    {
        return Ok(());
    }
    Err(Shut::Over(Failure::TransfersFull))
}

/// The member whose peer_state counts for the plan, with that and the way to it.
pub(crate) fn called(
    generation: &Generation,
    plan: Option<Plan>,
) -> Option<(MemberIndex, &Arc<PeerState>, &Arc<Upstream>)> {
    let (member, upstream) = match plan? {
        Plan::Forward(member) | Plan::PeerFallback { peer: member } => {
            (member, generation.upstreams.member(member))
        }
        Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. } => (
            generation.view.members().local(),
            generation.upstreams.replica(),
        ),
        Plan::Reject(_) => return None,
    };
    Some((member, generation.peer_state(member), upstream))
}

/// What is said of a member, or the local replica, that is not to be called.
fn closed_to_us(generation: &Generation, ctx: &Exchange<'_>, member: MemberIndex) -> Failure {
    let members = generation.view.members();
    match ctx.plan {
        Some(Plan::Forward(owner)) if ctx.owner == Some(owner) => Failure::OwnerDown {
            owner: members.get(member).id.clone(),
        },
        _ => Failure::ReplicaDown,
    }
}

fn load(ctx: &Exchange<'_>) -> Load {
    match ctx.request.body() {
        // A layer is large: it has a connection of its own.
        Body::Length(0) if ctx.reads && ctx.operation != Operation::BlobGet => Load::Brief,
        Body::Length(length) if length <= SMALL_BODY => Load::Small,
        Body::Length(_) | Body::Chunked => Load::Large,
    }
}

/// Takes a place, or leaves without one when the upstream goes down meanwhile, or the write is cut.
async fn wait_for_place(
    state: &State,
    source: &mut Source<'_>,
    ctx: &mut Exchange<'_>,
    peer_state: &PeerState,
    member: MemberIndex,
) -> Result<(), Shut> {
    let access = if ctx.reads {
        Access::Read
    } else {
        Access::Write
    };
    let places = &peer_state.places;
    let local = member == ctx.generation.view.members().local();
    let permit = match places.try_enter(access) {
        Some(permit) => permit,
        None => {
            let began = Instant::now();
            let waiting = if local {
                Some(state.metrics.queued(access))
            } else {
                ctx.generation.metrics.peer_queued(member)
            };
            let write = ctx.write.as_ref();
            let waited = tokio::select! {
                biased;
                // Before all else: with a place it would be sent.
                () = is_cut(write) => None,
                waited = Box::pin(places.wait(access)) => Some(waited),
                failure = Box::pin(client::leaves(state, source)) => Some(Err(failure)),
                () = goes_down(peer_state) => None,
            };
            drop(waiting);
            ctx.times.queued(began.elapsed());
            let Some(waited) = waited else {
                return Ok(());
            };
            waited.map_err(Shut::Over)?
        }
    };
    let held = if local {
        Some(state.metrics.replica_works(access))
    } else {
        ctx.generation.metrics.peer_works(member)
    };
    ctx.permit = Some((permit, held));
    Ok(())
}

/// Returns when a write must not go to the replica any more. It may go to the next owner's.
pub(super) async fn is_cut(write: Option<&WriteGuard>) {
    match write {
        Some(write) => write.cut().await,
        None => std::future::pending().await,
    }
}

/// Returns when there is nothing to wait for any more.
async fn goes_down(peer_state: &PeerState) {
    while peer_state.health().is_usable() {
        tokio::time::sleep(DOWN_CHECK).await;
    }
}
