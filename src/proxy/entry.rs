//! The way into the local replica: a place at once, or a wait for one.

use std::time::Instant;

use pingora::proxy::Session;

use super::{Exchange, give_up};
use crate::respond::Failure;
use crate::shard::Access;
use crate::state::State;

/// Waits for a place at the local replica, which the request keeps to its end.
///
/// # Errors
/// When there is none in time, or when the client has left.
pub async fn enter_replica(
    state: &State,
    session: &mut Session,
    ctx: &mut Exchange,
) -> pingora::Result<()> {
    if ctx.permit.is_some() {
        return Ok(());
    }
    let (metrics, admission) = (&state.metrics, &state.admission);
    let access = if ctx.reads {
        Access::Read
    } else {
        Access::Write
    };
    let permit = match admission.try_enter(access) {
        Some(permit) => permit,
        None => {
            let began = Instant::now();
            let waiting = metrics.queued();
            let waited = tokio::select! {
                biased;
                waited = admission.wait(access) => waited,
                () = client_leaves(session) => Err(Failure::ClientGone),
            };
            drop(waiting);
            metrics.queue_waited(began.elapsed());
            waited.map_err(|failure| give_up(ctx, failure))?
        }
    };
    ctx.permit = Some((permit, metrics.replica_works()));
    Ok(())
}

/// Returns when nobody waits for the answer any more. Seen only where no body is on its way: to
/// look behind a body, it would have to be read.
async fn client_leaves(session: &mut Session) {
    let gone = session.is_body_empty() && session.read_body_or_idle(true).await.is_err();
    if !gone {
        std::future::pending().await
    }
}
