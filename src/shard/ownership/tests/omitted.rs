//! Rules that small searches do not show: each left out, and what it was for goes wrong.

use super::super::omit::{OMITTED, Rule};
use super::super::{NoAnswer, Verdict};
use super::fleet::{A, B, C, Fleet};
use super::shown::{shown_and_never_told, shown_before_all_restart, told_late};
use super::{AFTERMATH, MOVED, MOVES, REMOVED, three};

/// Leaves a rule out as long as it lives.
pub(super) struct Without;

impl Without {
    pub(super) fn rule(rule: Rule) -> Self {
        OMITTED.set(Some(rule));
        Self
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        OMITTED.set(None);
    }
}

/// C is removed and lives, and A gets no answer so often, with so many ticks in between.
fn unanswered(times: u64, ticks: u64, why: &NoAnswer) -> Fleet {
    let mut fleet = three(&REMOVED);
    fleet.reload(A, 1);
    fleet.reload(B, 1);
    fleet.ask(A, B);
    fleet.ask(A, C);
    for _ in 0..times {
        fleet.no_answer(A, C, why.clone());
        fleet.pass(ticks);
    }
    fleet
}

/// C is slow first, and dies then.
fn slow_before_its_death() -> Fleet {
    let mut fleet = unanswered(5, 1, &NoAnswer::Silent);
    fleet.crash(C);
    for _ in 0..AFTERMATH - 2 {
        fleet.ask(A, C);
        fleet.tick();
    }
    fleet
}

/// C does not answer A, and goes on asking it.
fn one_sided() -> Fleet {
    let mut fleet = unanswered(1, 1, &NoAnswer::Silent);
    for _ in 1..2 * AFTERMATH {
        fleet.no_answer(A, C, NoAnswer::Silent);
        fleet.ask(C, A);
        fleet.tick();
    }
    fleet.no_answer(A, C, NoAnswer::Silent);
    fleet
}

/// A never reached C, and has a view without it now.
fn never_told() -> Fleet {
    let mut fleet = three(&REMOVED);
    fleet.restart(A, 0, 0);
    fleet.ask(A, B);
    fleet.no_answer(A, C, NoAnswer::Silent);
    fleet.reload(A, 1);
    fleet.cannot_ask(A, &[C]);
    // And nobody is left who could tell of C.
    fleet.restart(B, 1, 0);
    for _ in 0..=AFTERMATH {
        fleet.ask(A, B);
        fleet.tick();
    }
    fleet
}

/// A begins with another view while C writes, and nobody is there who could tell of it.
fn nobody_to_ask() -> Fleet {
    let mut fleet = three(&MOVED);
    assert_eq!(fleet.write(C, MOVES), Verdict::Admit);
    fleet.crash(B);
    fleet.restart(A, 1, 0);
    for _ in 0..AFTERMATH {
        fleet.ask(A, B);
        fleet.no_answer(A, C, NoAnswer::Silent);
        fleet.tick();
    }
    fleet.crash(C);
    fleet.ask(A, C);
    fleet
}

#[test]
fn rules_that_small_fleets_do_not_show_are_missed_too() {
    type Case = (Rule, fn() -> Fleet);
    let cases: [Case; 10] = [
        (Rule::AskAgain, || {
            unanswered(2, 2 * AFTERMATH, &NoAnswer::Silent)
        }),
        (Rule::ForgiveOwnErrors, || {
            unanswered(2 * AFTERMATH, 1, &NoAnswer::NotAsked)
        }),
        (Rule::AllowForPartition, || {
            unanswered(2 * AFTERMATH, 1, &NoAnswer::Silent)
        }),
        (Rule::CountFromRefusal, slow_before_its_death),
        (Rule::HearRequests, one_sided),
        (Rule::AssumeSharedView, never_told),
        (Rule::WaitForListed, nobody_to_ask),
        (Rule::RememberUntoldView, shown_and_never_told),
        (Rule::TestifyUntoldView, shown_before_all_restart),
        (Rule::DoubtLateAnswers, told_late),
    ];
    for (rule, case) in cases {
        let with = case();
        assert!(!with.may_write(A, MOVES), "{rule:?}");
        let _without = Without::rule(rule);
        let without = case();
        assert!(without.may_write(A, MOVES), "{rule:?} is not missed");
    }
}
