//! Who is gone, and who only does not answer.

use super::super::{Effect, Event, NoAnswer, Note, Verdict, Wait};
use super::fleet::{A, B, C, Fleet, member_id, party};
use super::{AFTERMATH, JOINED, MOVED, MOVES, REMOVED, STAYS, three};

/// C is removed, has a write under way, and A knows it.
fn removed() -> Fleet {
    let mut fleet = three(&REMOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert!(!fleet.may_write(A, MOVES));
    assert!(fleet.may_write(A, STAYS));
    fleet
}

fn is_gone(effects: &[Effect]) -> bool {
    let gone =
        |effect: &Effect| matches!(effect, Effect::Note(Note::Gone(id)) if *id == member_id(C));
    effects.iter().any(gone)
}

#[test]
fn a_former_member_is_gone_after_aftermath_in_silence() {
    let mut fleet = removed();
    fleet.crash(C);
    for _ in 0..AFTERMATH {
        assert!(!is_gone(&fleet.ask(A, C)));
        assert!(!fleet.may_write(A, MOVES));
        fleet.tick();
    }
    assert!(is_gone(&fleet.ask(A, C)));
    assert!(fleet.may_write(A, MOVES));
    assert!(fleet.rules(A).former_members().next().is_none());
}

#[test]
fn who_lets_the_time_pass_may_have_lived_for_a_part_of_it() {
    let mut fleet = removed();
    for _ in 0..2 * AFTERMATH {
        assert!(!is_gone(&fleet.no_answer(A, C, NoAnswer::Silent)));
        assert!(!fleet.may_write(A, MOVES));
        fleet.tick();
    }
    assert!(is_gone(&fleet.no_answer(A, C, NoAnswer::Silent)));
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn three_refusals_in_a_moment_are_no_death() {
    let mut fleet = removed();
    fleet.crash(C);
    (0..10).for_each(|_| assert!(!is_gone(&fleet.ask(A, C))));
    assert!(!fleet.may_write(A, MOVES));
}

#[test]
fn two_questions_are_too_few_however_far_apart() {
    let mut fleet = removed();
    fleet.crash(C);
    fleet.ask(A, C);
    for _ in 0..2 * AFTERMATH {
        fleet.tick();
        fleet.ask(A, B);
    }
    assert!(!is_gone(&fleet.ask(A, C)));
    assert!(is_gone(&fleet.ask(A, C)));
}

#[test]
fn whoever_is_slow_before_it_dies_is_counted_from_its_death() {
    let mut fleet = removed();
    for _ in 0..5 {
        fleet.no_answer(A, C, NoAnswer::Silent);
        fleet.tick();
    }
    fleet.crash(C);
    for _ in 0..AFTERMATH {
        assert!(!is_gone(&fleet.ask(A, C)));
        assert_eq!(fleet.writers(MOVES), 1);
        fleet.tick();
    }
    assert!(is_gone(&fleet.ask(A, C)));
    assert_eq!(fleet.writers(MOVES), 0);
}

#[test]
fn a_lost_question_to_a_newcomer_that_nobody_has_heard_of_ends_the_asking() {
    let mut fleet = Fleet::settled(&JOINED, AFTERMATH, &[A, B]);
    fleet.reload(A, 1);
    fleet.ask(A, B);
    fleet.no_answer(A, C, NoAnswer::Silent);
    assert!(fleet.may_write(A, STAYS));
    // One that has asked is no such newcomer.
    fleet.start(C, 1, 0);
    fleet.ask(C, B);
    fleet.reload(B, 1);
    fleet.ask(B, A);
    fleet.no_answer(B, C, NoAnswer::Silent);
    assert_eq!(fleet.verdict(B, STAYS), Verdict::Hold(Wait::Asking));
}

#[test]
fn a_witness_who_has_heard_nothing_for_aftermath_spares_the_wait() {
    for (silent, admits) in [(AFTERMATH, true), (AFTERMATH - 2, false)] {
        let mut fleet = three(&MOVED);
        fleet.stop(C, true);
        for _ in 0..silent {
            fleet.ask(B, C);
            fleet.ask(B, A);
            fleet.tick();
        }
        fleet.restart(A, 0, 0);
        fleet.ask(A, B);
        fleet.ask(A, C);
        assert_eq!(fleet.may_write(A, STAYS), admits, "{silent}");
    }
}

#[test]
fn a_request_ends_the_asking_only_of_who_must_have_been_told() {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    fleet.ask(A, B);
    for tick in 0..=AFTERMATH {
        // Its requests come, and our questions do not get there.
        let now = fleet.now;
        fleet.process(A).last_request[C] = Some(now);
        fleet.no_answer(A, C, NoAnswer::Silent);
        assert_eq!(fleet.may_write(A, STAYS), tick == AFTERMATH, "{tick}");
        fleet.tick();
    }
}

#[test]
fn a_witness_does_not_take_a_death_for_a_partition_at_first() {
    let mut fleet = removed();
    fleet.crash(C);
    // Its last question was cut in the middle.
    fleet.no_answer(B, C, NoAnswer::Silent);
    fleet.restart(A, 1, 0);
    fleet.ask(A, B);
    for _ in 0..AFTERMATH {
        fleet.tick();
        fleet.ask(B, C);
        fleet.ask(A, B);
        fleet.ask(B, A);
    }
    fleet.tick();
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn a_request_is_a_sign_of_life() {
    let mut fleet = removed();
    for _ in 0..3 * AFTERMATH {
        fleet.no_answer(A, C, NoAnswer::Silent);
        fleet.ask(C, A);
        fleet.tick();
    }
    assert!(!is_gone(&fleet.no_answer(A, C, NoAnswer::Silent)));
    assert!(!fleet.may_write(A, MOVES));
}

#[test]
fn a_sign_of_life_counts_also_where_the_list_changes() {
    let mut fleet = three(&REMOVED);
    fleet.crash(C);
    for _ in 0..=AFTERMATH {
        fleet.ask(A, C);
        fleet.ask(A, B);
        fleet.tick();
    }
    fleet.start(C, 0, 0);
    fleet.ask(C, A);
    fleet.ask(C, B);
    // A has not asked C since.
    fleet.reload(A, 1);
    fleet.ask(A, B);
    assert_eq!(fleet.verdict(A, MOVES), Verdict::Hold(Wait::Asking));
    assert!(fleet.may_write(C, MOVES));
    fleet.ask(A, C);
    assert!(!fleet.may_write(A, MOVES));
}

#[test]
fn our_own_errors_are_no_silence() {
    let mut fleet = removed();
    for _ in 0..3 * AFTERMATH {
        assert!(!is_gone(&fleet.no_answer(A, C, NoAnswer::NotAsked)));
        fleet.tick();
    }
    assert!(!fleet.may_write(A, MOVES));
}

#[test]
fn whoever_is_there_and_does_not_tell_is_not_gone() {
    let mut fleet = removed();
    for _ in 0..3 * AFTERMATH {
        let closed = NoAnswer::Closed("its certificate has expired".to_owned());
        assert!(!is_gone(&fleet.no_answer(A, C, closed)));
        fleet.tick();
    }
    assert!(!fleet.may_write(A, MOVES));
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn another_member_at_its_address_ends_a_former_one_after_aftermath() {
    let mut fleet = removed();
    fleet.crash(C);
    for _ in 0..AFTERMATH {
        assert!(!is_gone(&fleet.no_answer(A, C, NoAnswer::Replaced)));
        assert!(fleet.may_write(A, STAYS));
        fleet.tick();
    }
    assert!(is_gone(&fleet.no_answer(A, C, NoAnswer::Replaced)));
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn an_absence_of_our_own_is_no_silence() {
    let mut fleet = removed();
    fleet.no_answer(A, C, NoAnswer::Silent);
    fleet.stop(A, true);
    fleet.pass(2 * AFTERMATH);
    fleet.stop(A, false);
    // Nobody has let it do anything yet: a write sees that by itself.
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Paused));
    let effects = fleet.step(A, Event::Tick);
    let noted = |effect: &Effect| matches!(effect, Effect::Note(Note::WasAway(_)));
    assert!(effects.iter().any(noted));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::TellAll))
    );
    for _ in 0..3 {
        assert!(!is_gone(&fleet.no_answer(A, C, NoAnswer::Silent)));
    }
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Starting));
    fleet.ask(A, B);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Asking));
    fleet.cannot_ask(A, &[C]);
    assert!(fleet.may_write(A, STAYS));
    assert!(!fleet.may_write(A, MOVES));
}

#[test]
fn a_question_from_before_an_absence_is_no_silence() {
    let mut fleet = removed();
    let (asked_at, round) = (fleet.now, fleet.snapshot(A).round);
    fleet.stop(A, true);
    fleet.pass(2 * AFTERMATH);
    fleet.stop(A, false);
    fleet.step(A, Event::Tick);
    for _ in 0..3 {
        let (party, last_request, why) = (party(C), None, NoAnswer::Silent);
        fleet.step(
            A,
            Event::Unanswered {
                party,
                round,
                asked_at,
                last_request,
                why,
            },
        );
    }
    assert!(!fleet.rules(A).may_be_gone(&party(C)));
    assert!(fleet.rules(A).parties[&party(C)].unanswered.is_none());
}

#[test]
fn a_listed_member_that_died_counts_until_it_tells_otherwise() {
    let mut fleet = three(&MOVED);
    fleet.crash(C);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.live(5 * AFTERMATH);
    assert_eq!(
        fleet.verdict(A, MOVES),
        Verdict::Refuse(Wait::Others(vec![member_id(C)]))
    );
    fleet.start(C, 1, 0);
    fleet.all_ask();
    assert!(!fleet.may_write(A, MOVES));
    fleet.live(AFTERMATH);
    assert!(fleet.may_write(A, MOVES));
}

#[test]
fn a_former_member_that_never_told_has_the_view_that_was_shared() {
    let mut fleet = three(&REMOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.restart(A, 0, 0);
    fleet.ask(A, B);
    fleet.cannot_ask(A, &[C]);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Admit);
    fleet.reload(A, 1);
    fleet.ask(A, B);
    fleet.no_answer(A, C, NoAnswer::Silent);
    assert!(fleet.may_write(A, STAYS));
    assert!(!fleet.may_write(A, MOVES));
}
