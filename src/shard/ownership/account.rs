//! What others tell, and what we tell them.

use std::sync::Arc;
use std::time::Duration;

use super::claim::{Claim, Extent, Moment, ProcessId, ReplicaId, Unknown};
use super::ledger::Ledger;
use super::omit::{Rule, omits};
use super::party::{Party, PartyAddress, PartyId};
use super::report::{
    Asker, Memory, Report, Seen, TOLD_VIEWS, UnderWay, WITNESS_VIEWS, Witness, millis,
};
use super::{Effect, Holds, NoAnswer, Note, Ownership, Reply, Rules, STRANGERS};
use crate::shard::members::{Member, MemberId};
use crate::shard::view::{Fingerprint, OtherView, View};

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
        let before = std::mem::replace(&mut self.view, view);
        (self.generation, self.rules) = (generation, rules);
        self.begin_ledger(replica, now);
        let earlier = self.views.own(&before);
        self.list_members();
        let aftermath = self.rules.aftermath;
        // A former member that never told has most likely the view that we shared.
        for party in self.parties.values_mut() {
            let unknown = !party.listed && party.asked && party.told.is_none();
            if unknown && !omits(Rule::AssumeSharedView) {
                let claim = Claim::of_somebody(Extent::View(earlier.clone()));
                party.take(ProcessId::default(), vec![claim], false, now, aftermath);
            }
        }
        if !same {
            self.round += 1;
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
        self.changed = true;
        // Whoever succeeds this process has to know with which replica it wrote.
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

    pub(super) fn take_reply(
        &mut self,
        id: &PartyId,
        round: u64,
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
        if party.take(process, claims, vouches, now, aftermath) {
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
                Some(names) => {
                    Extent::Repositories(names.iter().map(|name| name.as_str().into()).collect())
                }
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
                    self.changed |= self.remember_own_past(process, claim, until);
                }
                continue;
            }
            let address = PartyAddress::told(&seen.address);
            let id = PartyId { member, address };
            let party = self.parties.entry(id).or_insert_with(|| Party::new(false));
            let tells_itself = party.unanswered.is_none() && party.closed_to_us.is_none();
            let told = party.told.as_ref().filter(|_| tells_itself);
            if told.is_none_or(|told| told.process != process) {
                self.changed |= party.add_timed(process, claim, until);
            }
        }
        if witness.complete || omits(Rule::RequireCompleteWitness) {
            self.becomes_complete(effects);
        }
    }

    fn claim_of(&mut self, seen: &Seen) -> Claim {
        let extent = match (&seen.repositories, &seen.view) {
            (Some(names), _) => {
                Extent::Repositories(names.iter().map(|name| name.as_str().into()).collect())
            }
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

    fn remember_own_past(&mut self, process: ProcessId, claim: Claim, until: Moment) -> bool {
        // The list of a party has the same rule: a claim is kept once, with its latest end.
        let mut own = Party::new(false);
        own.timed = std::mem::take(&mut self.own_past);
        let new = own.add_timed(process, claim, until);
        self.own_past = own.timed;
        new
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
        match why {
            NoAnswer::NotAsked if !omits(Rule::ForgiveOwnErrors) => return,
            NoAnswer::Closed(reason) => {
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
                        reason,
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
        party.ended_in = ended_in.max(round);
        self.changed |= party.ended_in > ended_in;
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
            let Some(view) = view.filter(|view| party.told_view() != Some(view)) else {
                continue;
            };
            // Of a view that is ours it is known what it allows, also once we have another one.
            let extent = if view == ours {
                Extent::View(self.views.own(&self.view))
            } else {
                Extent::Any(Unknown::SeenInRequest)
            };
            if !omits(Rule::RememberUntoldView) && party.shows(extent) {
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
        let until = now.saturating_add(self.rules.aftermath);
        let mut known = false;
        for (_, party) in self
            .parties
            .iter_mut()
            .filter(|(id, _)| id.member == *member)
        {
            for timed in &mut party.timed {
                timed.until = timed.until.max(until);
                known |= timed.claim.extent.view() == Some(&view);
            }
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
        if party.add_timed(
            ProcessId::default(),
            Claim::of_somebody(extent.clone()),
            until,
        ) {
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

    /// Our account of ourselves, for one that asks. Made under the lock that retires ledgers, so it
    /// names every write that goes on under another view than the one in force.
    #[must_use]
    pub fn report(&self, asker: &Asker, now: Moment) -> Report {
        let knows =
            |view: &Fingerprint| asker.view.as_ref() == Some(view) || asker.knows.contains(view);
        let own = self.view.fingerprint();
        let replica = self.ledger.replica();
        let told = !omits(Rule::TellWritesUnderWay);
        let past = self
            .past
            .iter()
            .filter(|ledger| told && ledger.is_writing(now));
        let past = past
            .filter(|ledger| ledger.view.fingerprint() != Some(own) || ledger.replica != *replica);
        let also = past.filter_map(|ledger| {
            under_way(&ledger.view, &ledger.replica, ledger.repositories(now))
        });
        Report {
            view: own.to_string(),
            start: self.process.as_str().to_owned(),
            up_ms: millis(now.saturating_sub(self.began)),
            replica: replica.as_str().to_owned(),
            description: (!knows(own)).then(|| self.view.describe()),
            also: also.collect(),
            vouches: self.vouches(),
            seen: asker.wants_witness.then(|| self.testify(asker, now)),
        }
    }

    fn vouches(&self) -> bool {
        self.complete || self.recalled
    }

    /// What the process after this one has to know, to be kept before anything else is done.
    #[must_use]
    pub fn memory(&self, now: Moment) -> Memory {
        let claim = |extent: &Extent, replica: &ReplicaId| {
            let Extent::View(view) = extent else {
                return None;
            };
            under_way(view, replica, None)
        };
        let past = self.past.iter().filter(|ledger| ledger.is_writing(now));
        let ledgers = past.chain([&self.ledger]);
        let own = ledgers.map(|ledger| under_way(&ledger.view, &ledger.replica, None));
        let earlier = self.own_past.iter();
        let earlier = earlier.map(|timed| claim(&timed.claim.extent, &timed.claim.replica));
        let all: Vec<_> = own.chain(earlier).collect();
        Memory {
            // What cannot be told in words is not known to the next.
            complete: self.vouches() && all.iter().all(Option::is_some),
            own: all.into_iter().flatten().collect(),
            parties: self
                .parties
                .keys()
                .map(|id| (id.member.to_string(), id.address.as_str().to_owned()))
                .collect(),
        }
    }

    /// Takes what the process before has left, which ended `away` ago. It says nothing of what
    /// others did meanwhile, unless that was too short for anything to happen.
    pub(super) fn recall(&mut self, memory: &Memory, away: Duration, now: Moment) {
        let aftermath = self.rules.aftermath;
        if !memory.complete || away > aftermath / 2 {
            return;
        }
        let until = now.saturating_add(aftermath);
        let before = ProcessId::new("before");
        for own in &memory.own {
            let view = self
                .views
                .told(&self.view, &own.fingerprint, Some(&own.description));
            let extent = view.map_or(Extent::Any(Unknown::NotDescribed), Extent::View);
            let replica = ReplicaId::new(own.replica.clone());
            self.remember_own_past(before.clone(), Claim { extent, replica }, until);
        }
        for (member, address) in &memory.parties {
            let Ok(member) = member.parse::<MemberId>() else {
                return;
            };
            let address = PartyAddress::told(address);
            let id = PartyId { member, address };
            // A peer is asked. Who is listed no more may have had any view.
            if !self.parties.contains_key(&id) {
                let party = self.parties.entry(id).or_insert_with(|| Party::new(false));
                let any = Claim::of_somebody(Extent::Any(Unknown::NotDescribed));
                party.add_timed(before.clone(), any, until);
            }
        }
        self.recalled = true;
    }

    /// What we have seen of others that the asker's own view does not allow for, and of processes
    /// of the asker before this one.
    fn testify(&self, asker: &Asker, now: Moment) -> Witness {
        let mut witness = Witness {
            complete: self.complete,
            ..Witness::default()
        };
        for (id, party) in &self.parties {
            let is_asker = asker.member.as_ref() == Some(&id.member);
            let aftermath = self.rules.aftermath;
            let left = match party.unanswered.filter(|_| !party.listed) {
                Some(silence) => silence.since.saturating_add(aftermath).saturating_sub(now),
                None => aftermath,
            };
            let told = party.told.iter().flat_map(|told| {
                let claims = told.claims.iter();
                claims.map(move |claim| (&told.process, claim, left))
            });
            let timed = party.timed.iter();
            let timed = timed.map(|timed| {
                (
                    &timed.process,
                    &timed.claim,
                    timed.until.saturating_sub(now),
                )
            });
            for (process, claim, left) in told.chain(timed) {
                let known =
                    !is_asker && asker.view.is_some() && claim.extent.view() == asker.view.as_ref();
                if known || is_asker && *process == asker.process {
                    continue;
                }
                witness.add(&id.member, id.address.as_str(), process, claim, left);
            }
        }
        let members = self.view.members();
        let own = members.get(members.local());
        for timed in &self.own_past {
            let left = timed.until.saturating_sub(now);
            let address = own.address.to_string();
            witness.add(&own.id, &address, &timed.process, &timed.claim, left);
        }
        witness
    }
}

impl Witness {
    fn add(
        &mut self,
        member: &MemberId,
        address: &str,
        process: &ProcessId,
        claim: &Claim,
        left: Duration,
    ) {
        let view = claim.extent.view().map(ToString::to_string);
        if let (Extent::View(described), Some(view)) = (&claim.extent, &view) {
            self.describe(view, described);
        }
        let repositories = match &claim.extent {
            Extent::Repositories(names) => Some(names.iter().map(ToString::to_string).collect()),
            Extent::View(_) | Extent::Any(_) => None,
        };
        self.claims.push(Seen {
            member: member.to_string(),
            address: address.to_owned(),
            start: process.as_str().to_owned(),
            replica: claim.replica.as_str().to_owned(),
            view,
            repositories,
            left_ms: millis(left),
        });
    }

    fn describe(&mut self, fingerprint: &str, view: &OtherView) {
        let known = self.views.iter().any(|(known, _)| known == fingerprint);
        if let (false, Some(description)) = (
            known || self.views.len() >= WITNESS_VIEWS,
            view.description(),
        ) {
            self.views
                .push((fingerprint.to_owned(), description.clone()));
        }
    }
}

fn under_way(
    view: &OtherView,
    replica: &ReplicaId,
    repositories: Option<Vec<Box<str>>>,
) -> Option<UnderWay> {
    Some(UnderWay {
        fingerprint: view.fingerprint()?.to_string(),
        description: view.description()?.clone(),
        replica: replica.as_str().to_owned(),
        repositories: repositories.map(|names| names.into_iter().map(String::from).collect()),
    })
}
