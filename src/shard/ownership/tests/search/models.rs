//! The small fleets, each with as much trouble as it can be searched with in some seconds.

use super::super::fleet::{A, B, C, Fleet, Layout, layout};
use super::moves::{Budget, Manner, REPOSITORY, State};
use super::{Found, search};

/// A small fleet, settled under the first of two views, and what may happen to it.
#[derive(Clone, Copy)]
pub(super) struct Model {
    pub(super) layouts: [Layout; 2],
    /// In ticks.
    pub(super) aftermath: u64,
    pub(super) running: &'static [usize],
    /// Those that may start beside them.
    pub(super) joining: &'static [usize],
    pub(super) budget: Budget,
    pub(super) manner: Manner,
}

/// The repository is moved between two members that both views list.
const MOVED: [Layout; 2] = [
    layout(&[A, B], &[(REPOSITORY, A)]),
    layout(&[A, B], &[(REPOSITORY, B)]),
];
/// Its owner is listed no more.
const REMOVED: [Layout; 2] = [
    layout(&[A, B, C], &[(REPOSITORY, C)]),
    layout(&[A, B], &[(REPOSITORY, A)]),
];
/// Its owner is a member that was not listed before.
const JOINED: [Layout; 2] = [
    layout(&[A, B], &[(REPOSITORY, A)]),
    layout(&[A, B, C], &[(REPOSITORY, C)]),
];

pub(super) const NO_TROUBLE: Budget = Budget {
    reloads: 0,
    crashes: 0,
    stops: 0,
    replicas: 0,
    lost: 0,
    given_up: 0,
};
pub(super) const IN_ORDER: Manner = Manner {
    late: false,
    in_halves: false,
    judged_first: false,
};

impl Model {
    const fn of(layouts: [Layout; 2], running: &'static [usize]) -> Self {
        Self {
            layouts,
            aftermath: 2,
            running,
            joining: &[],
            budget: NO_TROUBLE,
            manner: IN_ORDER,
        }
    }

    pub(super) const fn moved(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::of(MOVED, &[A, B])
        }
    }

    /// The pair that matters of three; the third was never there.
    pub(super) const fn removed(budget: Budget) -> Self {
        Self {
            budget,
            aftermath: 3,
            ..Self::of(REMOVED, &[A, C])
        }
    }

    pub(super) const fn removed_of_three(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::of(REMOVED, &[A, B, C])
        }
    }

    pub(super) const fn joined(budget: Budget) -> Self {
        Self {
            budget,
            joining: &[C],
            ..Self::of(JOINED, &[A, B])
        }
    }

    pub(super) fn search(&self, most: usize) -> Found {
        let mut fleet = Fleet::settled(&self.layouts, self.aftermath, self.running);
        for member in self.joining {
            fleet.seat(*member).starts = 1;
        }
        let mut start = State::new(fleet, self.budget);
        start.manner = self.manner;
        search(start, most)
    }

    /// Never two writers, whatever happens.
    fn holds(&self, name: &str) {
        const MOST: usize = 5_000_000;
        let found = self.search(MOST);
        println!("{name}: {} states, {} moves", found.states, found.moves);
        assert_eq!(found.way, None, "{name}");
        assert!(found.states > 1000, "{name}: the model is not alive");
    }
}

#[test]
fn the_owner_is_moved_and_questions_are_lost() {
    let (reloads, crashes, lost) = (2, 1, 1);
    let trouble = Budget {
        reloads,
        crashes,
        lost,
        ..NO_TROUBLE
    };
    Model::moved(trouble).holds("moved, crashed, lost");
}

#[test]
fn all_are_replaced() {
    let (reloads, crashes) = (1, 2);
    let trouble = Budget {
        reloads,
        crashes,
        ..NO_TROUBLE
    };
    Model::moved(trouble).holds("moved, crashed twice");
}

#[test]
fn clients_go_away() {
    let (reloads, given_up) = (3, 2);
    let trouble = Budget {
        reloads,
        given_up,
        ..NO_TROUBLE
    };
    Model::moved(trouble).holds("moved, given up");
}

#[test]
fn processes_stop_for_long() {
    let (reloads, stops) = (2, 2);
    let trouble = Budget {
        reloads,
        stops,
        ..NO_TROUBLE
    };
    Model::moved(trouble).holds("moved, stopped");
}

#[test]
fn replicas_move() {
    let (replicas, crashes, reloads) = (2, 1, 1);
    let trouble = Budget {
        replicas,
        crashes,
        reloads,
        ..NO_TROUBLE
    };
    Model::moved(trouble).holds("replica moved, crashed");
}

#[test]
fn anything_comes_between_the_halves_of_the_gate() {
    let (reloads, crashes) = (3, 1);
    let trouble = Budget {
        reloads,
        crashes,
        ..NO_TROUBLE
    };
    let mut model = Model::moved(trouble);
    model.manner.in_halves = true;
    model.holds("moved, gate in halves");
}

#[test]
fn answers_are_late() {
    let (reloads, crashes, lost) = (2, 1, 1);
    let trouble = Budget {
        reloads,
        crashes,
        lost,
        ..NO_TROUBLE
    };
    let mut model = Model::moved(trouble);
    model.manner.late = true;
    model.holds("moved, late answers");
}

#[test]
fn the_owner_is_removed() {
    let (reloads, crashes, lost) = (1, 1, 1);
    let trouble = Budget {
        reloads,
        crashes,
        lost,
        ..NO_TROUBLE
    };
    Model::removed(trouble).holds("removed, crashed, lost");
}

#[test]
fn the_owner_is_removed_of_three() {
    let trouble = Budget {
        reloads: 2,
        ..NO_TROUBLE
    };
    Model::removed_of_three(trouble).holds("removed of three");
}

#[test]
fn the_owner_joins() {
    let trouble = Budget {
        reloads: 2,
        ..NO_TROUBLE
    };
    Model::joined(trouble).holds("joined");
}
