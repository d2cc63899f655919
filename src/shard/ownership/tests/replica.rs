//! Two replicas of one member are two writers.

use super::super::{Effect, Event, Verdict, Wait};
use super::fleet::{A, B, C, UNKNOWN, replica};
use super::{AFTERMATH, MOVED, MOVES, STAYS, three};

#[test]
fn writes_at_another_replica_are_waited_for_and_nothing_else_is() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    let effects = fleet.move_replica(A, 1);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::TellAll))
    );
    assert_eq!(fleet.snapshot(A).replica(), &replica(A, 1));
    assert_eq!(fleet.verdict(A, "another"), Verdict::Hold(Wait::Asking));
    fleet.all_ask();
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    assert!(fleet.may_write(A, "another"));
    fleet.finish(A);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn orphans_at_another_replica_are_waited_for() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.give_up(A);
    fleet.move_replica(A, 1);
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.writers(STAYS), 1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    fleet.live(1);
    assert_eq!(fleet.writers(STAYS), 0);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn the_same_replica_again_is_no_change() {
    let mut fleet = three(&MOVED);
    let before = fleet.snapshot(A).clone();
    assert!(fleet.move_replica(A, 0).is_empty());
    assert!(std::sync::Arc::ptr_eq(&before, fleet.snapshot(A)));
}

#[test]
fn what_an_earlier_configuration_finds_moves_no_replica() {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    let late = Event::ReplicaMoved {
        generation: 0,
        replica: replica(A, 1),
    };
    fleet.step(A, late);
    assert_eq!(fleet.snapshot(A).replica(), &replica(A, 0));
}

#[test]
fn a_witness_tells_the_replica_of_an_earlier_process() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.restart(A, 0, 1);
    fleet.all_ask();
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    // What the other replica could not own is free.
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    assert_eq!(fleet.writers(STAYS), 1);
    fleet.live(2);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_replica_that_nobody_asked_for_is_known_by_the_questions_of_its_member() {
    let mut fleet = three(&MOVED);
    fleet.move_replica(A, 1);
    assert!(!fleet.may_write(A, STAYS));
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.restart(A, 0, 0);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    fleet.live(AFTERMATH);
    assert_eq!(fleet.writers(STAYS), 0);
    fleet.live(1);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn each_replica_that_questions_have_shown_is_waited_for() {
    let mut fleet = three(&MOVED);
    fleet.move_replica(A, 1);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.restart(A, 0, 2);
    fleet.ask(A, B);
    fleet.ask(A, C);
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.writers(STAYS), 1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    fleet.live(2);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_replica_that_is_known_late_is_no_other_one() {
    let mut fleet = three(&MOVED);
    fleet.restart(A, 0, UNKNOWN);
    fleet.ask(A, B);
    fleet.ask(A, C);
    fleet.move_replica(A, 0);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Admit);
}

#[test]
fn a_restart_with_the_same_replica_waits_for_nothing() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.restart(A, 0, 0);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn what_an_earlier_replica_may_write_is_told_on_by_whoever_was_told() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.restart(A, 0, 1);
    fleet.ask(A, B);
    fleet.crash(C);
    // The third process of A hears of the first by B, who was told by nobody else meanwhile.
    fleet.restart(A, 0, 1);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::OwnReplica));
    assert!(!fleet.may_write(A, MOVES) || fleet.running(C).is_none());
}
