//! A fleet as bytes: states that go on alike are alike. Times are relative to now and end where
//! they make no difference any more; views are numbers; what only logs and operators see is left out.

use std::sync::Arc;

use super::super::claim::{Claim, Extent, TimedClaim};
use super::super::party::Party;
use super::super::snapshot::{Snapshot, Who};
use super::super::{Ledger, Moment, Ownership};
use super::fleet::{Guard, IDS, Process, Seat, Setting, TICK};
use crate::shard::Fingerprint;

pub(super) struct Canon<'s> {
    pub(super) setting: &'s Setting,
    pub(super) now: Moment,
    pub(super) bytes: Vec<u8>,
}

impl Canon<'_> {
    pub(super) fn number(&mut self, number: impl TryInto<u8>) {
        self.bytes.push(number.try_into().unwrap_or(u8::MAX));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes.extend(text.as_bytes());
    }

    /// How long ago; from `aftermath` on it is all the same.
    fn past(&mut self, at: Moment) {
        self.past_up_to(1, at);
    }

    fn past_up_to(&mut self, aftermaths: u32, at: Moment) {
        let age = self.now.saturating_sub(at);
        let age = age.min(self.setting.rules.aftermath.saturating_mul(aftermaths));
        self.number(age.as_secs() / TICK.as_secs());
    }

    fn future(&mut self, at: Moment) {
        self.number(at.saturating_sub(self.now).as_secs() / TICK.as_secs());
    }

    fn optional<T>(&mut self, value: Option<T>, mut some: impl FnMut(&mut Self, T)) {
        self.number(u8::from(value.is_some()));
        if let Some(value) = value {
            some(self, value);
        }
    }

    /// In an order of its own.
    fn set<T>(&mut self, of: impl Iterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let before = std::mem::take(&mut self.bytes);
        for one in of {
            each(self, one);
            parts.push(std::mem::take(&mut self.bytes));
        }
        parts.sort_unstable();
        self.bytes = before;
        self.number(parts.len());
        parts.iter().for_each(|part| self.bytes.extend(part));
    }

    pub(super) fn seat(&mut self, seat: &Seat) {
        self.number(seat.starts);
        let mut ledgers = Vec::new();
        self.optional(seat.process.as_ref(), |canon, process| {
            canon.process(process, &mut ledgers);
        });
        self.set(seat.at_replica.iter(), |canon, working| {
            canon.text(working.replica.as_str());
            canon.text(working.repository);
            canon.optional(working.until, Self::future);
            canon.guard(working.guard.as_ref(), &ledgers);
        });
    }

    fn process<'p>(&mut self, process: &'p Process, ledgers: &mut Vec<&'p Arc<Ledger>>) {
        ledgers.push(&process.rules.ledger);
        ledgers.extend(&process.rules.past);
        self.number(process.layout);
        self.number(u8::from(process.stopped));
        self.past(process.awake);
        for (id, party) in &process.rules.parties {
            let at = IDS.iter().position(|known| *known == id.member.as_str());
            let last = at.and_then(|at| process.last_request[at]);
            let since = party.unanswered.map(|silence| silence.since);
            self.number(u8::from(since.is_some() && last >= since));
            self.optional(party.unheard_since, |canon, since| {
                canon.past(last.map_or(since, |last| since.max(last)));
            });
            let waits = party.ended_in < process.rules.round;
            let aftermath = self.setting.rules.aftermath;
            let told = process.rules.round_began + aftermath;
            self.number(u8::from(waits && last >= Some(told)));
            self.optional(waits.then_some(told), Self::future);
            let (view, shown_at) = at.map_or((None, Moment::ZERO), |at| process.known_view[at]);
            self.optional(view.as_ref(), Self::view);
            self.number(u8::from(shown_at == self.now));
        }
        self.rules(&process.rules);
        self.snapshot(&process.snapshot, ledgers);
        self.guard(process.counted.as_ref(), ledgers);
    }

    fn guard(&mut self, guard: Option<&Guard>, ledgers: &[&Arc<Ledger>]) {
        self.optional(guard, |canon, guard| canon.which(&guard.ledger, ledgers));
    }

    fn which(&mut self, ledger: &Arc<Ledger>, ledgers: &[&Arc<Ledger>]) {
        let at = ledgers.iter().position(|known| Arc::ptr_eq(known, ledger));
        self.number(at.unwrap_or(usize::MAX));
    }

    fn rules(&mut self, rules: &Ownership) {
        self.text(rules.process.as_str());
        self.past(rules.began);
        self.past(rules.last_step);
        self.future(rules.ignorant_until);
        self.number(u8::from(rules.complete));
        self.ledger(&rules.ledger);
        self.number(rules.past.len());
        for ledger in &rules.past {
            self.ledger(ledger);
        }
        self.set(rules.own_past.iter(), Self::timed);
        self.number(rules.parties.len());
        for (id, party) in &rules.parties {
            self.text(id.member.as_str());
            self.number(rules.round.saturating_sub(party.ended_in).min(2));
            self.party(party);
        }
    }

    fn party(&mut self, party: &Party) {
        for flag in [party.listed, party.asked, party.is_new] {
            self.number(u8::from(flag));
        }
        self.number(u8::from(party.closed_to_us.is_some()));
        self.optional(party.untold.as_ref(), |canon, untold| {
            canon.extent(&untold.extent);
            canon.optional(untold.replica.as_ref(), |canon, id| canon.text(id.as_str()));
            canon.optional(untold.view.as_ref(), Self::view);
            canon.number(u8::from(untold.shown_at == canon.now));
            canon.number(u8::from(untold.asked_in_vain));
        });
        self.optional(party.unanswered, |canon, silence| {
            canon.past_up_to(2, silence.since);
            canon.number(silence.count.min(3));
            canon.number(u8::from(silence.refused));
            canon.number(u8::from(party.is_gone(canon.setting.rules.aftermath)));
        });
        self.optional(party.told.as_ref(), |canon, told| {
            canon.text(told.process.as_str());
            canon.number(told.claims.len());
            told.claims.iter().for_each(|claim| canon.claim(claim));
        });
        self.set(party.timed.iter(), Self::timed);
    }

    fn timed(&mut self, timed: &TimedClaim) {
        self.text(timed.process.as_str());
        self.claim(&timed.claim);
        self.future(timed.until);
    }

    fn claim(&mut self, claim: &Claim) {
        self.extent(&claim.extent);
        self.text(claim.replica.as_str());
    }

    fn extent(&mut self, extent: &Extent) {
        match extent {
            Extent::View(view) => view
                .fingerprint()
                .into_iter()
                .for_each(|view| self.view(view)),
            Extent::Repositories(names) => {
                self.number(100);
                self.set(names.iter(), |canon, name| canon.text(name));
            }
            Extent::Any(unknown) => {
                self.number(101);
                self.text(&format!("{unknown:?}"));
            }
        }
    }

    fn ledger(&mut self, ledger: &Ledger) {
        let (retired, under_way, orphans) = ledger.counts(self.now);
        self.number(u8::from(retired));
        self.number(under_way);
        self.set(orphans.into_iter(), Self::future);
        self.text(ledger.replica.as_str());
        self.view(ledger.view.fingerprint().unwrap());
    }

    fn view(&mut self, view: &Fingerprint) {
        self.number(self.setting.layout_of(view).unwrap_or(99));
    }

    fn snapshot(&mut self, snapshot: &Snapshot, ledgers: &[&Arc<Ledger>]) {
        self.which(&snapshot.ledger, ledgers);
        self.text(&format!("{:?}", snapshot.waits));
        self.set(snapshot.elsewhere.iter(), |canon, ledger| {
            canon.which(ledger, ledgers);
        });
        self.set(snapshot.obstacles.iter(), |canon, obstacle| {
            canon.extent(&obstacle.extent);
            canon.number(u8::from(obstacle.who == Who::Ourselves));
        });
    }
}
