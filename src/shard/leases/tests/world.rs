//! A fleet, its store and its clients, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::event::{Answer, Call, CallId, Effect, Event, Note};
use super::super::record::{LeaseState, Policy};
use super::super::{Departure, Setup};
use super::node::{Ledger, Node, Process, Write};
use super::plan::{Plan, SECOND};
use super::store::Store;
use crate::shard::members::Weight;
use crate::shard::members::tests::{id, members};
use crate::shard::pins::Pins;
use crate::shard::placement::HashKey;
use crate::shard::view::View;

/// What happens at some moment.
#[derive(Debug)]
pub(super) enum Happening {
    Tick(usize, u64),
    Carry(usize, u64, CallId, Call, Fate),
    Tell(usize, u64, Event),
    Reload(usize, u64),
    Begin,
    LastByte(u64),
    Send(u64),
    Done(u64),
    Killed(usize, u64),
    Watch(usize, u64),
    Start(usize),
    End(usize, u64),
    Trouble,
    Reach(usize),
    StoreIsBack,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Answered,
    AnswerLost,
    Late,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) now: Duration,
    /// By their moments, and in the order in which they were asked for.
    queue: BTreeMap<(Duration, u64), Box<Happening>>,
    sequence: u64,
    /// So many of them have happened: how long the trace of this run is.
    pub(super) steps: u64,
    /// Whether it is printed.
    is_traced: bool,
    pub(super) processes: u64,
    pub(super) store: Store,
    pub(super) store_is_away: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) writes: BTreeMap<u64, Write>,
    /// Until when each process does nothing.
    pub(super) stopped: BTreeMap<u64, Duration>,
    pub(super) troubles_end: Duration,
    /// So nobody has a reason to be fenced.
    pub(super) only_outages: bool,
    pub(super) admitted: u64,
    pub(super) finished: u64,
    pub(super) fences: u64,
    /// What must not be.
    pub(super) fault: Option<String>,
}

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// So many times in a thousand.
    pub(super) fn happens(&mut self, per_thousand: u64) -> bool {
        self.below(1000) < per_thousand
    }

    pub(super) fn time(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_micros()).unwrap();
        from + Duration::from_micros(self.below(span))
    }
}

pub(super) const MILLI: Duration = Duration::from_millis(1);

impl World {
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let mut world = Self {
            troubles_end: plan.lasts,
            only_outages: plan.outages > 0 && plan.lost + plan.crashes == 0,
            plan: plan.clone(),
            random: Random(seed),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            is_traced: std::env::var_os("SHARDLET_TRACE").is_some(),
            processes: 0,
            store: Store::default(),
            store_is_away: false,
            nodes: Vec::new(),
            writes: BTreeMap::new(),
            stopped: BTreeMap::new(),
            admitted: 0,
            finished: 0,
            fences: 0,
            fault: None,
        };
        for index in 0..plan.members {
            let speed = 1000 - u64::from(plan.timing.drift) / 2
                + world.random.below(u64::from(plan.timing.drift) + 1);
            world.nodes.push(Node {
                setup: setup(plan, index),
                process: None,
                clone: None,
                replica: 0,
                cut_off: false,
                speed,
                slews: Vec::new(),
                wall_stands: plan.wall_stands,
                lost: Vec::new(),
                ahead: Duration::from_secs(1_000_000),
                gone: index >= plan.running,
            });
            if index < plan.running {
                let at = world.random.time(Duration::ZERO, SECOND);
                world.at(at, Happening::Start(index));
            }
        }
        world.at(SECOND, Happening::Begin);
        world.at(SECOND * 15, Happening::Trouble);
        world
    }

    /// Runs the plan to its end, then lets everything heal, and sees that it has.
    pub(super) fn run(mut self) -> Self {
        self.run_until(self.plan.lasts);
        self.heal();
        let (begin, longest) = (self.plan.lasts, SECOND * 130);
        // Until then somebody may start who was on the way out.
        self.run_until(begin + SECOND * 50);
        let mut unhealed = self.unhealed();
        while unhealed.is_some() && self.now < begin + longest && self.fault.is_none() {
            self.run_until(self.now + SECOND);
            unhealed = self.unhealed();
        }
        self.fault = self.fault.or(unhealed);
        self
    }

    pub(super) fn run_until(&mut self, end: Duration) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end || self.fault.is_some() {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.steps += 1;
            if self.is_traced {
                println!("{:>9.3} {happening:?}", self.now.as_secs_f64());
            }
            self.happens(*happening);
        }
        self.now = self.now.max(end);
    }

    pub(super) fn at(&mut self, at: Duration, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), Box::new(happening));
    }

    pub(super) fn soon(&mut self, from: Duration, to: Duration, happening: Happening) {
        let at = self.now + self.random.time(from, to);
        self.at(at, happening);
    }

    fn happens(&mut self, happening: Happening) {
        if let Some(at) = self.waits(&happening) {
            // Who is let go on has everything at once, in any order.
            let at = at + self.random.time(Duration::ZERO, MILLI * 20);
            return self.at(at, happening);
        }
        match happening {
            Happening::Tick(node, process) => {
                if self.tell(node, process, Event::Tick) {
                    let at = self.now + MILLI * 200;
                    self.at(at, Happening::Tick(node, process));
                }
            }
            Happening::Carry(node, process, id, call, fate) => {
                self.carry(node, process, id, &call, fate);
            }
            Happening::Tell(node, process, event) => {
                self.tell(node, process, event);
            }
            Happening::Reload(node, process) => self.reload(node, process),
            Happening::Begin => self.begin_write(),
            Happening::LastByte(write) => self.last_byte(write),
            Happening::Send(write) => self.send(write),
            Happening::Done(write) => self.end_write(write, true),
            Happening::Killed(node, replica) => self.replica_is_dead(node, replica),
            Happening::Watch(node, process) => self.watch(node, process),
            Happening::Start(node) => self.start(node),
            Happening::End(node, process) => {
                if self.nodes[node]
                    .process
                    .as_ref()
                    .is_some_and(|at| at.number == process)
                {
                    self.crash(node);
                }
            }
            Happening::Trouble => self.trouble(),
            Happening::Reach(node) => self.nodes[node].cut_off = false,
            Happening::StoreIsBack => self.store_is_away = false,
        }
    }

    /// When a process that is stopped goes on, if this is for it.
    fn waits(&self, happening: &Happening) -> Option<Duration> {
        let process = match happening {
            Happening::Tick(_, process)
            | Happening::Tell(_, process, _)
            | Happening::Reload(_, process) => *process,
            Happening::LastByte(write) | Happening::Send(write) => self.writes.get(write)?.process,
            Happening::Carry(..)
            | Happening::Begin
            | Happening::Done(_)
            | Happening::Killed(..)
            | Happening::Watch(..)
            | Happening::Start(_)
            | Happening::End(..)
            | Happening::Trouble
            | Happening::Reach(_)
            | Happening::StoreIsBack => return None,
        };
        let until = self.stopped.get(&process)?;
        (*until > self.now).then_some(*until)
    }

    pub(super) fn process(&mut self, node: usize, number: u64) -> Option<&mut Process> {
        let node = &mut self.nodes[node];
        let both = node.process.iter_mut().chain(node.clone.iter_mut());
        both.into_iter().find(|process| process.number == number)
    }

    /// Whether it is still there.
    pub(super) fn tell(&mut self, node: usize, number: u64, event: Event) -> bool {
        let clock = self.nodes[node].clock(self.now);
        let Some(process) = self.process(node, number) else {
            return false;
        };
        if process.is_static {
            return true;
        }
        let ledger = process.ledger.clone();
        let goes = matches!(event, Event::Go(_));
        let effects = process.coordinator.step(event, clock, &ledger);
        if goes && self.random.happens(self.plan.races) {
            self.admit_before_effects(node, number);
        }
        for effect in effects {
            self.carry_out(node, number, effect);
        }
        true
    }

    fn carry_out(&mut self, node: usize, number: u64, effect: Effect) {
        match effect {
            Effect::Call(id, call) => self.call(node, number, id, call),
            Effect::Adopt(layout) => {
                let event = Event::Adopted(layout.epoch());
                self.soon(MILLI, MILLI * 30, Happening::Tell(node, number, event));
            }
            Effect::Publish(snapshot) => {
                if let Some(process) = self.process(node, number) {
                    process.snapshot = Some(snapshot);
                }
            }
            Effect::CutLost(layout) => self.cut(node, number, Some(&layout)),
            Effect::CutAll => self.cut(node, number, None),
            Effect::KillReplica => {
                let replica = self.nodes[node].replica;
                self.soon(MILLI * 50, SECOND * 2, Happening::Killed(node, replica));
            }
            Effect::Poke => {
                for other in 0..self.nodes.len() {
                    let is_lost = self.random.happens(self.plan.pokes_lost);
                    let process = self.nodes[other].process.as_ref();
                    if let Some(process) = process.filter(|_| other != node && !is_lost) {
                        let poke = Happening::Tell(other, process.number, Event::Poked);
                        self.soon(MILLI, MILLI * 50, poke);
                    }
                }
            }
            Effect::Gone(departure) => {
                let then = match departure {
                    Departure::Leave => (SECOND * 5, SECOND * 40),
                    Departure::Park => (MILLI * 200, SECOND * 3),
                };
                self.remove(node);
                if self.now < self.troubles_end {
                    self.soon(then.0, then.1, Happening::Start(node));
                }
            }
            Effect::Note(Note::Frozen(fault)) if self.plan.clones == 0 => {
                self.fault = Some(format!(
                    "{} is frozen: {fault:?}",
                    self.nodes[node].setup.id
                ));
            }
            Effect::Note(_) => {}
        }
    }

    /// A call is on its way.
    fn call(&mut self, node: usize, number: u64, id: CallId, call: Call) {
        let given_up = Happening::Tell(
            node,
            number,
            Event::Answered {
                call: id,
                answer: Answer::Unknown,
            },
        );
        let at = self.now + SECOND;
        self.at(at, given_up);
        if self.nodes[node].cut_off || self.store_is_away || self.random.happens(self.plan.lost) {
            return;
        }
        let fate = if self.random.happens(self.plan.answer_lost) {
            Fate::AnswerLost
        } else if self.random.happens(self.plan.late) {
            Fate::Late
        } else {
            Fate::Answered
        };
        let longest = if fate == Fate::Late {
            SECOND * 5
        } else {
            self.plan.latency
        };
        self.soon(
            MILLI,
            longest,
            Happening::Carry(node, number, id, call, fate),
        );
    }

    fn carry(&mut self, node: usize, number: u64, id: CallId, call: &Call, fate: Fate) {
        let answer = self.store.carry_out(call);
        let answer = self.stray(call).unwrap_or(answer);
        if let (Call::PutLease(_, lease), Answer::Done(_)) = (call, &answer)
            && lease.state == LeaseState::Fenced
        {
            self.fences += 1;
            self.mind_fence(lease.id.as_str());
        }
        if fate != Fate::AnswerLost {
            let longest = if fate == Fate::Late {
                SECOND * 2
            } else {
                self.plan.latency
            };
            let event = Event::Answered { call: id, answer };
            self.soon(MILLI, longest, Happening::Tell(node, number, event));
        }
    }

    /// A wrong answer to a read.
    fn stray(&mut self, call: &Call) -> Option<Answer> {
        if !self.random.happens(self.plan.strays) {
            return None;
        }
        let unreadable = self.random.happens(500);
        match call {
            Call::PutView(..) | Call::PutLease(..) => None,
            _ if unreadable => Some(Answer::Unreadable),
            Call::ReadView => Some(Answer::View(None)),
            Call::ReadLease(_) => Some(Answer::Lease(None)),
            Call::List => None,
        }
    }

    /// Nobody is fenced whose lease lasts.
    fn mind_fence(&mut self, victim: &str) {
        let node = self
            .nodes
            .iter()
            .find(|node| node.setup.id.as_str() == victim);
        let Some(node) = node else { return };
        let Some(process) = &node.process else { return };
        let now = node.clock(self.now);
        let lasts = process
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.lasts(now));
        if lasts {
            self.fault = Some(format!("{victim} was fenced while its lease lasted"));
        }
        let stopped = self.stopped.contains_key(&process.number);
        if self.only_outages && !stopped && !node.cut_off {
            self.fault = Some(format!("{victim} was fenced for an outage of the store"));
        }
    }

    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let process = self.new_process(node, self.plan.proves_death);
        let number = process.number;
        let is_static = process.is_static;
        self.nodes[node].process = Some(process);
        self.nodes[node].gone = false;
        let at = self.now;
        self.at(at, Happening::Tick(node, number));
        if self.plan.statics && !is_static {
            let other = self.nodes[self.nodes.len() - 1].setup.id.clone();
            self.tell(node, number, Event::Differs(other));
        }
    }

    pub(super) fn new_process(&mut self, node: usize, before_is_dead: bool) -> Process {
        self.processes += 1;
        let mut setup = self.nodes[node].setup.clone();
        setup.dead_predecessor = before_is_dead.then_some(setup.process);
        setup.process = self.random.next();
        setup.replica = format!("replica-{}", self.nodes[node].replica);
        self.nodes[node].setup.process = setup.process;
        let ledger = Ledger::of(&setup.id);
        Process {
            number: self.processes,
            coordinator: super::super::Coordinator::new(setup),
            snapshot: None,
            ledger,
            is_static: self.plan.statics && node == self.nodes.len() - 1,
            told: vec![None; self.nodes.len()],
        }
    }

    pub(super) fn remove(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    pub(super) fn is_running(&self, process: u64) -> bool {
        self.stopped
            .get(&process)
            .is_none_or(|until| *until <= self.now)
    }
}

pub(super) fn setup(plan: &Plan, index: usize) -> Setup {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let key = HashKey::from(*b"loremipsumdolors");
    let like = View::new(members(&["a"], "a"), plan.placement, &key, Pins::default());
    let name = NAMES
        .get(index)
        .map_or_else(|| format!("m{index:03}"), |name| (*name).into());
    Setup {
        id: id(&name),
        process: 0,
        address: format!("{name}:5443").parse().unwrap(),
        weight: Weight::default(),
        replica: String::new(),
        policy: Policy::of(&like),
        like: Arc::new(like),
        dead_predecessor: None,
        timing: plan.timing,
        kills_replica: plan.kills_replica,
        replica_ends_with_us: plan.replica_ends_with_us,
    }
}
