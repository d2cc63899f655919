//! Asking peers about one repository, where their views cannot be computed here: with another hash
//! key only they know whom they take for the owner.

use http::StatusCode;

use crate::member::generation::{Generation, PeerRef};
use crate::member::state::State;
use crate::peers::wire::{self, Owners};
use crate::shard::Repository;
use crate::upstream::{Load, question};

/// Whether all of these take this member for the owner, by every view of theirs. The write in
/// question must be counted in already: a party that changes its view after its answer asks us, and
/// is told of it.
pub(crate) async fn is_ours(
    state: &State,
    generation: &Generation,
    repository: &Repository<'_>,
    parties: &[PeerRef],
) -> bool {
    let members = generation.view.members();
    let ours = members.get(members.local()).id.to_string();
    for party in parties {
        let told = owners(state, generation, repository, *party).await;
        let agrees = told.is_some_and(|told| {
            let member = &generation.member_of(*party).id;
            let is_it = told.member == member.as_str() && !told.owners.is_empty();
            is_it && told.owners.iter().all(|owner| *owner == ours)
        });
        if !agrees {
            return false;
        }
    }
    true
}

async fn owners(
    state: &State,
    generation: &Generation,
    repository: &Repository<'_>,
    party: PeerRef,
) -> Option<Owners> {
    let target = generation.upstream_of(party).ready(Load::Small)?;
    let member = generation.member_of(party);
    let path = format!("{}{repository}", wire::OWNERS_PATH);
    let request = question(&path, &member.address.to_string()).ok()?;
    let answer = state.asker.get(&target, request, generation.patience).await;
    let (StatusCode::OK, body) = answer.ok()? else {
        return None;
    };
    serde_json::from_slice(&body).ok()
}
