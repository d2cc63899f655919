//! Whether a write may be carried out here: the one place where a member becomes a writer.

use super::Exchange;
use super::hold::Denied;
use crate::http::respond::Failure;
use crate::member::state::State;
use crate::member::writes::Admission;
use crate::shard::ownership::{Verdict, Wait};
use crate::shard::{Plan, Repository};

/// Admits the planned request if it is a write to a repository of ours, or one that would be
/// forwarded for nothing. Others need no leave.
///
/// # Errors
/// What is to be answered instead, unless waiting helps.
pub(crate) fn admit(state: &State, ctx: &mut Exchange) -> Result<(), Denied> {
    let (false, Some(name)) = (ctx.reads, ctx.repository.clone()) else {
        return Ok(());
    };
    let Ok(repository) = Repository::parse(&name) else {
        return Err(Denied::Now(Failure::Internal));
    };
    match ctx.plan {
        Some(Plan::Local) => {
            let generation = &ctx.generation;
            let aftermath = generation.aftermath();
            let writes = &state.writes;
            match writes.admit(generation.number, &name, &repository, aftermath) {
                Admission::Admitted(write) => {
                    ctx.write = Some(write);
                    Ok(())
                }
                Admission::Superseded => Err(Denied::Superseded),
                Admission::Hold(wait) => Err(Denied::Wait(failure_of(&wait))),
                Admission::Refuse(wait) => Err(Denied::Now(failure_of(&wait))),
            }
        }
        // It would come back, and its body would be gone by then.
        Some(Plan::Forward(_)) => {
            let snapshot = state.writes.snapshot();
            match snapshot.dispute(&repository, state.writes.now()) {
                None | Some(Verdict::Admit) => Ok(()),
                Some(Verdict::Hold(wait)) => Err(Denied::Wait(failure_of(&wait))),
                Some(Verdict::Refuse(wait)) => Err(Denied::Now(failure_of(&wait))),
            }
        }
        _ => Ok(()),
    }
}

fn failure_of(wait: &Wait) -> Failure {
    match wait {
        Wait::Starting | Wait::Asking | Wait::Paused => Failure::Starting,
        Wait::OwnReplica => Failure::Reloading,
        Wait::Others(_) => Failure::ViewsDiffer,
    }
}
