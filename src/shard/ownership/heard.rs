//! What happens: another view or replica, and what others tell.

use std::sync::Arc;
use std::time::Duration;

use super::claim::{Claim, Extent, Moment, ProcessId, ReplicaId, Unknown};
use super::ledger::Ledger;
use super::omit::{Rule, omits};
use super::party::{Party, PartyAddress, PartyId, Told};
use super::report::{Report, Seen, TOLD_VIEWS, WITNESS_VIEWS, Witness};
use super::{Effect, Holds, NoAnswer, Note, Ownership, Reply, Rules, STRANGERS};
use crate::shard::members::{Member, MemberId};
use crate::shard::view::{Fingerprint, View};

impl PartyId {
    /// A member as a list has it.
    #[must_use]
    pub fn of(member: &Member) -> Self {
        Self {
            member: member.id.clone(),
            address: PartyAddress::from(&member.address),
        }
    }
}

impl Ownership {
    pub(super) fn take_view(
        &mut self,
        generation: u64,
        view: Arc<View>,
        replica: ReplicaId,
        rules: Rules,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let same = *view.fingerprint() == *self.view.fingerprint();
        let moved = *self.ledger.replica() != replica;
        let before = std::mem::replace(&mut self.view, view);
        (self.generation, self.rules) = (generation, rules);
        self.begin_ledger(replica, now);
        let earlier = self.views.own(&before);
        self.list_members();
        // A former member that never told has most likely the view that we shared.
        for party in self.parties.values_mut() {
            let unknown = !party.listed && party.asked && party.told.is_none();
            if unknown && !omits(Rule::AssumeSharedView) {
                let claim = Claim::of_somebody(Extent::View(earlier.clone()));
                party.told = Some(Told {
                    process: ProcessId::default(),
                    claims: vec![claim],
                    vouches: false,
                });
            }
        }
        if !same || moved && !omits(Rule::AskBeforeMoving) {
            self.begin_round(now);
        }
        self.changed = true;
        effects.push(Effect::TellAll);
    }

    pub(super) fn take_replica(
        &mut self,
        replica: ReplicaId,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if *self.ledger.replica() == replica {
            return;
        }
        self.begin_ledger(replica, now);
        // Whoever succeeds this process has to know with which replica it wrote: everybody is told by
        // a question before anything is written there.
        if !omits(Rule::AskBeforeMoving) {
            self.begin_round(now);
        }
        self.changed = true;
        effects.push(Effect::TellAll);
    }

    /// Admits no more writes at the old ledger, before anybody is asked or told.
    fn begin_ledger(&mut self, replica: ReplicaId, now: Moment) {
        let own = self.views.own(&self.view);
        let old = std::mem::replace(&mut self.ledger, Ledger::new(own, replica));
        if !omits(Rule::RetireLedger) {
            old.retire();
        }
        if old.is_writing(now) {
            self.past.push(old);
        }
    }

    pub(super) fn take_contradiction(&mut self, id: &PartyId, shown_at: Moment) {
        let party = self.parties.get_mut(id);
        if let Some(party) = party.filter(|_| !omits(Rule::DoubtLateAnswers)) {
            party.contradicts(shown_at);
        }
    }

    pub(super) fn take_reply(
        &mut self,
        id: &PartyId,
        round: u64,
        asked_at: Moment,
        reply: Reply,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.parties.contains_key(id) {
            return;
        }
        let any = |unknown| vec![Claim::of_somebody(Extent::Any(unknown))];
        let (process, claims, vouches) = match reply {
            Reply::WithoutUs => (None, any(Unknown::WithoutUs), false),
            Reply::Unreadable => (None, any(Unknown::Unreadable), false),
            Reply::Report(report) => {
                if let Some(witness) = &report.seen {
                    self.take_witness(witness, now, effects);
                }
                self.remember_ignorance(id, &report, now);
                let claims = self.claims_of(&report);
                (Some(ProcessId::new(report.start)), claims, report.vouches)
            }
        };
        let aftermath = self.rules.aftermath;
        let Some(party) = self.parties.get_mut(id) else {
            return;
        };
        if party.ended_in < round {
            party.ended_in = round;
            self.changed = true;
        }
        // Who does not say which process it is may be the one before.
        let before = party.told.as_ref().map(|told| told.process.clone());
        let process = process.or(before).unwrap_or_default();
        let known = party.told.clone();
        let told = Told {
            process,
            claims,
            vouches,
        };
        let taken = party.take(told, asked_at, now, aftermath);
        if party.untold.is_some() {
            effects.push(Effect::Ask(id.clone()));
        }
        if taken {
            self.changed = true;
            self.note_difference(id, known.map(|told| told.claims), effects);
        }
    }

    /// Before a process knows all, what somebody's earlier process was writing is known to nobody.
    fn remember_ignorance(&mut self, id: &PartyId, report: &Report, now: Moment) {
        let first = self
            .parties
            .get(id)
            .is_some_and(|party| party.told.is_none());
        if !self.complete && first && !omits(Rule::WaitForOthersStart) {
            let began = now.saturating_sub(Duration::from_millis(report.up_ms));
            let until = began.saturating_add(self.rules.aftermath);
            self.ignorant_until = self.ignorant_until.max(until);
        }
    }

    fn claims_of(&mut self, report: &Report) -> Vec<Claim> {
        let replica = ReplicaId::new(report.replica.clone());
        let described = report.description.as_ref();
        let in_force = self.views.told(&self.view, &report.view, described);
        let mut claims = vec![Claim {
            extent: in_force.map_or(Extent::Any(Unknown::NotDescribed), Extent::View),
            replica,
        }];
        for also in report.also.iter().take(TOLD_VIEWS) {
            let names = also.repositories.as_ref();
            let extent = match names {
                Some(names) => Extent::repositories(names),
                None => {
                    let told = Some(&also.description);
                    let view = self.views.told(&self.view, &also.fingerprint, told);
                    view.map_or(Extent::Any(Unknown::NotDescribed), Extent::View)
                }
            };
            let replica = ReplicaId::new(also.replica.clone());
            claims.push(Claim { extent, replica });
        }
        if report.also.len() > TOLD_VIEWS {
            claims.push(Claim::of_somebody(Extent::Any(Unknown::NotDescribed)));
        }
        claims
    }

    /// Takes what a witness has seen of others, and of processes of ours before this one.
    fn take_witness(&mut self, witness: &Witness, now: Moment, effects: &mut Vec<Effect>) {
        for (fingerprint, description) in witness.views.iter().take(WITNESS_VIEWS) {
            let _ = self.views.told(&self.view, fingerprint, Some(description));
        }
        let us = self
            .view
            .members()
            .get(self.view.members().local())
            .id
            .clone();
        let claims = witness.claims.iter();
        for seen in claims.filter(|_| !omits(Rule::BelieveWitness)) {
            let Ok(member) = seen.member.parse::<MemberId>() else {
                continue;
            };
            let process = ProcessId::new(seen.start.clone());
            let claim = self.claim_of(seen);
            let until = now.saturating_add(Duration::from_millis(seen.left_ms));
            if member == us {
                if process != self.process {
                    self.changed |= self.own_past.add(process, claim, until);
                }
                continue;
            }
            let address = PartyAddress::told(&seen.address);
            let id = PartyId { member, address };
            let party = self.parties.entry(id).or_insert_with(|| Party::new(false));
            let tells_itself = party.unanswered.is_none() && party.closed_to_us.is_none();
            let told = party.told.as_ref().filter(|_| tells_itself);
            if told.is_none_or(|told| told.process != process) {
                self.changed |= party.timed.add(process, claim, until);
            }
        }
        if witness.complete || omits(Rule::RequireCompleteWitness) {
            self.becomes_complete(effects);
            self.take_unheard(witness, now);
        }
    }

    /// Of whom a complete witness has heard nothing for so long.
    fn take_unheard(&mut self, witness: &Witness, now: Moment) {
        for unheard in &witness.unheard {
            let Ok(member) = unheard.member.parse() else {
                continue;
            };
            let address = PartyAddress::told(&unheard.address);
            let party = self.parties.get_mut(&PartyId { member, address });
            if let Some(party) = party.filter(|party| party.told.is_none()) {
                let since = now.saturating_sub(Duration::from_millis(unheard.for_ms));
                let known = party.unheard_since.unwrap_or(now);
                party.unheard_since = Some(known.min(since));
            }
        }
    }

    fn claim_of(&mut self, seen: &Seen) -> Claim {
        let extent = match (&seen.repositories, &seen.view) {
            (Some(names), _) => Extent::repositories(names),
            (None, Some(view)) => self
                .views
                .told(&self.view, view, None)
                .map_or(Extent::Any(Unknown::NotDescribed), Extent::View),
            (None, None) => Extent::Any(Unknown::NotDescribed),
        };
        Claim {
            extent,
            replica: ReplicaId::new(seen.replica.clone()),
        }
    }

    pub(super) fn take_silence(
        &mut self,
        id: &PartyId,
        round: u64,
        asked_at: Moment,
        last_request: Option<Moment>,
        why: NoAnswer,
        effects: &mut Vec<Effect>,
    ) {
        let complete = self.complete;
        let Some(party) = self.parties.get_mut(id) else {
            return;
        };
        let ended_in = party.ended_in;
        if let Some(untold) = &mut party.untold {
            self.changed |= !std::mem::replace(&mut untold.asked_in_vain, true);
        }
        let since = party.unanswered.map_or(asked_at, |silence| silence.since);
        let last_request = last_request.filter(|_| !omits(Rule::HearRequests));
        if last_request.is_some_and(|at| at >= since) {
            party.heard();
        }
        let (began, aftermath) = (self.round_began, self.rules.aftermath);
        let over = party.did_not_answer(asked_at, last_request, &why, began, aftermath);
        // Who does not know yet what is under way wants an answer.
        if over && (complete || why != NoAnswer::NotAsked) {
            party.ended_in = ended_in.max(round);
            self.changed |= party.ended_in > ended_in;
        }
        match why {
            NoAnswer::NotAsked if !omits(Rule::ForgiveOwnErrors) => return,
            NoAnswer::Closed(ref reason) => {
                party.heard();
                if party.closed_to_us.replace(reason.clone()).is_none() {
                    let known = party.told.is_some() || !party.timed.is_empty() || complete;
                    let holds = if known {
                        Holds::LastKnown
                    } else {
                        Holds::Everything
                    };
                    let member = id.member.clone();
                    effects.push(Effect::Note(Note::Closed {
                        member,
                        reason: reason.clone(),
                        holds,
                    }));
                }
            }
            NoAnswer::Replaced if party.listed => party.heard(),
            NoAnswer::Silent | NoAnswer::Refused | NoAnswer::Replaced | NoAnswer::NotAsked => {
                // Asked before an absence of ours: it may have answered to nobody.
                let speaks = last_request.is_some_and(|at| at >= asked_at);
                if asked_at >= self.began && !speaks {
                    party.was_silent(asked_at, why != NoAnswer::Silent);
                }
                party.closed_to_us = None;
            }
        }
        self.drop_if_gone(id, effects);
    }

    /// A former member that is gone counts no more. Only an unanswered question tells: with it comes
    /// whether the member has sent requests meanwhile.
    fn drop_if_gone(&mut self, id: &PartyId, effects: &mut Vec<Effect>) {
        let gone = |party: &Party| {
            let former = !party.listed && party.asked;
            former && party.is_gone(self.rules.aftermath)
        };
        if self.parties.get(id).is_some_and(gone) {
            self.parties.remove(id);
            self.changed = true;
            effects.push(Effect::Note(Note::Gone(id.member.clone())));
        }
    }

    pub(super) fn take_request(
        &mut self,
        member: &MemberId,
        view: Option<Fingerprint>,
        replica: Option<&ReplicaId>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let ours = *self.view.fingerprint();
        let mut asked = false;
        for (id, party) in &mut self.parties {
            if id.member != *member || !party.asked {
                continue;
            }
            asked = true;
            party.heard();
            let another = |replica: &&ReplicaId| {
                let told = party.told_replica();
                replica.is_known() && told.is_some_and(|told| told != *replica)
            };
            let moved = replica.filter(another);
            let moved = moved.filter(|_| !omits(Rule::RememberUntoldReplica));
            let Some(view) = view.filter(|view| party.told_view() != Some(view) || moved.is_some())
            else {
                continue;
            };
            // Of a view that is ours, or told, it is known what it allows, also once we have another
            // one.
            let known = if view == ours {
                Some(self.views.own(&self.view))
            } else {
                self.views.get(&view)
            };
            let extent = known.map_or(Extent::Any(Unknown::SeenInRequest), Extent::View);
            let moved = moved.cloned();
            let aftermath = self.rules.aftermath;
            if !omits(Rule::RememberUntoldView) && party.shows(view, extent, moved, now, aftermath)
            {
                self.changed = true;
                effects.push(Effect::Ask(id.clone()));
            }
        }
        if let Some(view) = view.filter(|_| !asked && !omits(Rule::CountStrangers)) {
            self.take_stranger(member, view, now, effects);
        }
    }

    /// A member that is not ours takes us for one of its view's: it was taken off the list before
    /// this process began, or is on a list that we do not have yet. It is alive, and so may be its
    /// writes.
    fn take_stranger(
        &mut self,
        member: &MemberId,
        view: Fingerprint,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let members = self.view.members();
        if members.get(members.local()).id == *member {
            return;
        }
        // Nobody asks it: it may be there until its next request would be due, and its replica for
        // `aftermath` after that.
        let until = now.saturating_add(self.rules.aftermath.saturating_mul(2));
        let mut known = false;
        for (_, party) in self
            .parties
            .iter_mut()
            .filter(|(id, _)| id.member == *member)
        {
            party.timed.prolong(until);
            let mut claims = party.timed.iter();
            known |= claims.any(|timed| timed.claim.extent.view() == Some(&view));
        }
        let strangers = self.parties.values().filter(|party| !party.asked).count();
        if known || strangers >= STRANGERS {
            return;
        }
        let told = self.views.get(&view);
        let extent = told.map_or(Extent::Any(Unknown::SeenInRequest), Extent::View);
        let id = PartyId {
            member: member.clone(),
            address: PartyAddress::told(""),
        };
        let party = self.parties.entry(id).or_insert_with(|| Party::new(false));
        let claim = Claim::of_somebody(extent.clone());
        if party.timed.add(ProcessId::default(), claim, until) {
            self.changed = true;
            effects.push(Effect::Note(Note::Differs {
                member: member.clone(),
                difference: self.difference(&extent),
                earlier: false,
            }));
        }
    }

    fn note_difference(&self, id: &PartyId, before: Option<Vec<Claim>>, effects: &mut Vec<Effect>) {
        let told = self.parties.get(id).and_then(|party| party.told.as_ref());
        let Some(told) = told else { return };
        let differs = |claims: &[Claim]| {
            let mut others = claims.iter().filter(|claim| !self.is_ours(&claim.extent));
            others.next().map(|claim| self.difference(&claim.extent))
        };
        let member = id.member.clone();
        let note = match (differs(&told.claims), before) {
            (Some(difference), _) => Note::Differs {
                member,
                difference,
                earlier: told
                    .claims
                    .first()
                    .is_some_and(|claim| self.is_ours(&claim.extent)),
            },
            (None, Some(before)) if differs(&before).is_some() => Note::Agrees(member),
            (None, Some(_) | None) => return,
        };
        effects.push(Effect::Note(note));
    }

    fn difference(&self, extent: &Extent) -> String {
        match extent {
            Extent::View(view) => self.view.difference(view),
            Extent::Repositories(names) => {
                format!("writes to {} repositories under way", names.len())
            }
            Extent::Any(unknown) => unknown.to_string(),
        }
    }
}
