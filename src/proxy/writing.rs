//! Whether a write may be carried out here: the one place where a member becomes a writer.

use std::sync::Arc;

use super::Exchange;
use super::hold::{Awaited, Denied};
use crate::http::respond::Failure;
use crate::member::state::State;
use crate::member::writes::Admission;
use crate::shard::leases::{self, Planned};
use crate::shard::ownership::{Snapshot, Verdict, Wait};
use crate::shard::{Arrival, Plan};

/// Admits the planned request if it is a write to a repository of ours, or one that would be
/// forwarded for nothing. Others need no leave.
///
/// # Errors
/// What is to be answered instead, unless waiting helps.
pub(crate) fn admit(state: &State, ctx: &mut Exchange<'_>) -> Result<(), Denied> {
    let (false, Some(repository)) = (ctx.reads, ctx.repository) else {
        return Ok(());
    };
    match ctx.plan {
        Some(Plan::Local) => {
            let generation = &ctx.generation;
            let aftermath = generation.aftermath();
            let view = &generation.view;
            let planned = ctx.owner.map(|owner| Planned { view, owner });
            let writes = &state.writes;
            match writes.admit(generation.number, &repository, planned, aftermath) {
                Admission::Admitted(write) => {
                    ctx.write = Some(write);
                    Ok(())
                }
                Admission::Superseded => Err(Denied::Superseded),
                Admission::Hold(wait, snapshot) => Err(held(state, &wait, snapshot)),
                Admission::HoldForLease(wait) => Err(held_for_lease(state, ctx.arrival, &wait)),
                Admission::Refuse(wait) => Err(Denied::Now(failure_of(&wait))),
            }
        }
        // It would come back, and its body would be gone by then. Views of a store differ for moments.
        Some(Plan::Forward(_)) if state.writes.leases().is_none() => {
            let snapshot = state.writes.snapshot();
            match snapshot.dispute(&repository, state.writes.now()) {
                None | Some(Verdict::Admit) => Ok(()),
                Some(Verdict::Hold(wait)) => Err(held(state, &wait, snapshot)),
                Some(Verdict::Refuse(wait)) => Err(Denied::Now(failure_of(&wait))),
            }
        }
        _ => Ok(()),
    }
}

fn held(state: &State, wait: &Wait, snapshot: Arc<Snapshot>) -> Denied {
    Denied::Wait(failure_of(wait), Awaited::rules(state, wait, snapshot))
}

fn held_for_lease(state: &State, arrival: Arrival, wait: &leases::Wait) -> Denied {
    let failure = match wait {
        leases::Wait::Starting | leases::Wait::Adopting => Failure::Starting,
        leases::Wait::LeaseOver | leases::Wait::Frozen => Failure::LeaseOver,
        leases::Wait::NotOurs | leases::Wait::Acknowledgement(_) => Failure::Handover,
        leases::Wait::OtherRules(_) => Failure::ViewsDiffer,
        leases::Wait::Going => Failure::Draining,
    };
    // The peer that has sent it hears first who owns it instead.
    let knows_better = matches!(
        wait,
        leases::Wait::LeaseOver | leases::Wait::Frozen | leases::Wait::Going
    );
    if arrival == Arrival::Peer && knows_better {
        return Denied::Now(failure);
    }
    Denied::Wait(failure, Awaited::lease(state))
}

fn failure_of(wait: &Wait) -> Failure {
    match wait {
        Wait::Starting | Wait::Asking | Wait::Paused => Failure::Starting,
        Wait::OwnReplica => Failure::Reloading,
        Wait::Others(_) => Failure::ViewsDiffer,
    }
}
