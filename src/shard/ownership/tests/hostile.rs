//! Whatever others tell and in whatever order it comes: nothing panics, and what must hold holds.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::report::{Seen, UnderWay, Witness};
use super::super::{Event, NoAnswer, Reply, Report, Verdict};
use super::fleet::{A, Fleet, IDS, member_id, party, replica};
use super::{AFTERMATH, JOINED, MOVES, STAYS};
use crate::shard::Description;

/// Short texts, some of which mean something.
fn text() -> impl Strategy<Value = String> {
    let known = IDS.iter().map(ToString::to_string).collect::<Vec<_>>();
    let views = JOINED
        .iter()
        .map(|layout| layout.view(A).fingerprint().to_string());
    let known = [
        known,
        views.collect(),
        vec!["a#1".to_owned(), String::new()],
    ]
    .concat();
    prop_oneof![proptest::sample::select(known), ".{0,12}"]
}

fn description() -> impl Strategy<Value = Description> {
    let honest = proptest::sample::select(JOINED.to_vec());
    let honest = honest.prop_map(|layout| layout.view(A).describe());
    let pairs = vec((text(), any::<u16>()), 0..4);
    let pins = vec((text(), text()), 0..4);
    let wild = (text(), text(), any::<u8>(), pairs, pins);
    let wild = wild.prop_map(|(key, placement, version, members, pins)| Description {
        key,
        placement,
        version,
        members,
        pins,
    });
    prop_oneof![honest, wild]
}

fn under_way() -> impl Strategy<Value = UnderWay> {
    let parts = (text(), description(), text(), option::of(vec(text(), 0..4)));
    parts.prop_map(
        |(fingerprint, description, replica, repositories)| UnderWay {
            fingerprint,
            description,
            replica,
            repositories,
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    let who = (text(), text(), text(), text());
    let what = (
        option::of(text()),
        option::of(vec(text(), 0..4)),
        any::<u64>(),
    );
    (who, what).prop_map(
        |((member, address, start, replica), (view, repositories, left_ms))| Seen {
            member,
            address,
            start,
            replica,
            view,
            repositories,
            left_ms,
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    let witness = (
        any::<bool>(),
        vec(seen(), 0..4),
        vec((text(), description()), 0..3),
    );
    let witness = witness.prop_map(|(complete, claims, views)| Witness {
        unheard: Vec::new(),
        complete,
        claims,
        views,
    });
    let who = (text(), text(), any::<u64>(), text(), any::<bool>());
    let what = (
        option::of(description()),
        vec(under_way(), 0..20),
        option::of(witness),
    );
    (who, what).prop_map(
        |((view, start, up_ms, replica, vouches), (description, also, seen))| Report {
            view,
            start,
            up_ms,
            replica,
            description,
            also,
            vouches,
            seen,
        },
    )
}

/// What may happen to a member.
#[derive(Debug, Clone)]
enum Step {
    Told(usize, Box<Report>),
    Unreadable(usize, bool),
    NoAnswer(usize, NoAnswer),
    Asked(usize, usize),
    Reload(usize),
    Replica(u8),
    Write(bool),
    Finish,
    GiveUp,
    Ask(usize),
    Pass(u64),
    Away(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let other = 1..IDS.len();
    let layout = 0..JOINED.len();
    let why = proptest::sample::select(vec![
        NoAnswer::Silent,
        NoAnswer::Refused,
        NoAnswer::Closed("closed".to_owned()),
        NoAnswer::Replaced,
        NoAnswer::NotAsked,
    ]);
    prop_oneof![
        (other.clone(), report()).prop_map(|(who, report)| Step::Told(who, Box::new(report))),
        (other.clone(), any::<bool>()).prop_map(|(who, without)| Step::Unreadable(who, without)),
        (other.clone(), why).prop_map(|(who, why)| Step::NoAnswer(who, why)),
        (0..IDS.len(), layout.clone()).prop_map(|(who, layout)| Step::Asked(who, layout)),
        layout.prop_map(Step::Reload),
        (0..3_u8).prop_map(Step::Replica),
        any::<bool>().prop_map(Step::Write),
        Just(Step::Finish),
        Just(Step::GiveUp),
        other.prop_map(Step::Ask),
        (0..2 * AFTERMATH).prop_map(Step::Pass),
        (0..2 * AFTERMATH).prop_map(Step::Away),
    ]
}

fn take(fleet: &mut Fleet, step: Step) {
    match step {
        Step::Told(who, report) => {
            fleet.tell(A, who, Reply::Report(report));
        }
        Step::Unreadable(who, true) => {
            fleet.tell(A, who, Reply::WithoutUs);
        }
        Step::Unreadable(who, false) => {
            fleet.tell(A, who, Reply::Unreadable);
        }
        Step::NoAnswer(who, why) => {
            fleet.no_answer(A, who, why);
        }
        Step::Asked(who, layout) => {
            let view = Some(*JOINED[layout].view(A).fingerprint());
            fleet.step(
                A,
                Event::Asked {
                    member: member_id(who),
                    view,
                    replica: None,
                },
            );
        }
        Step::Reload(layout) => {
            fleet.reload(A, layout);
        }
        Step::Replica(number) => {
            fleet.move_replica(A, number);
        }
        Step::Write(moves) => {
            let settled = fleet.snapshot(A).is_settled();
            let verdict = fleet.write(A, if moves { MOVES } else { STAYS });
            assert!(
                settled || verdict != Verdict::Admit,
                "admitted before all is known"
            );
        }
        Step::Finish => fleet.finish(A),
        Step::GiveUp => fleet.give_up(A),
        Step::Ask(who) => {
            if fleet.running(who).is_some() && fleet.asked_by(A).contains(&who) {
                fleet.ask(A, who);
            }
        }
        Step::Pass(ticks) => fleet.pass(ticks),
        Step::Away(ticks) => {
            fleet.now += Duration::from_secs(ticks);
            fleet.step(A, Event::Tick);
        }
    }
}

/// What holds at any time, whatever was told.
fn check(fleet: &Fleet) {
    let (rules, snapshot) = (fleet.rules(A), fleet.snapshot(A));
    let ours = rules.view.fingerprint();
    for obstacle in &snapshot.obstacles {
        let others = obstacle.who != super::super::snapshot::Who::Ourselves;
        assert!(
            !others || obstacle.extent.view() != Some(ours),
            "our own view is in the way"
        );
    }
    assert_eq!(snapshot.generation, rules.generation);
    assert_eq!(snapshot.round, rules.round, "a change was not published");
    assert!(std::sync::Arc::ptr_eq(&snapshot.ledger, &rules.ledger));
    assert_eq!(snapshot.waits, rules.wait());
    assert!(!rules.parties.contains_key(&party(A)));
    assert!(
        rules
            .past
            .iter()
            .all(|ledger| ledger.begin(&STAYS.into(), false).is_none())
    );
    // Two replicas of ours never write one repository.
    assert!(fleet.writers(MOVES) <= 1 && fleet.writers(STAYS) <= 1);
    assert_eq!(snapshot.replica(), rules.ledger.replica());
    let _ = snapshot.disputes();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_is_told_makes_a_process_panic(steps in vec(step(), 1..40)) {
        let mut fleet = Fleet::settled(&JOINED, AFTERMATH, &[A, 1]);
        assert_eq!(fleet.snapshot(A).replica(), &replica(A, 0));
        for step in steps {
            take(&mut fleet, step);
            check(&fleet);
        }
    }
}
