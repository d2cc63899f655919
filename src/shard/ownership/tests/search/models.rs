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
    let most = 20_000_000;
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
fn removed() {
    let fleet = Fleet::settled(&REMOVED, AFTERMATH, &[A, B, C]);
    let budget = Budget {
        reloads: 1,
        crashes: 1,
        ..Budget::default()
    };
    holds("removed", State::new(fleet, budget));
}
