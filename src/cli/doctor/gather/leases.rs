//! What the store of leases has: the view, and the lease of each of its members. Read by this process itself, with
//! the credentials that it finds.

use tokio::task::JoinSet;

use crate::cli::doctor::facts::Stored;
use crate::cli::doctor::finding::NotChecked;
use crate::config::Coordination;
use crate::run::carried_out;
use crate::shard::leases::record::{Lease, ViewRecord};
use crate::shard::leases::{Answer, Call};
use crate::store;

/// Nothing is written. None if the store does not tell the view, which may be for want of a right that the sidecar has.
pub(super) async fn read(
    coordination: &Coordination,
    not_checked: &mut Vec<NotChecked>,
) -> Option<Stored> {
    match stored(coordination).await {
        Ok(stored) => Some(stored),
        Err(why) => {
            not_checked.push(NotChecked {
                what: format!("the leases in {}", coordination.store),
                why: format!("{why} (run it as the sidecar does, with its environment)"),
            });
            None
        }
    }
}

async fn stored(coordination: &Coordination) -> Result<Stored, String> {
    let store = store::open(&coordination.store).map_err(|error| error.to_string())?;
    let (answer, told) = carried_out(store.clone(), Call::ReadView).await;
    let view: ViewRecord = match (answer, told) {
        (Answer::View(Some((view, _))), _) => view,
        (Answer::View(None), _) => return Err("there is no view".to_owned()),
        (_, told) => {
            return Err(told
                .err()
                .map_or_else(String::new, |error| error.to_string()));
        }
    };
    let mut calls = JoinSet::new();
    for (at, seat) in view.now.members.iter().enumerate() {
        let (store, call) = (store.clone(), Call::ReadLease(seat.id.clone()));
        calls.spawn(async move { (at, carried_out(store, call).await) });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    let lease = |(_, (answer, told)): (usize, (Answer, Result<(), store::Trouble>))| -> Result<Option<Lease>, String> {
        match (answer, told) {
            (Answer::Lease(found), _) => Ok(found.map(|(lease, _)| lease)),
            (_, told) => Err(told.err().map_or_else(String::new, |error| error.to_string())),
        }
    };
    Ok(Stored {
        leases: answers.into_iter().map(lease).collect(),
        view,
    })
}
