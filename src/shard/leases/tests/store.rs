//! A store that keeps its conditions, and gives each put another tag.

use std::collections::BTreeMap;

use super::super::event::{Answer, Call, Condition, Tag};
use super::super::record::{Lease, LeaseState, ViewRecord};
use crate::shard::members::MemberId;

#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) view: Option<(ViewRecord, Tag)>,
    pub(super) leases: BTreeMap<MemberId, (Lease, Tag)>,
    puts: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
}

impl Store {
    /// Carries a call out.
    pub(super) fn carry_out(&mut self, call: &Call) -> Answer {
        match call {
            Call::ReadView => {
                self.reads += 1;
                Answer::View(self.view.clone())
            }
            Call::List => {
                self.reads += 1;
                Answer::Listed(self.leases.keys().cloned().collect())
            }
            Call::ReadLease(id) => {
                self.reads += 1;
                Answer::Lease(self.leases.get(id).cloned())
            }
            Call::PutView(condition, view) => {
                let found = self.view.as_ref().map(|(_, tag)| tag);
                if !holds(condition, found) {
                    return Answer::Conflict;
                }
                let tag = self.next_tag();
                self.view = Some((view.clone(), tag.clone()));
                Answer::Done(tag)
            }
            Call::PutLease(condition, lease) => {
                let found = self.leases.get(&lease.id).map(|(_, tag)| tag);
                if !holds(condition, found) {
                    return Answer::Conflict;
                }
                let tag = self.next_tag();
                self.leases
                    .insert(lease.id.clone(), (lease.clone(), tag.clone()));
                Answer::Done(tag)
            }
        }
    }

    /// Deletes the leases of those who have left and whom no view knows any more.
    pub(super) fn tidy(&mut self) {
        let view = self.view.iter().map(|(view, _)| view);
        let all = view.flat_map(|view| view.chain.iter().chain([&view.now]));
        let all: Vec<_> = all.flat_map(|arrangement| &arrangement.members).collect();
        self.leases.retain(|id, (lease, _)| {
            lease.state != LeaseState::Released || all.iter().any(|seat| seat.id == *id)
        });
    }

    fn next_tag(&mut self) -> Tag {
        self.writes += 1;
        self.puts += 1;
        Tag(format!("tag-{}", self.puts).into())
    }
}

fn holds(condition: &Condition, found: Option<&Tag>) -> bool {
    match condition {
        Condition::Absent => found.is_none(),
        Condition::Unchanged(tag) => found == Some(tag),
        Condition::Always => true,
    }
}
