//! Members without a fleet: a stand-in for a driver that is told what happens, one event at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::event::{Call, CallId, Condition, Effect, Event, Note};
use super::super::record::{
    Arrangement, Epoch, Incarnation, Lease, LeaseState, Nonce, Seat, ViewRecord,
};
use super::super::{Clock, Coordinator, Departure, Setup, Snapshot, Wait};
use super::node::{Entry, Ledger, repository};
use super::plan::{Plan, SECOND};
use super::store::Store;
use super::world::{MILLI, setup};

/// A process, and what its driver keeps. Effects are carried out in their order, events one by one.
pub(super) struct One {
    pub(super) coordinator: Coordinator,
    pub(super) ledger: Ledger,
    pub(super) calls: Vec<(CallId, Call)>,
    pub(super) notes: Vec<Note>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) gone: Option<Departure>,
    pub(super) kills: usize,
    pub(super) cut_all: usize,
    pub(super) cut_lost: usize,
    pub(super) wall_ahead: Duration,
    pub(super) raw_ahead: Duration,
}

impl One {
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            ledger: Ledger::of(&setup.id),
            coordinator: Coordinator::new(setup),
            calls: Vec::new(),
            notes: Vec::new(),
            snapshot: None,
            gone: None,
            kills: 0,
            cut_all: 0,
            cut_lost: 0,
            wall_ahead: SECOND * 1000,
            raw_ahead: SECOND * 1000,
        }
    }

    pub(super) fn clock(&self, now: Duration) -> Clock {
        Clock {
            boot: now,
            wall: now + self.wall_ahead,
            raw: now + self.raw_ahead,
        }
    }

    pub(super) fn tell(&mut self, event: Event, now: Duration) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let clock = self.clock(now);
            for effect in self.coordinator.step(event, clock, &self.ledger.clone()) {
                match effect {
                    Effect::Call(id, call) => self.calls.push((id, call)),
                    Effect::Adopt(layout) => events.push_back(Event::Adopted(layout.epoch())),
                    Effect::Publish(snapshot) => self.snapshot = Some(snapshot),
                    Effect::Gone(departure) => self.gone = Some(departure),
                    Effect::KillReplica => self.kills += 1,
                    Effect::CutAll => self.cut_all += 1,
                    Effect::Note(note) => self.notes.push(note),
                    Effect::CutLost(_) => self.cut_lost += 1,
                    Effect::Poke => {}
                }
            }
        }
    }

    /// The store carries out what was asked, and answers at once.
    pub(super) fn answer(&mut self, store: &mut Store, now: Duration) {
        for (id, call) in std::mem::take(&mut self.calls) {
            let answer = store.carry_out(&call);
            self.tell(Event::Answered { call: id, answer }, now);
        }
    }

    pub(super) fn may_write(&self, index: usize, now: Duration) -> Result<Incarnation, Wait> {
        let snapshot = self.snapshot.as_ref().unwrap();
        snapshot.may_write(&repository(index), None, self.clock(now))
    }

    pub(super) fn begins_write(&self, index: usize) {
        self.ledger.entries.borrow_mut().push(Entry {
            write: 1,
            repository: index,
            orphaned_until: None,
        });
    }
}

/// Time passes for these, with a store that answers.
pub(super) fn pass(time: Duration, now: &mut Duration, store: &mut Store, ones: &mut [&mut One]) {
    let end = *now + time;
    while *now < end {
        *now += MILLI * 100;
        for one in ones.iter_mut() {
            one.tell(Event::Tick, *now);
            for _ in 0..4 {
                one.answer(store, *now);
            }
        }
    }
}

pub(super) fn numbered(plan: &Plan, index: usize, process: u64) -> Setup {
    Setup {
        process,
        replica: format!("replica-{process}"),
        ..setup(plan, index)
    }
}

pub(super) fn seat(of: &Setup) -> Seat {
    Seat {
        id: of.id.clone(),
        incarnation: Incarnation(1),
        address: of.address.clone(),
        weight: of.weight,
    }
}

pub(super) fn lease(of: &Setup, acked: u64) -> Lease {
    Lease {
        id: of.id.clone(),
        incarnation: Incarnation(1),
        version: 1,
        nonce: Nonce {
            process: 1000 + of.process,
            call: 1,
        },
        state: LeaseState::Live,
        lasts_ms: 10_000,
        grace_ms: 5_000,
        acked: Epoch(acked),
        address: of.address.clone(),
        weight: of.weight,
        replica: of.replica.clone(),
        policy: of.policy.id(),
        inherited: false,
    }
}

pub(super) fn put_lease(store: &mut Store, lease: Lease) {
    let condition = Condition::Always;
    store.carry_out(&Call::PutLease(condition, lease));
}

pub(super) fn put_view(
    store: &mut Store,
    epoch: u64,
    seats: Vec<Seat>,
    chain: Vec<Arrangement>,
    of: &Setup,
) {
    let record = ViewRecord {
        nonce: Nonce {
            process: 999,
            call: epoch,
        },
        now: Arrangement {
            epoch: Epoch(epoch),
            members: seats,
            policy: of.policy.clone(),
        },
        chain,
        fenced: 0,
    };
    store.carry_out(&Call::PutView(Condition::Always, record));
}

pub(super) fn the_view(store: &Store) -> ViewRecord {
    store.view.as_ref().unwrap().0.clone()
}

/// The only member of a settled view.
pub(super) fn alone(setup: Setup) -> (One, Store, Duration) {
    let (mut one, mut store, mut now) = (One::new(setup), Store::default(), SECOND);
    pass(SECOND * 3, &mut now, &mut store, &mut [&mut one]);
    assert!(one.may_write(0, now).is_ok());
    (one, store, now)
}
