//! Where a read goes whose first upstream did not answer.

use super::{Arrival, OwnerDown, Plan, Policy};
use crate::shard::health::Health;
use crate::shard::members::MemberIndex;
use crate::shard::view::View;

/// The plan for a second attempt, after the first upstream was not to be called, was not reached or
/// broke off before its answer. None if nobody else may serve the request.
///
/// For requests that read, and of which nothing was consumed: the caller has made sure. `owner` is
/// that of the request's repository, if it has one.
#[must_use]
pub fn second(
    first: Plan,
    arrival: Arrival,
    owner: Option<MemberIndex>,
    view: &View,
    policy: &Policy,
    health: impl Fn(MemberIndex) -> Health,
) -> Option<Plan> {
    let local_serves = health(view.members().local()).is_usable();
    let falls_back = policy.owner_down == OwnerDown::Fallback;
    match (first, owner) {
        (Plan::Forward(peer), Some(owner)) if peer == owner => {
            (falls_back && local_serves).then_some(Plan::Fallback { owner })
        }
        // A route without a repository: any replica will do.
        (Plan::Forward(_), _) => local_serves.then_some(Plan::Local),
        (Plan::Spread { owner }, _) => health(owner).is_usable().then_some(Plan::Forward(owner)),
        // A second hop would mean that the member lists differ.
        (Plan::Local, _) if arrival == Arrival::Peer => None,
        (Plan::Local, Some(_)) if !falls_back => None,
        (Plan::Local, Some(_)) => {
            let peer = super::best(super::peers_after_local(view), health)?;
            Some(Plan::PeerFallback { peer })
        }
        (Plan::Local, None) => {
            super::best(super::peers_after_local(view), health).map(Plan::Forward)
        }
        (Plan::Fallback { .. } | Plan::PeerFallback { .. } | Plan::Reject(_), _) => None,
    }
}
