//! Requests that wait for their owner instead of being refused: many clients do not send a 5xx
//! again, and a failed push is a failed build.
//!
//! Only the head is held. The body stays in the client's socket, no `100 Continue` is sent, and
//! nobody has served anything of the request, so it can be planned anew as often as something
//! changes that it waits for. What was turned away by a peer, or kept back here, after its body had begun to come is
//! held with what has come, which is little. A request that was forwarded waits at the owner for what is left of
//! its time.
//!
//! Thousands may wait. So they are not planned all at once, nor refused all at once, and the more
//! wait, the less often each looks by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;

use super::{Exchange, client};
use crate::http::client::Source;
use crate::http::respond::Failure;
use crate::member::generation::Generation;
use crate::member::state::{HeldPlace, State};
use crate::observe::metrics::{Held, HoldEnd};
use crate::peers::{jittered, wire};
use crate::shard::ownership::{Moment, Snapshot, Wait};
use crate::shard::{Arrival, MemberIndex};

/// How often a held request looks by itself whether it may go, and whether its client is there: a
/// change may come just before it waits, and what a clock ends nobody tells.
const LOOK: Duration = Duration::from_millis(250);
/// So much longer for each request that waits, up to the longest.
const LOOK_EACH: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(1500);
/// How much later than its time a request is refused at most, where many are.
const LATEST: Duration = Duration::from_secs(4);
/// Generations that may end under one request before it is refused.
const SUPERSEDED: u8 = 16;

/// Why a request does not go on.
#[derive(Debug)]
pub(crate) enum Denied {
    /// It may, when this has changed. What is answered if that takes too long.
    Wait(Failure, Awaited),
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

/// What has to change before it is worth to plan a request anew.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// Tells that it may have changed.
    news: watch::Receiver<()>,
    denied_by: DeniedBy,
}

#[derive(Debug)]
enum DeniedBy {
    /// Its owner, which can be sent nothing; this member, if its replica cannot.
    Owner(MemberIndex),
    /// The rules of who may write as they stand here, until the moment when they may refuse it.
    Rules(Arc<Snapshot>, Option<Moment>),
    /// What nobody tells of every time: with each look it is tried again.
    Something,
}

impl Awaited {
    /// This member cannot be sent the request.
    pub(crate) fn member(ctx: &Exchange<'_>, member: MemberIndex) -> Self {
        let called = ctx.owner.unwrap_or(member);
        // A read may go to others too.
        let owner_alone = called == member && !ctx.reads;
        Self {
            news: ctx.generation.peer_state(called).changes(),
            denied_by: if owner_alone {
                DeniedBy::Owner(member)
            } else {
                DeniedBy::Something
            },
        }
    }

    /// A write waits for this, by these rules.
    pub(crate) fn rules(state: &State, wait: &Wait, snapshot: Arc<Snapshot>) -> Self {
        let denied_by = match wait {
            Wait::Starting | Wait::Asking | Wait::Others(_) => {
                let end = snapshot.next_refusal(state.writes.now());
                DeniedBy::Rules(snapshot, end)
            }
            // They end by a clock, or with a write.
            Wait::Paused | Wait::OwnReplica => DeniedBy::Something,
        };
        Self {
            news: state.changes(),
            denied_by,
        }
    }

    /// A write waits for what leases say next: some of it nobody tells.
    pub(crate) fn lease(state: &State) -> Self {
        Self {
            news: state.changes(),
            denied_by: DeniedBy::Something,
        }
    }

    /// Whether it would be denied again. To plan it takes long in a dispute of many views, so this
    /// does not.
    fn is_missing(&self, state: &State, generation: &Arc<Generation>) -> bool {
        let missing = match &self.denied_by {
            DeniedBy::Owner(member) => !generation.health_of(*member).is_usable(),
            DeniedBy::Rules(snapshot, end) => {
                Arc::ptr_eq(&state.writes.snapshot(), snapshot)
                    && end.is_none_or(|end| state.writes.now() <= end)
            }
            DeniedBy::Something => false,
        };
        missing && Arc::ptr_eq(&state.generation(), generation)
    }
}

/// Leave to plan a held request: one at a time has it.
pub(crate) type Turn<'a> = Option<SemaphorePermit<'a>>;

/// One request's waiting, from its first moment on.
pub(crate) struct Holding {
    began: Instant,
    /// What it had waited for by then at those whom it was sent to.
    tried: Duration,
    until: Instant,
    place: (HeldPlace, Held),
    end: HoldEnd,
}

/// The waiting is over, for this reason.
pub(crate) fn fails(state: &State, ctx: &mut Exchange<'_>, failure: &Failure) {
    if let (Some(holding), true) = (&mut ctx.holding, failure.is_of_a_lost_client()) {
        holding.end = HoldEnd::ClientGone;
    }
    end(state, ctx);
}

/// The waiting is over: the request goes, or is answered.
pub(crate) fn end(state: &State, ctx: &mut Exchange<'_>) {
    let Some(holding) = ctx.holding.take() else {
        return;
    };
    let Holding {
        began,
        end,
        place,
        tried,
        ..
    } = holding;
    let time = began.elapsed();
    // Before its place is free: who sees that shall see how it went.
    state.metrics.hold_ends(end, time);
    drop(place);
    ctx.times.held(time, tried);
}

/// Waits until it is worth to plan the request anew, which is to be done at once.
///
/// # Errors
/// What is answered: the failure that it waits to be over, or that the client has left.
pub(crate) async fn wait<'a>(
    state: &'a Arc<State>,
    source: &mut Source<'_>,
    ctx: &mut Exchange<'_>,
    denied: Denied,
) -> Result<Turn<'a>, Failure> {
    let (failure, awaited) = match denied {
        Denied::Now(failure) => {
            if ctx.holding.is_some() {
                refusal(state).await;
            }
            return Err(failure);
        }
        Denied::Superseded => {
            ctx.superseded += 1;
            return if ctx.superseded < SUPERSEDED {
                Ok(None)
            } else {
                Err(Failure::Reloading)
            };
        }
        Denied::Wait(failure, awaited) => (failure, awaited),
    };
    if ctx.holding.is_none() {
        ctx.holding = begin(state, ctx);
    }
    let Some(holding) = &mut ctx.holding else {
        return Err(failure);
    };
    let until = holding.until;
    tokio::select! {
        biased;
        () = tokio::time::sleep_until(until) => {
            holding.end = HoldEnd::TimedOut;
            refusal(state).await;
            Err(failure)
        }
        failure = client::leaves(state, source) => {
            holding.end = HoldEnd::ClientGone;
            Err(failure)
        }
        turn = change(state, &ctx.generation, awaited) => {
            state.metrics.held_planned();
            Ok(turn)
        }
    }
}

/// Waits for a change that may let the request go, and for its turn then.
async fn change<'a>(
    state: &'a State,
    generation: &Arc<Generation>,
    mut awaited: Awaited,
) -> Turn<'a> {
    loop {
        tokio::select! {
            _ = awaited.news.changed() => {}
            () = look(state) => {}
        }
        if !awaited.is_missing(state, generation) {
            // Closed never.
            return state.turns.acquire().await.ok();
        }
    }
}

/// Waits until a request that has waited in vain is to be refused.
async fn refusal(state: &State) {
    let latest = Instant::now() + LATEST;
    let moment = state.refusals.next(latest).unwrap_or(latest);
    tokio::time::sleep_until(moment).await;
}

/// Waits until a request that waits is to look by itself.
pub(crate) async fn look(state: &State) {
    let held = u32::try_from(state.held()).unwrap_or(u32::MAX);
    let pause = LOOK.saturating_add(LOOK_EACH.saturating_mul(held));
    tokio::time::sleep(jittered(pause.min(LONGEST_LOOK))).await;
}

/// How much of its time a request that is forwarded may still wait at the owner.
pub(crate) fn time_left(ctx: &Exchange<'_>) -> Duration {
    ctx.held_until.map_or(ctx.generation.hold.time, |until| {
        until.saturating_duration_since(Instant::now())
    })
}

/// None if it may not wait at all.
fn begin(state: &Arc<State>, ctx: &mut Exchange<'_>) -> Option<Holding> {
    ctx.repository?;
    let hold = &ctx.generation.hold;
    let told = ctx.request.internal(wire::HOLD);
    let told = told.and_then(|told| str::from_utf8(told).ok()?.parse().ok());
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
        tried: ctx.times.tried(),
        until,
        place: (place, state.metrics.request_held()),
        end: HoldEnd::Released,
    })
}
