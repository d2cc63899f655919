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
        const MOST: usize = 20_000_000;
        let found = self.search(MOST);
        println!("{name}: {} states, {} moves", found.states, found.moves);
        assert_eq!(found.way, None, "{name}");
        assert!(found.states > 1000, "{name}: the model is not alive");
    }
}

/// Less trouble where all tests run, more where there is time.
fn sized(small: Budget, full: Budget) -> Budget {
    let wanted = std::env::var("SHARDLET_SEARCH");
    if wanted.is_ok_and(|size| size == "full") {
        full
    } else {
        small
    }
}

pub(super) const fn trouble(reloads: u8, crashes: u8, lost: u8) -> Budget {
    Budget {
        reloads,
        crashes,
        lost,
        ..NO_TROUBLE
    }
}

#[test]
fn the_owner_is_moved_and_questions_are_lost() {
    let budget = sized(trouble(1, 1, 1), trouble(2, 1, 1));
    Model::moved(budget).holds("moved, crashed, lost");
}

#[test]
fn all_are_replaced() {
    let budget = sized(trouble(1, 1, 0), trouble(1, 2, 0));
    Model::moved(budget).holds("moved, crashed twice");
}

#[test]
fn clients_go_away() {
    let given_up = |budget, given_up| Budget { given_up, ..budget };
    let small = given_up(trouble(3, 0, 0), 2);
    let budget = sized(small, given_up(trouble(3, 1, 0), 2));
    Model::moved(budget).holds("moved, given up");
}

#[test]
fn processes_stop_for_long() {
    let stops = |budget, stops| Budget { stops, ..budget };
    let small = stops(trouble(1, 0, 0), 1);
    let budget = sized(small, stops(trouble(1, 1, 0), 2));
    Model::removed(budget).holds("removed, stopped");
    let small = stops(trouble(1, 0, 0), 1);
    let budget = sized(small, stops(trouble(2, 0, 0), 1));
    Model::moved(budget).holds("moved, stopped");
}

#[test]
fn replicas_move() {
    let replicas = |budget, replicas| Budget { replicas, ..budget };
    let small = replicas(trouble(0, 1, 0), 2);
    let budget = sized(small, replicas(trouble(1, 1, 0), 2));
    Model::moved(budget).holds("replica moved, crashed");
}

#[test]
fn anything_comes_between_the_halves_of_the_gate() {
    let mut model = Model::moved(sized(trouble(3, 0, 0), trouble(3, 1, 0)));
    model.manner.in_halves = true;
    model.holds("moved, gate in halves");
}

#[test]
fn answers_are_late() {
    let mut model = Model::moved(sized(trouble(3, 0, 0), trouble(3, 1, 0)));
    model.manner.late = true;
    model.holds("moved, late answers");
}

#[test]
fn the_owner_is_removed() {
    let budget = sized(trouble(1, 1, 0), trouble(1, 1, 1));
    Model::removed(budget).holds("removed, crashed, lost");
}

#[test]
fn the_owner_is_removed_of_three() {
    let budget = sized(trouble(2, 0, 0), trouble(2, 1, 0));
    Model::removed_of_three(budget).holds("removed of three");
}

#[test]
fn the_owner_joins() {
    let budget = sized(trouble(1, 0, 0), trouble(2, 1, 0));
    Model::joined(budget).holds("joined");
}

#[test]
fn reloads_cross_and_questions_are_lost() {
    Model::moved(trouble(3, 0, 2)).holds("moved, lost both ways");
}
