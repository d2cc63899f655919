//! What this member answers a peer that asks for its state.

use super::wire::{self, MemberState};
use crate::member::state::{Phase, State};
use crate::shard::Fingerprint;
use crate::shard::ownership::{Asker, Event, ProcessId, ReplicaId};

/// Our state, for one whose question has these fields; asks back if it has changed.
pub(crate) fn state_for<'f>(
    state: &State,
    sent: impl Fn(&'static str) -> Option<&'f str>,
) -> MemberState {
    let asker = Asker {
        member: sent(wire::MEMBER).and_then(|id| id.parse().ok()),
        process: ProcessId::new(sent(wire::START).unwrap_or_default()),
        view: sent(wire::VIEW).and_then(|view| view.parse().ok()),
        knows: sent(wire::KNOWS).map_or_else(Vec::new, |known| {
            known
                .split(',')
                .filter_map(|view| view.parse().ok())
                .collect()
        }),
        wants_witness: sent(wire::WITNESS).is_some(),
    };
    note_sender(state, sent(wire::MEMBER), asker.view.as_ref());
    note_replica(state, &asker, sent(wire::REPLICA));
    let phase = state.phase();
    let (generation, mut report) = {
        // One lock for both, or the report could be of another generation.
        let rules = state.writes.rules();
        (state.generation(), rules.report(&asker, state.writes.now()))
    };
    let lease = state.writes.leases().map(|leases| {
        report.view.insert_str(0, wire::LEASED);
        if sent(wire::CHANGED).is_some() {
            leases.poke();
        }
        if let Some(id) = asker
            .member
            .as_ref()
            .filter(|id| generation.party(id.as_str()).is_none())
        {
            leases.note_guest(id);
        }
        (leases.lasts(), leases.tenure())
    });
    if let Some(party) = asker.member.and_then(|id| generation.party(id.as_str())) {
        let peer = generation.peer_state_of(party);
        if sent(wire::CHANGED).is_some() {
            peer.breaker.retry_soon();
            peer.wake();
        }
        if phase >= Phase::Closing {
            peer.set_told_closing();
        }
    }
    let members = generation.view.members();
    MemberState {
        member: members.get(members.local()).id.to_string(),
        replica_up: generation.replica().verdict().is_usable(),
        draining: state.is_draining(),
        closing: phase >= Phase::Closing,
        lease: lease.as_ref().map(|(lasts, _)| *lasts),
        tenure: lease.and_then(|(_, tenure)| tenure),
        invites: true,
        report,
    }
}

/// A request or a question of a member is a sign of life, and may come with another view than the
/// one that it told.
pub(crate) fn note_sender(state: &State, member: Option<&str>, view: Option<&Fingerprint>) {
    let generation = state.generation();
    let Some(id) = member else {
        return;
    };
    let listed = generation.party(id);
    // One that nobody asks may be known to witnesses.
    let mut is_news = listed.is_none();
    for party in listed.into_iter().chain(generation.former(id)) {
        let peer = generation.peer_state_of(party);
        if peer.note_request(state.writes.now(), view) {
            is_news = true;
            if let Some(view) = view {
                peer.set_view(view);
            }
        }
    }
    if let (true, Some(leases)) = (is_news, state.writes.leases()) {
        leases.poke();
    }
    if is_news && let Ok(member) = id.parse() {
        state.step(Event::Asked {
            member,
            view: view.copied(),
            replica: None,
        });
    }
}

/// A question comes from a process with another replica than its member told.
fn note_replica(state: &State, asker: &Asker, replica: Option<&str>) {
    let (Some(member), Some(replica)) = (&asker.member, replica.map(ReplicaId::new)) else {
        return;
    };
    if !state.writes.rules().knows_replica(member, &replica) {
        state.step(Event::Asked {
            member: member.clone(),
            view: asker.view,
            replica: Some(replica),
        });
    }
}
