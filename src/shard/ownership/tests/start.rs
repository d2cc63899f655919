//! A process that has just started knows nothing.

use super::super::{Effect, Event, NoAnswer, Note, Verdict, Wait};
use super::fleet::{A, B, C, Fleet, member_id, seconds};
use super::{AFTERMATH, MOVED, MOVES, STAYS, three};

#[test]
fn all_at_once_wait_for_what_replicas_may_have_in_hand() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    for member in [A, B, C] {
        fleet.restart(member, 1, 0);
    }
    fleet.all_ask();
    assert_eq!(fleet.verdict(A, MOVES), Verdict::Hold(Wait::Starting));
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.verdict(A, MOVES), Verdict::Hold(Wait::Starting));
    assert_eq!(fleet.writers(MOVES), 1);
    fleet.live(1);
    assert!(fleet.may_write(A, MOVES));
    assert_eq!(fleet.writers(MOVES), 0);
}

#[test]
fn whoever_starts_first_waits_for_those_who_start_later() {
    let mut fleet = Fleet::new(&MOVED, seconds(AFTERMATH));
    fleet.start(A, 1, 0);
    fleet.pass(4);
    // Its process before this one, with the other view, may have ended just now.
    fleet.start(C, 1, 0);
    fleet.start(B, 1, 0);
    fleet.all_ask();
    fleet.live(AFTERMATH - 1);
    assert!(!fleet.may_write(A, MOVES));
    fleet.live(1);
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn a_witness_who_knows_all_ends_the_wait_at_once() {
    let mut fleet = three(&MOVED);
    fleet.restart(A, 0, 0);
    let effects = fleet.ask(A, B);
    let notes = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Note(Note::Complete)));
    assert!(notes);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Asking));
    fleet.ask(A, C);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_witness_who_has_just_started_does_not() {
    let mut fleet = three(&MOVED);
    fleet.crash(C);
    fleet.restart(A, 0, 0);
    fleet.restart(B, 0, 0);
    fleet.all_ask();
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Starting));
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Starting));
    fleet.live(1);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn whoever_is_listed_and_neither_answers_nor_is_gone_is_waited_for() {
    let mut fleet = Fleet::new(&MOVED, seconds(AFTERMATH));
    fleet.start(A, 0, 0);
    fleet.start(B, 0, 0);
    fleet.pass(AFTERMATH);
    fleet.ask(A, B);
    // The first question to C is asked now, so its silence begins now.
    fleet.ask(A, C);
    assert!(!fleet.may_write(A, STAYS));
    fleet.live(AFTERMATH - 1);
    assert!(!fleet.may_write(A, STAYS));
    fleet.live(1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Admit);
}

#[test]
fn neither_our_own_errors_nor_a_silence_with_a_request_in_it_end_the_wait() {
    let mut fleet = three(&MOVED);
    fleet.crash(B);
    fleet.crash(C);
    fleet.restart(A, 0, 0);
    let unanswered = |fleet: &mut Fleet, times: u64, why: NoAnswer| {
        for _ in 0..times {
            fleet.no_answer(A, B, why.clone());
            fleet.no_answer(A, C, why.clone());
            fleet.tick();
        }
    };
    unanswered(&mut fleet, 3 * AFTERMATH, NoAnswer::NotAsked);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Starting));
    unanswered(&mut fleet, 2 * AFTERMATH, NoAnswer::Silent);
    for member in [B, C].map(member_id) {
        fleet.step(
            A,
            Event::Asked {
                member,
                view: None,
                replica: None,
            },
        );
    }
    unanswered(&mut fleet, 2 * AFTERMATH, NoAnswer::Silent);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Starting));
    unanswered(&mut fleet, 1, NoAnswer::Silent);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Admit);
}

#[test]
fn what_a_process_left_ends_the_wait_only_if_every_peer_was_left_it_too() {
    for (away, peer_was_left_it, admits) in
        [(1, true, true), (1, false, false), (AFTERMATH, true, false)]
    {
        let mut fleet = three(&MOVED);
        let left = [A, B, C].map(|member| {
            let memory = fleet.rules(member).memory(fleet.now);
            assert!(memory.complete);
            (memory, seconds(away))
        });
        for member in [A, B, C] {
            fleet.crash(member);
            let left = (member != B || peer_was_left_it).then_some(&left[member]);
            fleet.start_with(member, 0, 0, left);
        }
        for asked in [B, C] {
            fleet.ask(A, asked);
        }
        let admitted = fleet.may_write(A, STAYS);
        assert_eq!(admitted, admits, "away {away}, peer {peer_was_left_it}");
    }
}

#[test]
fn a_witness_tells_of_a_member_that_cannot_be_reached() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.reload(B, 1);
    fleet.restart(A, 1, 0);
    for tick in 0..3 * AFTERMATH {
        fleet.ask(B, C);
        fleet.ask(A, B);
        fleet.no_answer(A, C, NoAnswer::Silent);
        fleet.tick();
        if tick < AFTERMATH {
            assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Asking));
            continue;
        }
        // B knows that C lives, and by which view.
        let who = Wait::Others(vec![member_id(C)]);
        assert_eq!(fleet.verdict(A, MOVES), Verdict::Hold(who));
        assert!(fleet.may_write(A, STAYS));
    }
}

#[test]
fn no_aftermath_no_wait() {
    let mut fleet = Fleet::new(&MOVED, seconds(0));
    fleet.start(A, 0, 0);
    fleet.ask(A, B);
    fleet.ask(A, C);
    // Silence has to last for no time, but three questions have to be left unanswered.
    assert!(!fleet.may_write(A, STAYS));
    for _ in 0..2 {
        fleet.ask(A, B);
        fleet.ask(A, C);
    }
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_process_leaves_what_it_was_writing_for_aftermath() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.restart(C, 1, 0);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.all_ask();
    fleet.live(AFTERMATH - 1);
    assert_eq!(fleet.writers(MOVES), 1);
    assert!(!fleet.may_write(A, MOVES));
    fleet.live(1);
    assert_eq!(fleet.writers(MOVES), 0);
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn a_new_owner_that_restarts_is_told_what_its_predecessor_knew() {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.restart(C, 1, 0);
    fleet.reload(B, 1);
    fleet.ask(B, C);
    // It never saw the first C; B tells of it.
    fleet.restart(A, 1, 0);
    fleet.ask(A, C);
    fleet.ask(A, B);
    assert!(fleet.may_write(A, STAYS));
    assert!(!fleet.may_write(A, MOVES));
    fleet.live(AFTERMATH);
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn a_rolling_restart_with_another_list_waits_for_nobody_without_writes() {
    let mut fleet = three(&MOVED);
    for member in [A, B, C] {
        fleet.restart(member, 1, 0);
        // It asks, and is asked back.
        fleet.all_ask();
        if member != C {
            assert!(fleet.may_write(A, STAYS), "after {member}");
        }
    }
    assert!(fleet.may_write(A, STAYS));
}
