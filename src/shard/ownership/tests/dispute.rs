//! Two that take themselves for the owner.

use super::super::{Effect, Event, NoAnswer, Note, Reply, Verdict, Wait};
use super::fleet::{A, B, C, D, Fleet, KEY, Layout, layout, member_id, party, seconds};
use super::{AFTERMATH, JOINED, MOVED, MOVES, REMOVED, STAYS, TWO, three};

#[test]
fn whoever_changes_later_is_told() {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Asking));
    fleet.ask(A, B);
    fleet.ask(A, C);
    assert!(fleet.may_write(A, STAYS));
    let both = Wait::Others(vec![member_id(B), member_id(C)]);
    assert_eq!(fleet.verdict(A, MOVES), Verdict::Hold(both));
    // C was told nothing, and may write: it was there first.
    assert!(fleet.may_write(C, MOVES));
}

#[test]
fn a_dispute_is_waited_for_as_long_as_patience_says() {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    fleet.all_ask();
    let patience = fleet.setting.rules.patience.as_secs();
    fleet.live(patience);
    assert!(matches!(fleet.verdict(A, MOVES), Verdict::Hold(_)));
    // Another one who joins it makes it no younger.
    fleet.restart(B, 0, 0);
    fleet.live(1);
    assert!(matches!(fleet.verdict(A, MOVES), Verdict::Refuse(_)));
    fleet.reload(A, 0);
    fleet.all_ask();
    fleet.reload(A, 1);
    fleet.all_ask();
    assert!(matches!(fleet.verdict(A, MOVES), Verdict::Hold(_)));
}

#[test]
fn who_agrees_again_is_in_the_way_no_more() {
    let mut fleet = three(&MOVED);
    fleet.reload(A, 1);
    fleet.all_ask();
    fleet.reload(B, 1);
    fleet.reload(C, 1);
    let effects = fleet.ask(A, C);
    let agrees =
        |effect: &Effect| matches!(effect, Effect::Note(Note::Agrees(id)) if *id == member_id(C));
    assert!(effects.iter().any(agrees));
    fleet.ask(A, B);
    assert!(fleet.may_write(A, MOVES));
    assert!(fleet.snapshot(A).disputes().is_empty());
}

#[test]
fn another_key_disputes_everything() {
    const OTHER_KEY: [Layout; 2] = [
        MOVED[0],
        Layout {
            key: *b"another key here",
            ..MOVED[0]
        },
    ];
    assert_ne!(KEY, OTHER_KEY[1].key);
    let mut fleet = three(&OTHER_KEY);
    fleet.reload(B, 1);
    fleet.ask(A, B);
    assert!(!fleet.may_write(A, STAYS));
    assert!(!fleet.may_write(A, "anything"));
    fleet.all_ask();
    assert!(!fleet.may_write(B, "anything"));
}

#[test]
fn writes_under_way_are_named() {
    let mut fleet = three(&REMOVED);
    assert_eq!(fleet.write(A, STAYS), Verdict::Admit);
    fleet.reload(A, 1);
    fleet.all_ask();
    let report = fleet.question(C, A, true).report.unwrap();
    assert!(
        report
            .also
            .iter()
            .all(|also| also.repositories.as_deref() == Some(&[STAYS.to_owned()]))
    );
    assert_eq!(report.also.len(), 1);
    // Nothing but what is named is in the way of others.
    let obstacles = &fleet.snapshot(C).obstacles;
    let named = |text: &String| text.contains("1 repositories under way");
    assert!(!obstacles.is_empty());
    assert!(fleet.snapshot(C).disputes().iter().any(named));
    fleet.finish(A);
    assert!(fleet.question(C, A, true).report.unwrap().also.is_empty());
}

#[test]
fn writes_under_way_at_the_old_owner_are_waited_for_and_nothing_else_is() {
    const BOTH: [Layout; 2] = [
        layout(&[A, B], &[("one", B), ("two", B)]),
        layout(&[A, B], &[("one", A), ("two", A)]),
    ];
    let mut fleet = Fleet::settled(&BOTH, AFTERMATH, &[A, B]);
    assert_eq!(fleet.write(B, "one"), Verdict::Admit);
    fleet.reload(B, 1);
    fleet.reload(A, 1);
    fleet.all_ask();
    assert!(fleet.may_write(A, "two"));
    assert!(matches!(
        fleet.verdict(A, "one"),
        Verdict::Hold(Wait::Others(_))
    ));
    // However long it takes: it will end by itself.
    fleet.live(3 * AFTERMATH);
    assert!(matches!(
        fleet.verdict(A, "one"),
        Verdict::Hold(Wait::Others(_))
    ));
    fleet.give_up(B);
    fleet.all_ask();
    assert!(!fleet.may_write(A, "one"));
    fleet.live(AFTERMATH);
    assert!(fleet.may_write(A, "one"));
}

#[test]
fn more_writes_than_can_be_named_are_the_whole_view() {
    let mut fleet = three(&MOVED);
    let ledger = fleet.snapshot(C).ledger.clone();
    for number in 0..64 {
        ledger
            .begin(&format!("repo-{number}").into(), false)
            .unwrap();
    }
    fleet.reload(C, 1);
    let also = |fleet: &mut Fleet| fleet.question(A, C, true).report.unwrap().also;
    assert_eq!(also(&mut fleet)[0].repositories.as_ref().unwrap().len(), 64);
    fleet.restart(C, 0, 0);
    fleet.all_ask();
    let ledger = fleet.snapshot(C).ledger.clone();
    for number in 0..65 {
        ledger
            .begin(&format!("repo-{number}").into(), false)
            .unwrap();
    }
    fleet.reload(C, 1);
    assert!(
        ledger.begin(&"late".into(), false).is_none(),
        "it is retired"
    );
    assert_eq!(also(&mut fleet)[0].repositories, None);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.live(AFTERMATH + 1);
    assert!(!fleet.may_write(A, MOVES));
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_newcomer_that_was_never_reached_is_asked_before_anything_is_written() {
    let mut fleet = Fleet::settled(&JOINED, AFTERMATH, &[A, B]);
    fleet.reload(A, 1);
    fleet.ask(A, B);
    assert_eq!(fleet.verdict(A, STAYS), Verdict::Hold(Wait::Asking));
    fleet.ask(A, C);
    assert!(fleet.may_write(A, STAYS));
}

/// All three get a pin while A cannot reach C.
#[test]
fn who_was_never_reached_counts_by_what_a_witness_knows() {
    const PINNED: [Layout; 2] = [
        layout(&[A, B, D], &[(MOVES, D), (STAYS, A)]),
        layout(&[A, B, D], &[(MOVES, A), (STAYS, A)]),
    ];
    let mut fleet = Fleet::new(&PINNED, seconds(AFTERMATH));
    for member in [A, B, D] {
        fleet.start(member, 0, 0);
    }
    for _ in 0..=AFTERMATH {
        for (asker, asked) in [(A, B), (B, A), (B, D), (D, B)] {
            fleet.ask(asker, asked);
        }
        fleet.no_answer(A, D, NoAnswer::Silent);
        fleet.no_answer(D, A, NoAnswer::Silent);
        fleet.tick();
    }
    assert_eq!(fleet.write(D, MOVES), Verdict::Admit);
    for member in [A, B, D] {
        fleet.reload(member, 1);
    }
    for (asker, asked) in [(B, A), (B, D), (A, B)] {
        fleet.ask(asker, asked);
    }
    fleet.cannot_ask(A, &[D]);
    fleet.ask(B, D);
    fleet.ask(A, B);
    assert!(!fleet.may_write(A, MOVES));
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn whoever_takes_us_for_no_member_may_have_any_view() {
    for reply in [Reply::WithoutUs, Reply::Unreadable] {
        let mut fleet = three(&MOVED);
        fleet.tell(A, C, reply);
        assert!(!fleet.may_write(A, STAYS));
        fleet.ask(A, C);
        assert!(fleet.may_write(A, STAYS));
    }
}

#[test]
fn a_request_with_another_view_has_its_sender_asked() {
    let mut fleet = three(&MOVED);
    let view = Some(*fleet.view(1, C).fingerprint());
    let asked = |fleet: &mut Fleet| {
        let member = member_id(C);
        let effects = fleet.step(
            A,
            Event::Asked {
                member,
                view,
                replica: None,
            },
        );
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Ask(_)))
    };
    assert!(asked(&mut fleet));
    assert!(!asked(&mut fleet), "once is enough");
    // That takes a moment. If it does not answer, it may have any view.
    assert!(fleet.may_write(A, STAYS));
    fleet.no_answer(A, C, NoAnswer::NotAsked);
    assert!(!fleet.may_write(A, STAYS));
    fleet.tick();
    fleet.ask(A, C);
    assert!(fleet.may_write(A, STAYS));
}

#[test]
fn a_view_that_is_shown_before_anything_is_told_is_told_with_the_first_answer() {
    let mut fleet = Fleet::new(&TWO, seconds(AFTERMATH));
    fleet.start(A, 0, 0);
    fleet.start(B, 0, 0);
    let first = fleet.question(A, B, true);
    let event = Event::Asked {
        member: member_id(B),
        view: Some(*fleet.view(0, B).fingerprint()),
        replica: None,
    };
    fleet.step(A, event);
    fleet.arrive(A, B, first);
    assert_eq!(fleet.rules(A).parties[&party(B)].untold, None);
}

#[test]
fn an_answer_from_before_a_request_does_not_speak_for_it() {
    let mut fleet = three(&MOVED);
    let early = fleet.question(A, C, true);
    fleet.tick();
    fleet.reload(C, 1);
    fleet.ask(C, A);
    fleet.arrive(A, C, early);
    fleet.no_answer(A, C, NoAnswer::Silent);
    assert!(!fleet.may_write(A, STAYS), "it may have any view");
}

#[test]
fn a_member_that_nobody_lists_counts_as_long_as_it_sends_requests() {
    let mut fleet = three(&REMOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.restart(A, 1, 0);
    fleet.restart(B, 1, 0);
    for _ in 0..3 * AFTERMATH {
        fleet.ask(C, A);
        fleet.ask(A, B);
        fleet.ask(B, A);
        assert!(!fleet.may_write(A, MOVES));
        fleet.tick();
    }
    fleet.crash(C);
    // It may have died long after its last request.
    for _ in 1..2 * AFTERMATH {
        assert!(!fleet.may_write(A, MOVES));
        fleet.ask(A, B);
        fleet.tick();
    }
    assert_eq!(fleet.writers(MOVES), 0);
    fleet.tick();
    assert!(fleet.may_write(A, MOVES));
}
