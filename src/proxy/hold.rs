//! Requests that wait for their owner instead of being refused: many clients do not send a 5xx
//! again, and a failed push is a failed build.
//!
//! Only the head is held. The body stays in the client's socket, no `100 Continue` is sent, and
//! nothing of the request has gone anywhere, so it can be planned anew as often as something
//! changes. A request that was forwarded waits at the owner for what is left of its time.

use std::sync::Arc;
use std::time::Duration;

use pingora::proxy::Session;
use tokio::time::Instant;

use super::{Exchange, client};
use crate::http::respond::Failure;
use crate::member::state::{HeldPlace, State};
use crate::observe::metrics::{Held, HoldEnd};
use crate::peers::wire;
use crate::shard::Arrival;

/// How often a held request looks by itself whether it may go: a change may come just before it
/// waits, and what a clock ends nobody tells.
const LOOK: Duration = Duration::from_millis(250);
/// Generations that may end under one request before it is refused.
const SUPERSEDED: u8 = 16;

/// Why a request does not go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It may, when something has changed. What is answered if that takes too long.
    Wait(Failure),
    /// Waiting is of no use.
    Now(Failure),
    /// Its generation is over, and the next decides.
    Superseded,
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Self {
        Self::Now(failure)
    }
}

/// One request's waiting, from its first moment on.
pub(crate) struct Holding {
    began: Instant,
    until: Instant,
    place: (HeldPlace, Held),
    end: HoldEnd,
}

/// The waiting is over: the request goes, or is answered.
pub(crate) fn end(state: &State, ctx: &mut Exchange) {
    let Some(holding) = ctx.holding.take() else {
        return;
    };
    let Holding {
        began, end, place, ..
    } = holding;
    drop(place);
    let time = began.elapsed();
    state.metrics.hold_ends(end, time);
    ctx.held += time;
}

/// Waits until it is worth to plan the request anew.
///
/// # Errors
/// What is answered: the failure that it waits to be over, or that the client has left.
pub(crate) async fn wait(
    state: &Arc<State>,
    session: &mut Session,
    ctx: &mut Exchange,
    denied: Denied,
) -> Result<(), Failure> {
    let failure = match denied {
        Denied::Now(failure) => return Err(failure),
        Denied::Superseded => {
            ctx.superseded += 1;
            return if ctx.superseded < SUPERSEDED {
                Ok(())
            } else {
                Err(Failure::Reloading)
            };
        }
        Denied::Wait(failure) => failure,
    };
    let mut changes = state.changes();
    if ctx.holding.is_none() {
        ctx.holding = begin(state, session, ctx);
    }
    let Some(holding) = &mut ctx.holding else {
        return Err(failure);
    };
    let until = holding.until;
    tokio::select! {
        biased;
        () = tokio::time::sleep_until(until) => {
            holding.end = HoldEnd::TimedOut;
            Err(failure)
        }
        () = client::leaves(session) => {
            holding.end = HoldEnd::ClientGone;
            Err(Failure::ClientGone)
        }
        _ = changes.changed() => Ok(()),
        () = tokio::time::sleep(LOOK) => Ok(()),
    }
}

/// How much of its time a request that is forwarded may still wait at the owner.
pub(crate) fn time_left(ctx: &Exchange) -> Duration {
    ctx.held_until.map_or(ctx.generation.hold.time, |until| {
        until.saturating_duration_since(Instant::now())
    })
}

/// None if it may not wait at all.
fn begin(state: &Arc<State>, session: &Session, ctx: &mut Exchange) -> Option<Holding> {
    ctx.repository.as_ref()?;
    let hold = &ctx.generation.hold;
    let told = session.req_header().headers.get(wire::HOLD);
    let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
    let time = match ctx.arrival {
        Arrival::Client => hold.time,
        Arrival::Peer => hold.time.min(Duration::from_millis(told.unwrap_or(0))),
    };
    if time.is_zero() {
        return None;
    }
    let Some(place) = state.hold(hold.limit) else {
        state.metrics.hold_ends(HoldEnd::Full, Duration::ZERO);
        return None;
    };
    let began = Instant::now();
    // Its time goes on while it is tried in between.
    let until = *ctx.held_until.get_or_insert(began + time);
    Some(Holding {
        began,
        until,
        place: (place, state.metrics.request_held()),
        end: HoldEnd::Released,
    })
}
