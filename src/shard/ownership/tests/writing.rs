//! Writes of a fleet: the steps of the gate, and what becomes of them at the replica.

use std::rc::Rc;
use std::sync::Arc;

use super::super::{Moment, Verdict, WriteEnd};
use super::fleet::{Fleet, Guard, Process, Seat, Working};
use crate::shard::Repository;

impl Fleet {
    /// The first half of the gate. False if the generation is over, or the repository another's.
    pub(super) fn count_in(&mut self, member: usize, repository: &'static str) -> bool {
        let process = self.process(member);
        let ledger = process.snapshot.ledger.clone();
        let write = ledger.begin(&Arc::from(repository), false);
        process.counted = write.map(|write| Guard {
            ledger,
            write: Rc::new(write),
            repository,
        });
        process.counted.is_some()
    }

    /// The second half: what is admitted is at the replica. None if the generation is over.
    pub(super) fn judge(&mut self, member: usize) -> Option<Verdict> {
        let now = self.now;
        let process = self.process(member);
        let guard = process.counted.take().unwrap();
        if !Arc::ptr_eq(&process.snapshot.ledger, &guard.ledger) {
            guard.ends(WriteEnd::Done);
            return None;
        }
        let verdict = process.verdict(guard.repository, now);
        if verdict == Verdict::Admit {
            self.send(member, guard);
        } else {
            guard.ends(WriteEnd::Done);
        }
        Some(verdict)
    }

    pub(super) fn send(&mut self, member: usize, guard: Guard) {
        self.seat(member).at_replica.push(Working {
            replica: guard.ledger.replica().clone(),
            repository: guard.repository,
            guard: Some(guard),
            until: None,
        });
    }

    /// Both halves.
    pub(super) fn write(&mut self, member: usize, repository: &'static str) -> Verdict {
        assert!(self.count_in(member, repository));
        self.judge(member).unwrap()
    }

    /// Whether a write may go; it does not.
    pub(super) fn verdict(&self, member: usize, repository: &str) -> Verdict {
        self.running(member).unwrap().verdict(repository, self.now)
    }

    pub(super) fn may_write(&self, member: usize, repository: &str) -> bool {
        self.verdict(member, repository) == Verdict::Admit
    }

    /// The replica is done with everything, and whoever waits is told.
    pub(super) fn finish(&mut self, member: usize) {
        for working in self.seat(member).at_replica.drain(..) {
            if let Some(guard) = working.guard {
                guard.ends(WriteEnd::Done);
            }
        }
    }

    /// The member stops to wait; the replica goes on.
    pub(super) fn give_up(&mut self, member: usize) {
        let until = self.now + self.setting.rules.aftermath;
        for working in &mut self.seat(member).at_replica {
            if let Some(guard) = working.guard.take() {
                guard.ends(WriteEnd::Orphaned { until });
                working.until = Some(until);
            }
        }
    }

    /// How many replicas write a repository.
    pub(super) fn writers(&self, repository: &str) -> usize {
        let working = self.seats.iter().flat_map(|seat| &seat.at_replica);
        let working = working.filter(|working| working.repository == repository);
        let mut replicas: Vec<&str> = working.map(|working| working.replica.as_str()).collect();
        replicas.sort_unstable();
        replicas.dedup();
        replicas.len()
    }
}

impl Process {
    pub(super) fn verdict(&self, repository: &str, now: Moment) -> Verdict {
        let repository = Repository::parse(repository).unwrap();
        self.snapshot.may_write(&repository, now, self.awake)
    }
}

impl Seat {
    /// Writes that nobody waits for, or nobody who runs, have ended by now.
    pub(super) fn time_has_come(&mut self, now: Moment) {
        self.at_replica.retain(|working| {
            let goes_on = working.until.is_none_or(|until| now < until);
            if let (false, Some(guard)) = (goes_on, &working.guard) {
                guard.ends(WriteEnd::Done);
            }
            goes_on
        });
    }

    /// What the replica has in hand ends within `aftermath` from now.
    pub(super) fn nobody_waits(&mut self, until: Moment) {
        for working in &mut self.at_replica {
            if working.guard.take().is_some() {
                working.until = Some(until);
            }
        }
    }
}

impl Guard {
    pub(super) fn ends(&self, end: WriteEnd) {
        self.ledger.end(*self.write, end);
    }
}
