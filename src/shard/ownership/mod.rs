//! Who may write now: the rules that keep one writer for each repository.
//!
//! A registry reads an index, changes it and writes it back under a lock of its own process. So of
//! all replicas that share a storage, at most one may be writing a repository at any time. A member
//! writes (with its replica) what its own view gives it, under these rules:
//!
//! 1. A write is counted in at the generation's [`Ledger`] first and judged by the [`Snapshot`]
//!    second. Another view retires the ledger before anybody is asked, so a [`Report`] made later
//!    names every write that goes on under the old one.
//! 2. After another view or replica is taken, every party is asked before anything is written. A party
//!    is a peer, or a former member that may not know yet that it is one. Only an answer ends the
//!    asking; or a refusal, as nobody is there; or that nothing was heard of it for `aftermath`, by us
//!    or by a complete witness; or a request of its `aftermath` later, as it asks too; or that nobody
//!    ever heard of it, so nobody can have answered it.
//! 3. A repository is written only while all parties, as last known, give it to us: a party that
//!    cannot be reached counts with what it told last. So of two members that both take themselves
//!    for the owner, the one that changed later was told of the other.
//! 4. A party is gone when it left three questions or more unanswered, for `aftermath` from the first
//!    refusal on; or, where it only let the time pass, for twice that, since it may have lived for a
//!    part of it. Our own clock counts. A request of its begins that anew. Errors of our own are no
//!    silence. A peer that is still listed counts with what it told until it tells otherwise: a
//!    partition must not make two writers of a dispute.
//! 5. What an earlier process of a member was writing counts for `aftermath` after it was last
//!    there, since its replica did not die with it; so does an earlier replica of our own.
//! 6. A process that has just started knows nothing, so it writes nothing, until it knows all that
//!    may be under way: from a witness, who knows; or because it has waited for `aftermath`, and so
//!    has every party that it can reach; or because it, and every peer, was left what the process
//!    before it knew ([`Memory`]). A process that was away for long begins anew.
//!
//! Why that is enough: let A write a repository at a time t, and B too. Neither is gone for the
//! other (4), so each counts with what it told the other last (3), and that gave the repository to
//! the other's view of the owner. The later of the two to change its view asked after it had (2),
//! and was told of the other's view, or of its writes (1); or was told by somebody who knew (6). An
//! answer may be older than a request that came before it was read: then both count, and it is
//! asked again.
//!
//! It rests on this, and on nothing else: a replica finishes a write within `aftermath` after its
//! member stopped waiting for it; members that cannot reach each other for longer than `aftermath`
//! are not given different views meanwhile; a process is not stopped between the judgement and the
//! last byte for longer than `aftermath`; where connections are refused, no process is left; no two
//! processes have one id; clusters that share a storage list each other. Only a fence at the storage
//! could do without.
//!
//! Known not to hold: a member that nobody lists dies after we began and before its first request to
//! us. With mTLS it is turned away before its request is seen here, so nothing of it counts.
//!
//! Nothing here knows a clock, a socket or a task: [`Ownership::step`] takes an [`Event`] and the
//! time, and returns [`Effect`]s.

mod claim;
mod heard;
mod ledger;
mod omit;
mod party;
pub mod report;
mod snapshot;
#[cfg(test)]
mod tests;
mod told;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use claim::{Extent, ExtentKey, TimedClaims};
use omit::{Rule, omits};
use party::Party;
use views::Views;

pub use claim::{Moment, ProcessId, ReplicaId, Unknown};
pub use ledger::{Ledger, WriteEnd, WriteId};
pub use party::PartyId;
pub use report::{Asker, Memory, Report};
pub use snapshot::{Snapshot, Verdict, Wait};

use super::members::MemberId;
use super::view::{Fingerprint, View};

/// So many members that nobody asks are remembered when they send requests. Each may have any view,
/// so one more would change little.
const STRANGERS: usize = 64;

/// The state of the rules in one process.
#[derive(Debug)]
pub struct Ownership {
    process: ProcessId,
    view: Arc<View>,
    rules: Rules,
    generation: u64,
    /// Counts what makes every party be asked again: another view, another replica, an absence.
    round: u64,
    round_began: Moment,
    ledger: Arc<Ledger>,
    /// Of generations before, as long as writes of theirs may be under way.
    past: Vec<Arc<Ledger>>,
    parties: BTreeMap<PartyId, Party>,
    /// What processes before this one, of this member, may still be writing.
    own_past: TimedClaims,
    views: Views,
    began: Moment,
    /// Until when nobody could tell what was under way before this process looked.
    ignorant_until: Moment,
    /// Whether all is known that may be under way.
    complete: bool,
    /// Whether the process before has told what it was writing.
    recalled: bool,
    last_step: Moment,
    /// Since when each dispute stands.
    standing: HashMap<ExtentKey, (Extent, Moment)>,
    changed: bool,
}

/// The operator's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How long a replica may go on with a write after nobody waits for it any more. Zero: not at
    /// all, as where a replica dies with its member.
    pub aftermath: Duration,
    /// For how long after it began a dispute is waited for.
    pub patience: Duration,
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// Another configuration is in force.
    ViewTaken {
        /// Its number, greater than the one before.
        generation: u64,
        /// Its view.
        view: Arc<View>,
        /// The replica that it writes with.
        replica: ReplicaId,
        /// Its numbers.
        rules: Rules,
    },
    /// The replica has another address, by the same configuration.
    ReplicaMoved {
        /// The number of that configuration. Of an earlier one it is no news any more.
        generation: u64,
        /// The replica that it writes with.
        replica: ReplicaId,
    },
    /// A party has answered a question.
    Told {
        /// Who.
        party: PartyId,
        /// The round of the question.
        round: u64,
        /// When it was asked.
        asked_at: Moment,
        /// When a request of its came last, if that had another view than the answer: one of the two is
        /// the older.
        contradicted_at: Option<Moment>,
        /// What it said.
        reply: Reply,
    },
    /// A question got no answer.
    Unanswered {
        /// Who was asked.
        party: PartyId,
        /// The round of the question.
        round: u64,
        /// When it was asked.
        asked_at: Moment,
        /// When a request of its came last.
        last_request: Option<Moment>,
        /// Why there is none.
        why: NoAnswer,
    },
    /// A request or a question of a member came, with this view.
    Asked {
        /// Who says so.
        member: MemberId,
        /// Its view.
        view: Option<Fingerprint>,
        /// The replica that it writes with; only a question says so.
        replica: Option<ReplicaId>,
    },
    /// Time has passed.
    Tick,
}

/// An answer to a question.
#[derive(Debug)]
pub enum Reply {
    /// An account of itself.
    Report(Box<Report>),
    /// It takes us for none of its view's members.
    WithoutUs,
    /// It cannot be read.
    Unreadable,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The other side let the time pass.
    Silent,
    /// Nobody listens there: who did is no more.
    Refused,
    /// Somebody is there and does not tell, and why.
    Closed(String),
    /// Another listed member answers there.
    Replaced,
    /// Nobody was asked: an error of our own.
    NotAsked,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// The request path reads this from now on.
    Publish(Arc<Snapshot>),
    /// This party is asked at once.
    Ask(PartyId),
    /// Every party is told at once that something has changed here, and asked.
    TellAll,
    /// For the log.
    Note(Note),
}

/// What an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This process knows now what may be under way.
    Complete,
    /// This process was away, and begins anew.
    WasAway(Duration),
    /// A party has told another view than ours, or writes under another.
    Differs {
        /// Who.
        member: MemberId,
        /// In which way.
        difference: String,
        /// Whether its view in force is ours, and only earlier writes go on under another.
        earlier: bool,
    },
    /// It had, and agrees now.
    Agrees(MemberId),
    /// A member that is listed no more is gone.
    Gone(MemberId),
    /// Somebody is at its address and cannot be asked.
    Closed {
        /// Who.
        member: MemberId,
        /// Why.
        reason: String,
        /// What that keeps from being written.
        holds: Holds,
    },
}

/// How much a party that cannot be asked keeps from being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Everything: it may have any view.
    Everything,
    /// What it could own by the view that it, or a witness, told last.
    LastKnown,
}

impl Ownership {
    /// A process that has just started, and what it reads before it was told anything.
    #[must_use]
    pub fn new(
        process: ProcessId,
        view: Arc<View>,
        replica: ReplicaId,
        rules: Rules,
        memory: Option<&(Memory, Duration)>,
        now: Moment,
    ) -> (Self, Arc<Snapshot>) {
        let mut views = Views::default();
        let ledger = Ledger::new(views.own(&view), replica);
        let mut ownership = Self {
            process,
            view,
            rules,
            generation: 0,
            round: 1,
            round_began: now,
            ledger,
            past: Vec::new(),
            parties: BTreeMap::new(),
            own_past: TimedClaims::default(),
            views,
            began: now,
            ignorant_until: now.saturating_add(rules.aftermath),
            complete: false,
            recalled: false,
            last_step: now,
            standing: HashMap::new(),
            changed: false,
        };
        ownership.list_members();
        if let Some((memory, away)) = memory {
            ownership.recall(memory, *away, now);
        }
        ownership.settle(now, &mut Vec::new());
        let snapshot = ownership.snapshot(now);
        (ownership, snapshot)
    }

    /// Takes an event.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.notice_absence(now, &mut effects);
        match event {
            Event::ViewTaken {
                generation,
                view,
                replica,
                rules,
            } => self.take_view(generation, view, replica, rules, now, &mut effects),
            Event::ReplicaMoved {
                generation,
                replica,
            } => {
                if generation == self.generation {
                    self.take_replica(replica, now, &mut effects);
                }
            }
            Event::Told {
                party,
                round,
                asked_at,
                contradicted_at,
                reply,
            } => {
                if let Some(at) = contradicted_at.filter(|at| *at >= asked_at) {
                    self.take_contradiction(&party, at);
                }
                self.take_reply(&party, round, asked_at, reply, now, &mut effects);
            }
            Event::Unanswered {
                party,
                round,
                asked_at,
                last_request,
                why,
            } => self.take_silence(&party, round, asked_at, last_request, why, &mut effects),
            Event::Asked {
                member,
                view,
                replica,
            } => self.take_request(&member, view, replica.as_ref(), now, &mut effects),
            Event::Tick => {}
        }
        self.expire(now);
        self.settle(now, &mut effects);
        if std::mem::take(&mut self.changed) {
            self.views.forget_unused();
            effects.push(Effect::Publish(self.snapshot(now)));
        }
        effects
    }

    /// Everybody who is to be asked.
    pub fn asked_parties(&self) -> impl Iterator<Item = &PartyId> {
        let asked = self.parties.iter().filter(|(_, party)| party.asked);
        asked.map(|(id, _)| id)
    }

    /// Whether it still counts.
    #[must_use]
    pub fn is_party(&self, id: &PartyId) -> bool {
        self.parties.contains_key(id)
    }

    /// Whether a question to this party should ask what it has seen of others: while somebody has
    /// not told us himself, a third may know better.
    #[must_use]
    pub fn wants_witness(&self) -> bool {
        let untold = |party: &Party| {
            party.told.is_none() || party.unanswered.is_some() || party.closed_to_us.is_some()
        };
        !self.complete || self.parties.values().any(untold)
    }

    /// The views of this party that need not be described to us.
    #[must_use]
    pub fn known_views(&self, party: &PartyId) -> Vec<Fingerprint> {
        let told = self
            .parties
            .get(party)
            .and_then(|party| party.told.as_ref());
        let claims = told.iter().flat_map(|told| &told.claims);
        let views = claims.filter_map(|claim| claim.extent.view().copied());
        views
            .filter(|view| self.views.get(view).is_some())
            .collect()
    }

    /// Whether this party is silent and not known to be gone: until when it is asked again decides.
    #[must_use]
    pub fn may_be_gone(&self, id: &PartyId) -> bool {
        let party = self.parties.get(id);
        party
            .is_some_and(|party| party.unanswered.is_some() && !party.is_gone(self.rules.aftermath))
    }

    /// Whether a question to this party has ended since the last change, whichever way.
    #[must_use]
    pub fn was_asked(&self, party: &PartyId) -> bool {
        let party = self.parties.get(party);
        party.is_some_and(|party| party.ended_in >= self.round)
    }

    /// Whether a question with this replica says nothing new of its member.
    #[must_use]
    pub fn knows_replica(&self, member: &MemberId, replica: &ReplicaId) -> bool {
        let mut parties = self.parties.iter().filter(|(id, _)| id.member == *member);
        !replica.is_known()
            || parties.all(|(_, party)| party.told_replica().is_none_or(|told| told == replica))
    }

    /// The view that this party told last, and whether it is the one in force here.
    #[must_use]
    pub fn tells_our_view(&self, party: &PartyId) -> Option<bool> {
        let told = self.parties.get(party)?.told.as_ref()?;
        let in_force = told.claims.first()?;
        Some(self.is_ours(&in_force.extent))
    }

    /// Members that are listed no more and not known to be gone.
    pub fn former_members(&self) -> impl Iterator<Item = &MemberId> {
        let listed = |id: &MemberId| self.view.members().find(id).is_some();
        let former = self.parties.iter().filter(|(_, party)| !party.listed);
        former
            .map(|(id, _)| &id.member)
            .filter(move |id| !listed(id))
    }

    /// All in which writes may be under way.
    pub(crate) fn ledgers(&self) -> impl Iterator<Item = &Arc<Ledger>> {
        self.past.iter().chain([&self.ledger])
    }

    fn is_ours(&self, extent: &Extent) -> bool {
        extent.view() == Some(self.view.fingerprint())
    }

    /// Makes the parties fit the view in force.
    fn list_members(&mut self) {
        for party in self.parties.values_mut() {
            party.listed = false;
        }
        let peers = self.view.members().peers();
        let listed: Vec<PartyId> = peers.map(|(_, member)| PartyId::of(member)).collect();
        for id in listed {
            let known = self.parties.keys().any(|known| known.member == id.member);
            let party = self.parties.entry(id).or_insert_with(|| Party::new(true));
            (party.listed, party.asked) = (true, true);
            party.is_new |= self.complete && !known;
        }
        let us = &self.view.members().get(self.view.members().local()).id;
        self.parties.retain(|id, party| {
            id.member != *us && (party.listed || !omits(Rule::KeepFormerMembers))
        });
    }

    /// Whether all is known, and everybody was asked: what holds back every write.
    fn settle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let waited = now >= self.ignorant_until || omits(Rule::WaitAtStart);
        if !self.complete && waited {
            let aftermath = self.rules.aftermath;
            let mut listed = self.parties.values().filter(|party| party.listed);
            let known = |party: &Party| party.told.is_some() || party.is_gone(aftermath);
            if listed.all(known) || omits(Rule::WaitForListed) {
                self.becomes_complete(effects);
            }
        }
        // Each knows what its own replica may be writing, and together they know of everybody.
        if !self.complete && self.recalled {
            let mut listed = self.parties.values().filter(|party| party.listed);
            if listed.all(|party| party.told.as_ref().is_some_and(|told| told.vouches)) {
                self.becomes_complete(effects);
            }
        }
    }

    fn becomes_complete(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.complete, true) {
            self.changed = true;
            effects.push(Effect::Note(Note::Complete));
        }
    }

    fn wait(&self) -> Option<Wait> {
        if !self.complete {
            return Some(Wait::Starting);
        }
        if omits(Rule::AskBeforeWriting) {
            return None;
        }
        let mut asked = self.parties.values().filter(|party| party.asked);
        asked
            .any(|party| party.ended_in < self.round)
            .then_some(Wait::Asking)
    }

    /// Drops what has ended.
    fn expire(&mut self, now: Moment) {
        for party in self.parties.values_mut() {
            self.changed |= party.timed.expire(now);
        }
        self.changed |= self.own_past.expire(now);
        let known = self.past.len();
        self.past.retain(|ledger| ledger.is_writing(now));
        self.changed |= known != self.past.len();
        // Known by witnesses only, who know of it no more.
        self.parties
            .retain(|_, party| party.asked || !party.timed.is_empty());
    }

    /// A process that was away for long may have been taken for dead, and others may have written,
    /// died and come back meanwhile. What it knew is worth nothing.
    fn notice_absence(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let away = now.saturating_sub(self.last_step);
        self.last_step = now;
        let noticed = !omits(Rule::NoticeAbsence);
        if !noticed || self.longest_absence().is_none_or(|longest| away <= longest) {
            return;
        }
        self.complete = false;
        self.recalled = false;
        self.began = now;
        self.ignorant_until = now.saturating_add(self.rules.aftermath);
        self.begin_round(now);
        for party in self.parties.values_mut() {
            (party.unanswered, party.unheard_since, party.is_new) = (None, None, false);
        }
        self.changed = true;
        effects.push(Effect::Note(Note::WasAway(away)));
        effects.push(Effect::TellAll);
    }

    /// Everybody is asked anew before anything is written.
    fn begin_round(&mut self, now: Moment) {
        self.round += 1;
        self.round_began = now;
    }

    fn longest_absence(&self) -> Option<Duration> {
        let aftermath = self.rules.aftermath;
        (!aftermath.is_zero()).then(|| aftermath / 2)
    }
}
