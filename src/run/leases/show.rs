//! What people are told of the leases: where they stand, and what has happened.

use std::time::SystemTime;

use super::Driver;
use crate::member::leases::{Standing, Wish};
use crate::observe::recent::ChangeKind;
use crate::shard::leases::{Departure, Note, Phase};

/// So many views are remembered.
const HISTORY: usize = 16;

impl Driver {
    /// The view that was read last is in force.
    pub(super) fn keep_change(&mut self) {
        let change = self.coordinator.change_since(self.known.as_ref());
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history
            .extend(change.map(|change| (SystemTime::now(), change)));
        self.known = self.coordinator.view().cloned();
    }

    pub(super) fn show(&self) {
        let snapshot = self.leases.snapshot();
        let unsettled = snapshot.as_ref().map_or(0, |snapshot| snapshot.unsettled());
        let awaited = snapshot.map_or_else(Vec::new, |snapshot| snapshot.awaited());
        let chain = self.coordinator.view().into_iter();
        let chain = chain.flat_map(|view| &view.chain);
        self.leases.stand(Standing {
            is_member: self.coordinator.is_member(),
            epoch: self.epoch,
            awaited,
            unsettled,
            fault: match self.coordinator.phase() {
                Phase::Frozen(fault) => Some(fault),
                Phase::Starting | Phase::Serving | Phase::Going(..) | Phase::Gone(_) => None,
            },
            store_trouble: self.trouble.clone(),
            tenure: self.coordinator.tenure(),
            wish: match self.coordinator.phase() {
                Phase::Going(Departure::Leave, _) => Some(Wish::Leave),
                Phase::Going(Departure::Park, _) => Some(Wish::Restart),
                Phase::Starting | Phase::Serving | Phase::Gone(_) | Phase::Frozen(_) => {
                    self.coordinator.wishes_in().then_some(Wish::Join)
                }
            },
            readings: self.coordinator.readings(),
            chain: chain.map(|one| (one.epoch.0, one.members.len())).collect(),
            policy_waits_for: self.coordinator.policy_waits_for().cloned(),
            history: self.history.clone(),
        });
    }

    pub(super) fn log(&self, note: &Note) {
        let text = match note {
            Note::Leased => "this member holds a lease".to_owned(),
            Note::LeaseOver => {
                "the lease of this member is over: writes wait until it is renewed".to_owned()
            }
            Note::Fenced => {
                "others have taken the lease of this member, and what it owned: it begins anew"
                    .to_owned()
            }
            Note::FencedOther(member) => {
                format!(
                    "{member} did not renew its lease, which was taken from it: what it owned goes to others"
                )
            }
            Note::ClocksApart(apart) => format!(
                "the clocks of this machine have gone apart by {} ms: the lease is worth nothing until it is renewed",
                apart.as_millis()
            ),
            Note::Differs(member) => {
                format!(
                    "{member} does not work by the leases of this store: writes wait until it does"
                )
            }
            Note::Unreadable(member) => {
                format!("the lease of {member} cannot be read: was it written by a later version?")
            }
            Note::WaitsForPredecessor => {
                "an earlier process of this member may be alive: it is waited for".to_owned()
            }
            Note::Frozen(fault) => format!("this member writes nothing any more: {fault}"),
        };
        match note {
            Note::Leased | Note::WaitsForPredecessor => tracing::info!("{text}"),
            Note::Frozen(_) => tracing::error!("{text}"),
            Note::LeaseOver
            | Note::Fenced
            | Note::FencedOther(_)
            | Note::ClocksApart(_)
            | Note::Differs(_)
            | Note::Unreadable(_) => tracing::warn!("{text}"),
        }
        self.state.metrics.recent.changed(ChangeKind::View, text);
    }
}
