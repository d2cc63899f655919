//! Some members in one memory: messages are function calls, and time passes when it is told to.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::{
    Asker, Effect, Event, Ledger, Memory, Moment, NoAnswer, Ownership, PartyId, ProcessId,
    ReplicaId, Reply, Report, Rules, Snapshot, WriteId,
};
use crate::shard::members::tests::{id, members};
use crate::shard::{Fingerprint, HashKey, MemberId, Pin, Pins, Placement, View};

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;
pub(super) const D: usize = 3;
pub(super) const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Time is counted in these; it is what the questions of real members take between two of them.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// One view, as all its members have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) members: &'static [usize],
    /// Prefixes and their owners; everything else goes by the hash.
    pub(super) pins: &'static [(&'static str, usize)],
    pub(super) key: [u8; 16],
}

pub(super) const KEY: [u8; 16] = *b"loremipsumdolors";

pub(super) const fn layout(
    members: &'static [usize],
    pins: &'static [(&'static str, usize)],
) -> Layout {
    Layout {
        members,
        pins,
        key: KEY,
    }
}

impl Layout {
    pub(super) fn view(&self, local: usize) -> Arc<View> {
        let ids: Vec<&str> = self.members.iter().map(|member| IDS[*member]).collect();
        let members = members(&ids, IDS[local]);
        let pin = |(prefix, owner): &(&str, usize)| Pin {
            prefix: prefix.parse().unwrap(),
            member: members.find(&id(IDS[*owner])).unwrap(),
        };
        let pins = Pins::new(self.pins.iter().map(pin).collect()).unwrap();
        let key = HashKey::from(self.key);
        Arc::new(View::new(members, Placement::Rendezvous, &key, pins))
    }
}

/// What does not change.
pub(super) struct Setting {
    /// By layout and local member.
    views: Vec<Vec<Option<Arc<View>>>>,
    pub(super) rules: Rules,
}

#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) setting: Rc<Setting>,
    pub(super) now: Moment,
    pub(super) seats: Vec<Rc<Seat>>,
}

/// Where a member's processes run, one after the other, beside its replica.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) process: Option<Process>,
    pub(super) starts: u8,
    pub(super) at_replica: Vec<Working>,
    /// What [`super::search`] knows it by at a moment, until it changes.
    pub(super) key: Cell<Option<(Moment, u64)>>,
}

pub(super) struct Process {
    pub(super) rules: Ownership,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) layout: usize,
    pub(super) awake: Moment,
    /// It is there and does not run.
    pub(super) stopped: bool,
    /// When a request of each other member came last.
    pub(super) last_request: [Option<Moment>; IDS.len()],
    /// The view that each was last known by, and when a request has shown it.
    pub(super) known_view: [(Option<Fingerprint>, Moment); IDS.len()],
    /// Counted in and not judged yet.
    pub(super) counted: Option<Guard>,
    pub(super) generation: u64,
}

/// A write that a replica works on.
pub(super) struct Working {
    pub(super) replica: ReplicaId,
    pub(super) repository: &'static str,
    /// Somebody waits for the answer.
    pub(super) guard: Option<Guard>,
    /// When it has ended at the latest, once nobody waits.
    pub(super) until: Option<Moment>,
}

#[derive(Clone)]
pub(super) struct Guard {
    pub(super) ledger: Arc<Ledger>,
    pub(super) write: Rc<WriteId>,
    pub(super) repository: &'static str,
}

/// A question on its way back.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) round: u64,
    pub(super) asked_at: Moment,
    /// None if nobody answers.
    pub(super) report: Option<Report>,
}

/// A replica that is not known yet.
pub(super) const UNKNOWN: u8 = u8::MAX;

pub(super) fn replica(member: usize, number: u8) -> ReplicaId {
    if number == UNKNOWN {
        return ReplicaId::default();
    }
    ReplicaId::new(format!("{}-registry-{number}", IDS[member]))
}

pub(super) fn process_id(member: usize, start: u8) -> ProcessId {
    ProcessId::new(format!("{}#{start}", IDS[member]))
}

pub(super) fn member_id(member: usize) -> MemberId {
    id(IDS[member])
}

pub(super) fn party(member: usize) -> PartyId {
    let list = members(&[IDS[member]], IDS[member]);
    PartyId::of(list.get(list.local()))
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Setting {
    pub(super) fn view(&self, layout: usize, local: usize) -> Option<&Arc<View>> {
        self.views[layout][local].as_ref()
    }

    pub(super) fn layouts(&self) -> usize {
        self.views.len()
    }

    /// Which layout a fingerprint names.
    pub(super) fn layout_of(&self, fingerprint: &Fingerprint) -> Option<usize> {
        let has = |view: &Arc<View>| view.fingerprint() == fingerprint;
        let mut views = self.views.iter();
        views.position(|views| views.iter().flatten().next().is_some_and(has))
    }
}

impl Fleet {
    pub(super) fn new(layouts: &[Layout], aftermath: Duration) -> Self {
        let views = layouts.iter().map(|layout| {
            let locals = 0..IDS.len();
            let view = |local| layout.members.contains(&local).then(|| layout.view(local));
            locals.map(view).collect()
        });
        let setting = Setting {
            views: views.collect(),
            rules: Rules {
                aftermath,
                patience: Duration::from_secs(3),
            },
        };
        Self {
            setting: Rc::new(setting),
            now: Duration::from_secs(1000),
            seats: IDS.iter().map(|_| Rc::default()).collect(),
        }
    }

    /// Members that have run this layout for long, and know of each other.
    pub(super) fn settled(layouts: &[Layout], aftermath: u64, running: &[usize]) -> Self {
        let mut fleet = Self::new(layouts, Duration::from_secs(aftermath));
        running.iter().for_each(|member| fleet.start(*member, 0, 0));
        fleet.all_ask();
        fleet.pass(aftermath + 1);
        fleet.all_ask();
        for member in running {
            assert!(fleet.snapshot(*member).is_settled());
        }
        fleet
    }

    pub(super) fn seat(&mut self, member: usize) -> &mut Seat {
        let seat = &mut self.seats[member];
        if Rc::get_mut(seat).is_none() {
            *seat = Rc::new(seat.copy());
        }
        let seat = Rc::get_mut(seat).unwrap();
        seat.key.set(None);
        seat
    }

    pub(super) fn process(&mut self, member: usize) -> &mut Process {
        self.seat(member).process.as_mut().unwrap()
    }

    pub(super) fn running(&self, member: usize) -> Option<&Process> {
        self.seats[member].process.as_ref()
    }

    pub(super) fn rules(&self, member: usize) -> &Ownership {
        &self.running(member).unwrap().rules
    }

    pub(super) fn snapshot(&self, member: usize) -> &Arc<Snapshot> {
        &self.running(member).unwrap().snapshot
    }

    pub(super) fn view(&self, layout: usize, member: usize) -> Arc<View> {
        self.setting.view(layout, member).unwrap().clone()
    }

    /// A fresh process.
    pub(super) fn start(&mut self, member: usize, layout: usize, at: u8) {
        self.start_with(member, layout, at, None);
    }

    /// A process that was left what the one before knew, when that was not long ago.
    pub(super) fn start_with(
        &mut self,
        member: usize,
        layout: usize,
        at: u8,
        left: Option<&(Memory, Duration)>,
    ) {
        let (view, now, rules) = (self.view(layout, member), self.now, self.setting.rules);
        let seat = self.seat(member);
        assert!(seat.process.is_none());
        seat.starts += 1;
        let process = process_id(member, seat.starts);
        let (rules, snapshot) =
            Ownership::new(process, view, replica(member, at), rules, left, now);
        seat.process = Some(Process {
            rules,
            snapshot,
            layout,
            awake: now,
            stopped: false,
            last_request: [None; IDS.len()],
            known_view: [(None, Moment::ZERO); IDS.len()],
            counted: None,
            generation: 0,
        });
    }

    /// The process ends at once, and its replica goes on with what it has.
    pub(super) fn crash(&mut self, member: usize) {
        let until = self.now + self.setting.rules.aftermath;
        let seat = self.seat(member);
        seat.process = None;
        seat.nobody_waits(until);
    }

    pub(super) fn restart(&mut self, member: usize, layout: usize, at: u8) {
        self.crash(member);
        self.start(member, layout, at);
    }

    pub(super) fn reload(&mut self, member: usize, layout: usize) -> Vec<Effect> {
        let (view, rules) = (self.view(layout, member), self.setting.rules);
        let process = self.process(member);
        process.generation += 1;
        process.layout = layout;
        let event = Event::ViewTaken {
            generation: process.generation,
            view,
            replica: process.rules.ledger.replica().clone(),
            rules,
        };
        self.step(member, event)
    }

    pub(super) fn move_replica(&mut self, member: usize, to: u8) -> Vec<Effect> {
        let event = Event::ReplicaMoved {
            generation: self.process(member).generation,
            replica: replica(member, to),
        };
        self.step(member, event)
    }

    pub(super) fn step(&mut self, member: usize, event: Event) -> Vec<Effect> {
        let now = self.now;
        let process = self.process(member);
        let effects = process.rules.step(event, now);
        for effect in &effects {
            if let Effect::Publish(snapshot) = effect {
                process.snapshot = snapshot.clone();
            }
        }
        process.awake = now;
        effects
    }

    /// One asks another, who tells it.
    pub(super) fn ask(&mut self, asker: usize, asked: usize) -> Vec<Effect> {
        let question = self.question(asker, asked, true);
        self.arrive(asker, asked, question)
    }

    /// A question goes out; if it gets there, the answer is made at once.
    pub(super) fn question(&mut self, asker: usize, asked: usize, gets_there: bool) -> Question {
        let process = self.running(asker).unwrap();
        let fields = Asker {
            member: Some(member_id(asker)),
            process: process.rules.process.clone(),
            view: Some(*process.rules.view.fingerprint()),
            knows: process.rules.known_views(&party(asked)),
            wants_witness: process.rules.wants_witness(),
        };
        let (round, asked_at) = (process.snapshot.round, self.now);
        let replica = process.snapshot.replica().clone();
        let answers = |process: &Process| !process.stopped;
        let report = (gets_there && self.running(asked).is_some_and(answers)).then(|| {
            // Of what happens in one tick, a request comes before a question that nobody answers.
            let came = Some(asked_at - Duration::from_millis(1));
            if self.running(asked).unwrap().last_request[asker] != came {
                self.process(asked).last_request[asker] = came;
            }
            let (member, view) = (member_id(asker), fields.view);
            let known = self.running(asked).unwrap();
            let known_view = known.known_view[asker];
            let asks = known.rules.parties.get(&party(asker));
            let tells = asks.is_some_and(|party| party.asked)
                && known.rules.knows_replica(&member, &replica);
            if known_view != (view, asked_at) {
                self.process(asked).known_view[asker] = (view, asked_at);
            }
            if known_view.0 != view || !tells {
                let replica = Some(replica);
                let event = Event::Asked {
                    member,
                    view,
                    replica,
                };
                self.step(asked, event);
            }
            self.rules(asked).report(&fields, asked_at)
        });
        Question {
            round,
            asked_at,
            report,
        }
    }

    pub(super) fn arrive(&mut self, asker: usize, asked: usize, question: Question) -> Vec<Effect> {
        let party = party(asked);
        let event = match question.report {
            Some(report) => {
                let view = report.view.parse().ok();
                let (shown, shown_at) = self.running(asker).unwrap().known_view[asked];
                if shown != view {
                    self.process(asker).known_view[asked] = (view, Moment::ZERO);
                }
                Event::Told {
                    party,
                    round: question.round,
                    asked_at: question.asked_at,
                    contradicted_at: (shown != view).then_some(shown_at),
                    reply: Reply::Report(Box::new(report)),
                }
            }
            None => Event::Unanswered {
                party,
                round: question.round,
                asked_at: question.asked_at,
                last_request: self.running(asker).unwrap().last_request[asked],
                why: self.why_no_answer(asked),
            },
        };
        self.step(asker, event)
    }

    fn why_no_answer(&self, asked: usize) -> NoAnswer {
        match self.running(asked) {
            Some(_) => NoAnswer::Silent,
            None => NoAnswer::Refused,
        }
    }

    /// Nobody answers, for another reason than silence.
    pub(super) fn no_answer(&mut self, asker: usize, asked: usize, why: NoAnswer) -> Vec<Effect> {
        let process = self.running(asker).unwrap();
        let event = Event::Unanswered {
            party: party(asked),
            round: process.snapshot.round,
            asked_at: self.now,
            last_request: process.last_request[asked],
            why,
        };
        self.step(asker, event)
    }

    /// For `aftermath`, some let the time pass whenever they are asked.
    pub(super) fn cannot_ask(&mut self, asker: usize, asked: &[usize]) {
        let aftermath = self.setting.rules.aftermath.as_secs() / TICK.as_secs();
        for tick in 0..=aftermath {
            for asked in asked {
                self.no_answer(asker, *asked, NoAnswer::Silent);
            }
            if tick < aftermath {
                self.tick();
            }
        }
    }

    /// Somebody answers, and it is no report.
    pub(super) fn tell(&mut self, asker: usize, asked: usize, reply: Reply) -> Vec<Effect> {
        let event = Event::Told {
            party: party(asked),
            round: self.snapshot(asker).round,
            asked_at: self.now,
            contradicted_at: None,
            reply,
        };
        self.step(asker, event)
    }

    /// Whom a member asks.
    pub(super) fn asked_by(&self, asker: usize) -> Vec<usize> {
        let rules = self.rules(asker);
        let number = |party: &PartyId| IDS.iter().position(|id| *id == party.member.as_str());
        rules.asked_parties().filter_map(number).collect()
    }

    /// Everybody asks everybody, twice, so that news of the first time get around.
    pub(super) fn all_ask(&mut self) {
        for _ in 0..2 {
            for asker in 0..IDS.len() {
                if self.running(asker).is_none_or(|process| process.stopped) {
                    continue;
                }
                for asked in self.asked_by(asker) {
                    self.ask(asker, asked);
                }
            }
        }
    }

    pub(super) fn tick(&mut self) {
        self.now += TICK;
        let now = self.now;
        for member in 0..IDS.len() {
            self.seat(member).time_has_come(now);
            if self.running(member).is_some_and(|process| !process.stopped) {
                self.step(member, Event::Tick);
            }
        }
    }

    pub(super) fn pass(&mut self, ticks: u64) {
        (0..ticks).for_each(|_| self.tick());
    }

    /// Time passes, and everybody asks everybody all the while.
    pub(super) fn live(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
            self.all_ask();
        }
    }

    /// A process stops, or goes on. While it does not run, its writes end within `aftermath`.
    pub(super) fn stop(&mut self, member: usize, stopped: bool) {
        let until = self.now + self.setting.rules.aftermath;
        self.process(member).stopped = stopped;
        for working in &mut self.seat(member).at_replica {
            if working.guard.is_some() {
                working.until = stopped.then_some(until);
            }
        }
    }
}
