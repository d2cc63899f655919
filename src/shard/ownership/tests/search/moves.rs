//! What may happen next in a small fleet.

use super::super::super::report::millis;
use super::super::super::{NoAnswer, WriteEnd};
use super::super::canon::Canon;
use super::super::fleet::{Fleet, Guard, IDS, Process, Question, Seat};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// The one repository.
pub(super) const REPOSITORY: &str = "repo";

/// One thing that happens, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    /// Another view by a reload.
    Reload(usize, usize),
    /// The process ends at once.
    Crash(usize),
    /// A fresh one, with a view and a replica.
    Start(usize, usize, u8),
    /// The process stops, and goes on.
    Stop(usize),
    Resume(usize),
    /// The replica has another address.
    ChangeReplica(usize, u8),
    /// A question and its answer at once; or its answer later; or one that gets lost.
    Ask(usize, usize),
    Send(usize, usize),
    Arrive(usize, usize),
    Lose(usize, usize),
    /// The two halves of the gate, and both at once.
    CountIn(usize),
    Judge(usize),
    Write(usize),
    /// The replica is done, and says so.
    Finish(usize),
    /// The member waits no longer.
    GiveUp(usize),
    Tick,
}

/// How often each may still happen.
#[derive(Clone, Copy, Default, Debug, Hash)]
pub(super) struct Budget {
    pub(super) reloads: u8,
    pub(super) crashes: u8,
    pub(super) stops: u8,
    pub(super) replicas: u8,
    pub(super) lost: u8,
    pub(super) given_up: u8,
}

/// What the rules do not decide, and a search wants to be otherwise.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner {
    /// Answers take their time: a question and its answer are two moves.
    pub(super) late: bool,
    /// Anything may happen between the halves of the gate. Only what retires the ledger matters: a
    /// report says the same before and after a write was counted in.
    pub(super) in_halves: bool,
    /// A write is judged before it is counted in.
    pub(super) judged_first: bool,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) fleet: Fleet,
    pub(super) budget: Budget,
    pub(super) manner: Manner,
    /// Who has asked whom since the last tick.
    asked: [[bool; IDS.len()]; IDS.len()],
    /// Answers on their way, by asker and asked.
    on_the_way: Vec<(usize, usize, Question)>,
}

impl State {
    pub(super) fn new(fleet: Fleet, budget: Budget) -> Self {
        Self {
            fleet,
            budget,
            manner: Manner::default(),
            asked: [[false; IDS.len()]; IDS.len()],
            on_the_way: Vec::new(),
        }
    }

    pub(super) fn has_two_writers(&self) -> bool {
        self.fleet.writers(REPOSITORY) > 1
    }

    /// The same for states that go on alike.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.budget, self.asked).hash(&mut hasher);
        for seat in &self.fleet.seats {
            self.key_of(seat).hash(&mut hasher);
        }
        for (asker, asked, question) in &self.on_the_way {
            let running = self.fleet.running(*asker);
            let round = running.map_or(0, |process| process.snapshot.round);
            let mut report = question.report.clone();
            if let Some(report) = &mut report {
                report.up_ms = report.up_ms.min(millis(self.fleet.setting.rules.aftermath));
            }
            let report = serde_json::to_string(&report).unwrap();
            let age = round.saturating_sub(question.round).min(2);
            (asker, asked, age, report).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn key_of(&self, seat: &Seat) -> u64 {
        let now = self.fleet.now;
        if let Some((at, key)) = seat.key.get()
            && at == now
        {
            return key;
        }
        let mut canon = Canon {
            setting: &self.fleet.setting,
            now,
            bytes: Vec::with_capacity(256),
        };
        canon.seat(seat);
        let mut hasher = DefaultHasher::new();
        canon.bytes.hash(&mut hasher);
        seat.key.set(Some((now, hasher.finish())));
        hasher.finish()
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for member in 0..IDS.len() {
            match self.fleet.running(member) {
                Some(process) if process.stopped => moves.push(Move::Resume(member)),
                Some(process) => self.moves_of(member, process, &mut moves),
                None => self.starts_of(member, &mut moves),
            }
            let waits = |working: &super::super::fleet::Working| working.guard.is_some();
            let seat = &self.fleet.seats[member];
            if !seat.at_replica.is_empty() {
                moves.push(Move::Finish(member));
            }
            if self.budget.given_up > 0 && seat.at_replica.iter().any(waits) {
                moves.push(Move::GiveUp(member));
            }
        }
        let answers = self.on_the_way.iter();
        moves.extend(answers.map(|(asker, asked, _)| Move::Arrive(*asker, *asked)));
        if self.may_tick() {
            moves.push(Move::Tick);
        }
        moves
    }

    /// A question takes no tick, and in each tick everybody asks everybody: probes are more
    /// frequent than `aftermath`.
    fn may_tick(&self) -> bool {
        let mut askers = (0..IDS.len()).filter(|asker| self.asks(*asker));
        let all = |asker: usize| {
            let mut asked = self.fleet.asked_by(asker).into_iter();
            asked.all(|asked| self.asked[asker][asked])
        };
        self.on_the_way.is_empty() && askers.all(all)
    }

    fn starts_of(&self, member: usize, moves: &mut Vec<Move>) {
        if self.fleet.seats[member].starts == 0 {
            return;
        }
        for layout in self.layouts_with(member) {
            moves.push(Move::Start(member, layout, 0));
            if self.budget.replicas > 0 {
                moves.push(Move::Start(member, layout, 1));
            }
        }
    }

    fn layouts_with(&self, member: usize) -> impl Iterator<Item = usize> {
        let setting = &self.fleet.setting;
        (0..setting.layouts()).filter(move |layout| setting.view(*layout, member).is_some())
    }

    fn moves_of(&self, member: usize, process: &Process, moves: &mut Vec<Move>) {
        let Budget {
            reloads,
            crashes,
            stops,
            replicas,
            lost,
            given_up: _,
        } = self.budget;
        if reloads > 0 {
            let others = self.layouts_with(member);
            let others = others.filter(|layout| *layout != process.layout);
            moves.extend(others.map(|layout| Move::Reload(member, layout)));
        }
        if crashes > 0 {
            moves.push(Move::Crash(member));
        }
        if stops > 0 {
            moves.push(Move::Stop(member));
        }
        if replicas > 0 {
            let now = process.rules.ledger.replica();
            let to = u8::from(*now == super::super::fleet::replica(member, 0));
            moves.push(Move::ChangeReplica(member, to));
        }
        for asked in self.fleet.asked_by(member) {
            // One question after the other.
            let mut under_way = self.on_the_way.iter();
            if under_way.any(|(asker, other, _)| (*asker, *other) == (member, asked)) {
                continue;
            }
            moves.push(if self.manner.late {
                Move::Send(member, asked)
            } else {
                Move::Ask(member, asked)
            });
            let there = self.fleet.running(asked);
            if lost > 0 && there.is_some_and(|process| !process.stopped) {
                moves.push(Move::Lose(member, asked));
            }
        }
        let view = process.snapshot.view();
        let owns = view.owner(&crate::shard::Repository::parse(REPOSITORY).unwrap());
        if process.counted.is_some() {
            moves.push(Move::Judge(member));
        } else if owns == view.members().local() && !self.is_busy(member, process) {
            moves.push(if self.manner.in_halves {
                Move::CountIn(member)
            } else {
                Move::Write(member)
            });
        }
    }

    /// Another write there would add nothing to the first.
    fn is_busy(&self, member: usize, process: &Process) -> bool {
        let replica = process.snapshot.replica();
        let mut working = self.fleet.seats[member].at_replica.iter();
        working.any(|working| working.replica == *replica)
    }

    pub(super) fn after(&self, taken: Move) -> Self {
        let mut next = self.clone();
        let (fleet, budget) = (&mut next.fleet, &mut next.budget);
        match taken {
            Move::Reload(member, layout) => {
                budget.reloads -= 1;
                fleet.reload(member, layout);
            }
            Move::Crash(member) => {
                budget.crashes -= 1;
                fleet.crash(member);
                next.forget(member);
            }
            Move::Start(member, layout, replica) => {
                budget.replicas -= replica;
                fleet.start(member, layout, replica);
            }
            Move::Stop(member) => {
                budget.stops -= 1;
                fleet.stop(member, true);
            }
            Move::Resume(member) => fleet.stop(member, false),
            Move::ChangeReplica(member, to) => {
                budget.replicas -= 1;
                fleet.move_replica(member, to);
            }
            Move::Ask(asker, asked) => {
                next.asked[asker][asked] = true;
                fleet.ask(asker, asked);
            }
            Move::Send(asker, asked) => {
                let question = fleet.question(asker, asked, true);
                next.on_the_way.push((asker, asked, question));
                next.on_the_way
                    .sort_by_key(|(asker, asked, _)| (*asker, *asked));
            }
            Move::Arrive(asker, asked) => next.arrive(asker, asked),
            Move::Lose(asker, asked) => {
                budget.lost -= 1;
                next.asked[asker][asked] = true;
                fleet.no_answer(asker, asked, NoAnswer::Silent);
            }
            Move::CountIn(member) => next.count_in(member),
            Move::Judge(member) => next.judge(member),
            Move::Write(member) => {
                fleet.write(member, REPOSITORY);
            }
            Move::Finish(member) => fleet.finish(member),
            Move::GiveUp(member) => {
                budget.given_up -= 1;
                fleet.give_up(member);
            }
            Move::Tick => {
                next.asked = Default::default();
                fleet.tick();
            }
        }
        next.skip_idle_questions();
        next
    }

    /// A process is no more: what it asked and what it would have told. Its successor speaks later.
    fn forget(&mut self, member: usize) {
        self.asked[member] = Default::default();
        self.on_the_way.retain(|(asker, ..)| *asker != member);
        for (_, asked, question) in &mut self.on_the_way {
            if *asked == member {
                question.report = None;
            }
        }
    }

    fn arrive(&mut self, asker: usize, asked: usize) {
        let is_it = |(one, other, _): &(usize, usize, Question)| (*one, *other) == (asker, asked);
        let at = self.on_the_way.iter().position(is_it).unwrap();
        let (.., question) = self.on_the_way.remove(at);
        self.asked[asker][asked] = true;
        self.fleet.arrive(asker, asked, question);
    }

    /// Questions that change nothing are asked at once: they can be asked again at any time.
    fn skip_idle_questions(&mut self) {
        let askers: Vec<usize> = (0..IDS.len()).filter(|asker| self.asks(*asker)).collect();
        for asker in askers {
            for asked in self.fleet.asked_by(asker) {
                if self.asked[asker][asked] {
                    continue;
                }
                let mut after = self.fleet.clone();
                after.ask(asker, asked);
                let mut seats = self.fleet.seats.iter().zip(&after.seats);
                let same = seats.all(|(one, other)| self.key_of(one) == self.key_of(other));
                self.asked[asker][asked] = same;
            }
        }
    }

    fn asks(&self, member: usize) -> bool {
        let running = self.fleet.running(member);
        running.is_some_and(|process| !process.stopped)
    }

    /// The first half of the gate; or the second, where it is judged first.
    fn count_in(&mut self, member: usize) {
        if !self.manner.judged_first {
            self.fleet.count_in(member, REPOSITORY);
        } else if self.fleet.may_write(member, REPOSITORY) {
            self.fleet.count_in(member, REPOSITORY);
            let counted = self.fleet.process(member).counted.as_ref();
            counted.unwrap().ends(WriteEnd::Done);
        }
    }

    fn judge(&mut self, member: usize) {
        if !self.manner.judged_first {
            self.fleet.judge(member);
            return;
        }
        let guard = self.fleet.process(member).counted.take().unwrap();
        if let Some(write) = guard.ledger.begin(&Arc::from(REPOSITORY), false) {
            let write = Rc::new(write);
            self.fleet.send(member, Guard { write, ..guard });
        }
    }
}
