//! The small fleets.

use super::super::fleet::{A, B, C, Fleet, Layout, layout};
use super::moves::{Budget, REPOSITORY, State};
use super::search;

/// Ticks.
const AFTERMATH: u64 = 2;

/// The repository is moved between two members that both views list.
pub(super) const MOVED: [Layout; 2] = [
    layout(&[A, B], &[(REPOSITORY, A)]),
    layout(&[A, B], &[(REPOSITORY, B)]),
];
/// Its owner is listed no more.
pub(super) const REMOVED: [Layout; 2] = [
    layout(&[A, B, C], &[(REPOSITORY, C)]),
    layout(&[A, B], &[(REPOSITORY, A)]),
];
/// Three members, and it is moved.
pub(super) const MOVED_OF_THREE: [Layout; 2] = [
    layout(&[A, B, C], &[(REPOSITORY, A)]),
    layout(&[A, B, C], &[(REPOSITORY, B)]),
];

fn holds(name: &str, state: State) {
    let most = 1_500_000;
    let found = search(state, most);
    println!("{name}: {} states, {} moves", found.states, found.moves);
    assert!(found.way.is_none(), "{name}: {:?}", found.way);
}

#[test]
fn moved() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 2,
        crashes: 1,
        ..Budget::default()
    };
    holds("moved", State::new(fleet, budget));
}

#[test]
fn moved_lost() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 2,
        crashes: 1,
        lost: 1,
        ..Budget::default()
    };
    holds("moved, lost", State::new(fleet, budget));
}

#[test]
fn crashes() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 1,
        crashes: 2,
        ..Budget::default()
    };
    holds("crashes", State::new(fleet, budget));
}

#[test]
fn given_up() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 2,
        given_up: 1,
        crashes: 1,
        ..Budget::default()
    };
    holds("given up", State::new(fleet, budget));
}

#[test]
fn halves() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 3,
        ..Budget::default()
    };
    let mut state = State::new(fleet, budget);
    state.manner.in_halves = true;
    holds("halves", state);
}

#[test]
fn late() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 2,
        crashes: 0,
        ..Budget::default()
    };
    let mut state = State::new(fleet, budget);
    state.manner.late = true;
    holds("late", state);
}

#[test]
fn stops() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        reloads: 1,
        stops: 1,
        crashes: 1,
        ..Budget::default()
    };
    holds("stops", State::new(fleet, budget));
}

#[test]
fn replicas() {
    let fleet = Fleet::settled(&MOVED, AFTERMATH, &[A, B]);
    let budget = Budget {
        replicas: 2,
        crashes: 1,
        reloads: 0,
        ..Budget::default()
    };
    holds("replicas", State::new(fleet, budget));
}

#[test]
fn removed() {
    let fleet = Fleet::settled(&REMOVED, AFTERMATH, &[A, B, C]);
    let budget = Budget {
        reloads: 1,
        crashes: 1,
        ..Budget::default()
    };
    holds("removed", State::new(fleet, budget));
}

#[test]
fn removed_lost() {
    let fleet = Fleet::settled(&REMOVED, 3, &[A, C]);
    let budget = Budget {
        reloads: 1,
        crashes: 1,
        lost: 1,
        ..Budget::default()
    };
    holds("removed, lost", State::new(fleet, budget));
}
