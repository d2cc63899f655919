//! What requests show of their senders, and answers that may be older than they.

use super::super::Verdict;
use super::fleet::{A, B, C, Fleet};
use super::{AFTERMATH, MOVED, MOVES, STAYS, TWO, three};

/// A was shown another view by B and C, and did not ask them back before it took the other one again.
pub(super) fn shown_and_never_told() -> Fleet {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    fleet.restart(C, 1, 0);
    fleet.restart(B, 1, 0);
    fleet.ask(C, A);
    fleet.ask(B, A);
    fleet.reload(A, 0);
    fleet.cannot_ask(A, &[B, C]);
    fleet
}

/// B writes under a view that it has shown A and never told it; then nobody is left who was there.
pub(super) fn shown_before_all_restart() -> Fleet {
    let mut fleet = Fleet::settled(&TWO, AFTERMATH, &[A, B]);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.ask(B, A);
    assert_eq!(fleet.write(B, MOVES), Verdict::Admit);
    fleet.restart(B, 0, 0);
    fleet.ask(B, A);
    fleet.restart(A, 0, 0);
    fleet.ask(A, B);
    fleet
}

/// B writes under a view that it had, had not, and has again. Its answer from between the two comes
/// late, and then it dies.
pub(super) fn told_late() -> Fleet {
    let mut fleet = Fleet::settled(&TWO, AFTERMATH, &[A, B]);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.live(1);
    fleet.reload(B, 0);
    let early = fleet.question(A, B, true);
    fleet.reload(B, 1);
    fleet.ask(B, A);
    assert_eq!(fleet.write(B, MOVES), Verdict::Admit);
    fleet.arrive(A, B, early);
    fleet.crash(B);
    fleet.reload(A, 0);
    fleet.ask(A, B);
    fleet
}

#[test]
fn a_view_that_a_request_has_shown_counts_also_if_it_is_ours_then() {
    let fleet = shown_and_never_told();
    assert!(!fleet.may_write(A, MOVES));
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_witness_tells_of_a_view_that_a_request_has_shown() {
    let mut fleet = shown_before_all_restart();
    assert_eq!(fleet.writers(MOVES), 1);
    assert!(!fleet.may_write(A, MOVES));
    fleet.live(AFTERMATH);
    assert_eq!(fleet.writers(MOVES), 0);
    fleet.live(1);
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn an_answer_that_is_older_than_a_request_is_no_news() {
    let fleet = told_late();
    assert_eq!(fleet.writers(MOVES), 1);
    assert!(!fleet.may_write(A, MOVES));
}
