//! Whether a write may be carried out here: the one place where a member becomes a writer.

use std::sync::Arc;

use pingora::proxy::Session;

use super::{Exchange, intake};
use crate::agreement;
use crate::respond::Failure;
use crate::shard::{Plan, Repository};
use crate::state::State;

/// Epochs that may end under one request before it is turned away.
const EPOCHS: usize = 3;

/// Admits the planned request if it is a write to a repository of ours; others need no leave. If
/// the epoch ends meanwhile, the request begins anew under the next.
///
/// # Errors
/// What is to be answered instead.
pub async fn admit(state: &State, session: &Session, ctx: &mut Exchange) -> Result<(), Failure> {
    for _ in 0..EPOCHS {
        match begin(state, ctx).await {
            Err(Failure::Reloading) => {
                let next = state.next_epoch();
                if Arc::ptr_eq(&next, &ctx.epoch) {
                    break;
                }
                ctx.begin_anew(next);
                intake::take_in(state, session, ctx)?;
            }
            begun => return begun,
        }
    }
    Err(Failure::Reloading)
}

async fn begin(state: &State, ctx: &mut Exchange) -> Result<(), Failure> {
    let (Some(Plan::Local), false, Some(name)) = (ctx.plan, ctx.reads, ctx.repository.clone())
    else {
        return Ok(());
    };
    let Ok(repository) = Repository::parse(&name) else {
        return Err(Failure::Internal);
    };
    let epoch = ctx.epoch.clone();
    if !epoch.is_settled() {
        epoch.settle().await;
    }
    // Counted in before anybody is asked: who changes its view from now on hears of this write.
    let write = epoch.begin_write()?;
    if state.has_other_replica_writing(&epoch) {
        return Err(Failure::Reloading);
    }
    let doubts = epoch.doubts(&repository)?;
    if !agreement::is_ours(state, &epoch, &repository, &doubts).await {
        return Err(Failure::ViewsDiffer);
    }
    ctx.write = Some(write);
    Ok(())
}
