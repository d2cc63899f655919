//! Copies of a seat that share nothing that changes: a search goes on from one state in many ways.

use std::cell::Cell;
use std::sync::Arc;

use super::super::snapshot::{Obstacle, Snapshot};
use super::super::{Ledger, Ownership};
use super::fleet::{Guard, Process, Seat, Working};

/// Ledgers are told apart by where they are, so each has one copy.
#[derive(Default)]
struct Ledgers(Vec<(*const Ledger, Arc<Ledger>)>);

impl Ledgers {
    fn copy(&mut self, ledger: &Arc<Ledger>) -> Arc<Ledger> {
        let known = self.0.iter().find(|(at, _)| *at == Arc::as_ptr(ledger));
        if let Some((_, copy)) = known {
            return copy.clone();
        }
        let copy = ledger.copy();
        self.0.push((Arc::as_ptr(ledger), copy.clone()));
        copy
    }

    fn copy_all(&mut self, ledgers: &[Arc<Ledger>]) -> Vec<Arc<Ledger>> {
        ledgers.iter().map(|ledger| self.copy(ledger)).collect()
    }

    fn guard(&mut self, guard: Option<&Guard>) -> Option<Guard> {
        guard.map(|guard| Guard {
            ledger: self.copy(&guard.ledger),
            write: guard.write.clone(),
            repository: guard.repository,
        })
    }
}

impl Seat {
    pub(super) fn copy(&self) -> Self {
        let mut ledgers = Ledgers::default();
        let process = self.process.as_ref();
        let process = process.map(|process| process.copy(&mut ledgers));
        let working = self.at_replica.iter().map(|working| Working {
            replica: working.replica.clone(),
            repository: working.repository,
            guard: ledgers.guard(working.guard.as_ref()),
            until: working.until,
        });
        Self {
            process,
            starts: self.starts,
            at_replica: working.collect(),
            key: Cell::new(None),
        }
    }
}

impl Process {
    fn copy(&self, ledgers: &mut Ledgers) -> Self {
        Self {
            rules: copy(&self.rules, ledgers),
            snapshot: Arc::new(copy_snapshot(&self.snapshot, ledgers)),
            counted: ledgers.guard(self.counted.as_ref()),
            layout: self.layout,
            awake: self.awake,
            stopped: self.stopped,
            last_request: self.last_request,
            known_view: self.known_view,
            generation: self.generation,
        }
    }
}

fn copy(rules: &Ownership, ledgers: &mut Ledgers) -> Ownership {
    Ownership {
        process: rules.process.clone(),
        view: rules.view.clone(),
        rules: rules.rules,
        generation: rules.generation,
        round: rules.round,
        round_began: rules.round_began,
        ledger: ledgers.copy(&rules.ledger),
        past: ledgers.copy_all(&rules.past),
        parties: rules.parties.clone(),
        own_past: rules.own_past.clone(),
        views: rules.views.clone(),
        began: rules.began,
        ignorant_until: rules.ignorant_until,
        complete: rules.complete,
        recalled: rules.recalled,
        last_step: rules.last_step,
        standing: rules.standing.clone(),
        changed: rules.changed,
    }
}

fn copy_snapshot(snapshot: &Snapshot, ledgers: &mut Ledgers) -> Snapshot {
    let obstacles = snapshot.obstacles.iter().map(|obstacle| Obstacle {
        extent: obstacle.extent.clone(),
        who: obstacle.who.clone(),
        standing_since: obstacle.standing_since,
    });
    Snapshot {
        generation: snapshot.generation,
        round: snapshot.round,
        ledger: ledgers.copy(&snapshot.ledger),
        view: snapshot.view.clone(),
        waits: snapshot.waits.clone(),
        obstacles: obstacles.collect(),
        elsewhere: ledgers.copy_all(&snapshot.elsewhere),
        patience: snapshot.patience,
        longest_absence: snapshot.longest_absence,
    }
}
