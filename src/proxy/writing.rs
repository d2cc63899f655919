//! Whether a write may be carried out here: the one place where a member becomes a writer.

use std::sync::Arc;

use pingora::proxy::Session;

use super::{Exchange, intake};
use crate::http::respond::Failure;
use crate::member::state::State;
use crate::peers::agreement;
use crate::shard::{Plan, Repository};

/// Epochs that may end under one request before it is turned away.
const GENERATIONS: usize = 3;

/// Admits the planned request if it is a write to a repository of ours; others need no leave. If
/// the generation ends meanwhile, the request begins anew under the next.
///
/// # Errors
/// What is to be answered instead.
pub(crate) async fn admit(
    state: &State,
    session: &Session,
    ctx: &mut Exchange,
) -> Result<(), Failure> {
    for _ in 0..GENERATIONS {
        match begin(state, ctx).await {
            Err(Failure::Reloading) => {
                let next = state.next_generation();
                if Arc::ptr_eq(&next, &ctx.generation) {
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
    let generation = ctx.generation.clone();
    if !generation.is_settled() {
        generation.settle().await;
    }
    // Counted in before anybody is asked: who changes its view from now on hears of this write.
    let write = generation.begin_write()?;
    if state.has_other_replica_writing(&generation) {
        return Err(Failure::Reloading);
    }
    let doubts = generation.doubts(&repository)?;
    if !agreement::is_ours(state, &generation, &repository, &doubts).await {
        return Err(Failure::ViewsDiffer);
    }
    ctx.write = Some(write);
    Ok(())
}
