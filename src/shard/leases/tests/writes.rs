//! What clients write, and who must not write at the same time.

use std::time::Duration;

use super::super::record::Incarnation;
use super::super::{Event, Layout, Wait};
use super::node::{Entry, REPOSITORIES, Stage, Write, planned, repository};
use super::plan::SECOND;
use super::world::{Happening, MILLI, World};

impl World {
    pub(super) fn begin_write(&mut self) {
        if self.now < self.plan.lasts {
            let mean = SECOND * 1000 / u32::try_from(self.plan.writes).unwrap();
            self.soon(Duration::ZERO, mean * 2, Happening::Begin);
        }
        let wanted = usize::try_from(self.random.below(REPOSITORIES.len() as u64)).unwrap();
        let arrival = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap();
        if self.random.happens(300) && self.nodes[arrival].clone.is_some() {
            return self.admit(arrival, true, wanted);
        }
        let Some(owner) = self.owner(arrival, wanted) else {
            return;
        };
        self.admit(owner, false, wanted);
    }

    pub(super) fn owner(&self, arrival: usize, wanted: usize) -> Option<usize> {
        let process = self.nodes[arrival].process.as_ref()?;
        if process.is_static {
            return Some(arrival);
        }
        let layout = process.snapshot.as_ref()?.layout()?;
        let (owner, _) = layout.owner(&repository(wanted));
        self.nodes.iter().position(|node| node.setup.id == *owner)
    }

    pub(super) fn admit(&mut self, node: usize, by_clone: bool, wanted: usize) {
        let now = self.nodes[node].clock(self.now);
        let replica = self.nodes[node].replica + if by_clone { 1000 } else { 0 };
        let place = &self.nodes[node];
        let process = if by_clone {
            &place.clone
        } else {
            &place.process
        };
        let Some(process) = process else { return };
        if !self.is_running(process.number) {
            return;
        }
        let incarnation = match (&process.snapshot, process.is_static) {
            (_, true) => Ok(Incarnation(0)),
            (Some(snapshot), false) => {
                let repository = repository(wanted);
                let planned = snapshot.layout().map(|layout| planned(layout, &repository));
                snapshot.may_write(&repository, planned, now)
            }
            (None, false) => Err(Wait::Starting),
        };
        let number = process.number;
        match incarnation {
            Ok(incarnation) => {
                self.admitted += 1;
                let write = self.admitted;
                let entry = Entry {
                    write,
                    repository: wanted,
                    orphaned_until: None,
                };
                process.ledger.entries.borrow_mut().push(entry);
                self.writes.insert(
                    write,
                    Write {
                        id: write,
                        repository: wanted,
                        node,
                        process: number,
                        replica,
                        incarnation,
                        stage: Stage::Body,
                    },
                );
                let body = self.plan.body;
                self.soon(MILLI, body, Happening::LastByte(write));
            }
            Err(Wait::Acknowledgement(member)) => {
                self.tell(node, number, Event::Wanted(member));
            }
            Err(_) => {}
        }
    }

    /// A request that reads the snapshot of before the step that was just taken.
    pub(super) fn admit_before_effects(&mut self, node: usize, number: u64) {
        let now = self.nodes[node].clock(self.now);
        let process = self.nodes[node].process.as_ref();
        let snapshot = process
            .filter(|at| at.number == number)
            .and_then(|at| at.snapshot.clone());
        let Some(snapshot) = snapshot else { return };
        let admits = |index: &usize| snapshot.may_write(&repository(*index), None, now).is_ok();
        if let Some(index) = (0..REPOSITORIES.len()).find(admits) {
            self.admit(node, false, index);
        }
    }

    pub(super) fn last_byte(&mut self, write: u64) {
        let Some(known) = self.writes.get(&write) else {
            return;
        };
        let (node, number, incarnation) = (known.node, known.process, known.incarnation);
        let now = self.nodes[node].clock(self.now);
        let Some(process) = self.process(node, number) else {
            return self.end_write(write, false);
        };
        let snapshot = process.snapshot.as_ref();
        if !process.is_static && snapshot.is_none_or(|at| !at.may_finish(incarnation, now)) {
            return self.end_write(write, false);
        }
        if self.plan.stops_at_last_byte && self.random.happens(20) {
            self.stop(node, SECOND * 15, SECOND * 40);
            let at = self.now;
            return self.at(at, Happening::Send(write));
        }
        self.send(write);
    }

    /// The replica has the whole of it, and nothing can stop it any more.
    pub(super) fn send(&mut self, write: u64) {
        let Some(known) = self.writes.get(&write).cloned() else {
            return;
        };
        let place = &self.nodes[known.node];
        let both = place.process.iter().chain(&place.clone);
        if known.stage != Stage::Body || !both.into_iter().any(|at| at.number == known.process) {
            return self.end_write(write, false);
        }
        let at = |write: &Write| (write.node, write.replica);
        let beside = self.writes.values().find(|other| {
            other.stage == Stage::Sent
                && other.repository == known.repository
                && at(other) != at(&known)
        });
        if let Some(beside) = beside {
            self.fault = Some(format!(
                "after {:.1} s {} writes {} beside {}",
                self.now.as_secs_f64(),
                self.nodes[known.node].setup.id,
                REPOSITORIES[known.repository],
                self.nodes[beside.node].setup.id,
            ));
        }
        if let Some(write) = self.writes.get_mut(&write) {
            write.stage = Stage::Sent;
        }
        let tail = self.plan.tail;
        self.soon(MILLI, tail, Happening::Done(write));
    }

    pub(super) fn end_write(&mut self, write: u64, finished: bool) {
        let Some(ended) = self.writes.remove(&write) else {
            return;
        };
        self.finished += u64::from(finished);
        if let Some(process) = self.process(ended.node, ended.process) {
            let mut entries = process.ledger.entries.borrow_mut();
            entries.retain(|entry| entry.write != write || entry.orphaned_until.is_some());
        }
    }

    /// Nobody waits any more for what is under way: all, or what this layout gives to others.
    pub(super) fn cut(&mut self, node: usize, number: u64, lost_by: Option<&Layout>) {
        let until = self.nodes[node].clock(self.now).boot + self.plan.timing.grace;
        let us = self.nodes[node].setup.id.clone();
        let Some(process) = self.process(node, number) else {
            return;
        };
        let ledger = process.ledger.clone();
        let mut ended = Vec::new();
        for entry in ledger.entries.borrow_mut().iter_mut() {
            let owner = |layout: &Layout| layout.owner(&repository(entry.repository)).0.clone();
            if lost_by.is_some_and(|layout| owner(layout) == us) {
                continue;
            }
            match self.writes.get(&entry.write).map(|write| write.stage) {
                Some(Stage::Sent) => {
                    entry.orphaned_until.get_or_insert(until);
                }
                _ => ended.push(entry.write),
            }
        }
        ended
            .into_iter()
            .for_each(|write| self.end_write(write, false));
    }

    pub(super) fn replica_is_dead(&mut self, node: usize, replica: u64) {
        if self.nodes[node].replica != replica {
            return;
        }
        self.nodes[node].replica += 1;
        // Connections of bodies that are coming break, too.
        let at_it = |write: &&Write| write.node == node && write.replica == replica;
        let ended: Vec<u64> = self
            .writes
            .values()
            .filter(at_it)
            .map(|write| write.id)
            .collect();
        ended
            .into_iter()
            .for_each(|write| self.end_write(write, false));
        if let Some(process) = &self.nodes[node].process {
            process
                .ledger
                .entries
                .borrow_mut()
                .retain(|entry| entry.orphaned_until.is_none());
        }
    }
}
