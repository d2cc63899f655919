//! Rules that a small fleet does not show: each by itself.

use std::sync::Arc;
use std::time::Duration;

use super::super::report::Memory;
use super::super::{
    Asker, Event, Moment, NoAnswer, Ownership, PartyId, ProcessId, ReplicaId, Reply, Report, Rules,
    Snapshot, Verdict, Wait,
};
use crate::shard::members::tests::{id, weighted_members};
use crate::shard::pins::Pins;
use crate::shard::view::View;
use crate::shard::{HashKey, Placement, Repository};

const AFTERMATH: Duration = Duration::from_secs(30);
const RULES: Rules = Rules {
    aftermath: AFTERMATH,
    patience: Duration::from_secs(20),
};
const KEY: [u8; 16] = *b"loremipsumdolors";

fn at(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn view(key: [u8; 16], list: &[&str], local: &str) -> Arc<View> {
    let list: Vec<(&str, u16)> = list.iter().map(|id| (*id, 1)).collect();
    let members = weighted_members(&list, local);
    let pins = Pins::new(Vec::new()).unwrap();
    Arc::new(View::new(
        members,
        Placement::Rendezvous,
        &HashKey::from(key),
        pins,
    ))
}

fn start(view: &Arc<View>, memory: Option<&(Memory, Duration)>) -> Ownership {
    let process = ProcessId::new("a1");
    let replica = ReplicaId::new("r:1");
    Ownership::new(process, view.clone(), replica, RULES, memory, at(0)).0
}

fn peer(ownership: &Ownership) -> PartyId {
    ownership.asked_parties().next().unwrap().clone()
}

fn tells(ownership: &mut Ownership, report: Report, now: Moment) {
    let event = Event::Told {
        party: peer(ownership),
        round: 1,
        asked_at: now,
        reply: Reply::Report(Box::new(report)),
    };
    ownership.step(event, now);
}

fn says_nothing(ownership: &mut Ownership, why: NoAnswer, now: Moment) {
    let event = Event::Unanswered {
        party: peer(ownership),
        round: 1,
        asked_at: now,
        last_request: None,
        why,
    };
    ownership.step(event, now);
}

fn snapshot(ownership: &mut Ownership, now: Moment) -> Arc<Snapshot> {
    ownership.step(Event::Tick, now);
    ownership.snapshot(now)
}

/// What becomes of a write to a repository of ours.
fn verdict(ownership: &mut Ownership, now: Moment) -> Verdict {
    let snapshot = snapshot(ownership, now);
    let members = snapshot.view().members();
    let names: Vec<String> = (0..99).map(|number| format!("app-{number}")).collect();
    let mut ours = names.iter().map(|name| Repository::parse(name).unwrap());
    let ours = ours.find(|name| snapshot.view().owner(name) == members.local());
    snapshot.may_write(&ours.unwrap(), now, now)
}

/// An account of the other member, which has been up for long.
fn account(view: &View, up: Duration) -> Report {
    let mut other = Report {
        view: view.fingerprint().to_string(),
        start: "b1".into(),
        description: Some(view.describe()),
        ..Report::default()
    };
    other.up_ms = u64::try_from(up.as_millis()).unwrap();
    other
}

#[test]
fn errors_of_our_own_are_no_silence_however_many() {
    let view = view(KEY, &["a", "b"], "a");
    let mut ownership = start(&view, None);
    for second in 0..90 {
        says_nothing(&mut ownership, NoAnswer::NotAsked, at(second));
    }
    assert_eq!(
        verdict(&mut ownership, at(90)),
        Verdict::Hold(Wait::Starting)
    );
    for second in 91..=122 {
        says_nothing(&mut ownership, NoAnswer::Silent, at(second));
    }
    assert_eq!(verdict(&mut ownership, at(122)), Verdict::Admit);
}

#[test]
fn silence_counts_from_the_first_unanswered_question() {
    let view = view(KEY, &["a", "b"], "a");
    let mut ownership = start(&view, None);
    // For 29 seconds, and then a sign of life.
    for second in 0..30 {
        says_nothing(&mut ownership, NoAnswer::Silent, at(second));
    }
    let asked = Event::Asked {
        member: id("b"),
        view: None,
    };
    ownership.step(asked, at(30));
    for second in 31..61 {
        says_nothing(&mut ownership, NoAnswer::Silent, at(second));
    }
    assert_eq!(
        verdict(&mut ownership, at(61)),
        Verdict::Hold(Wait::Starting)
    );
    says_nothing(&mut ownership, NoAnswer::Silent, at(62));
    assert_eq!(verdict(&mut ownership, at(62)), Verdict::Admit);
}

#[test]
fn a_start_waits_for_the_start_of_everybody_it_can_reach() {
    let view = view(KEY, &["a", "b"], "a");
    let mut ownership = start(&view, None);
    for second in 1..20 {
        ownership.step(Event::Tick, at(second));
    }
    tells(&mut ownership, account(&view, at(0)), at(20));
    for second in 21..=49 {
        assert_eq!(
            verdict(&mut ownership, at(second)),
            Verdict::Hold(Wait::Starting)
        );
    }
    assert_eq!(verdict(&mut ownership, at(50)), Verdict::Admit);
}

#[test]
fn another_key_is_a_dispute_over_everything_and_an_old_one_is_refused() {
    let ours = view(KEY, &["a", "b"], "a");
    let theirs = view(*b"another key here", &["a", "b"], "b");
    let mut ownership = start(&ours, None);
    tells(&mut ownership, account(&theirs, AFTERMATH), at(1));
    let wait = Wait::Others(vec![id("b")]);
    for second in 2..=30 {
        verdict(&mut ownership, at(second));
    }
    assert_eq!(verdict(&mut ownership, at(31)), Verdict::Refuse(wait));

    tells(&mut ownership, account(&ours, AFTERMATH), at(32));
    assert_eq!(verdict(&mut ownership, at(32)), Verdict::Admit);
    tells(&mut ownership, account(&theirs, AFTERMATH), at(33));
    let wait = Wait::Others(vec![id("b")]);
    assert_eq!(verdict(&mut ownership, at(34)), Verdict::Hold(wait));
}

#[test]
fn writes_under_way_are_named_up_to_64_repositories() {
    let one = view(KEY, &["a", "b"], "a");
    let other = view(KEY, &["a", "b", "c"], "a");
    for count in [64, 65] {
        let mut ownership = start(&one, None);
        let ledger = ownership.snapshot(at(0)).ledger.clone();
        for number in 0..count {
            let name = Arc::from(format!("app-{number}"));
            assert!(ledger.begin(&name).is_some());
        }
        let taken = Event::ViewTaken {
            generation: 1,
            view: other.clone(),
            replica: ReplicaId::new("r:1"),
            rules: RULES,
        };
        ownership.step(taken, at(1));
        let report = ownership.report(&Asker::default(), at(1));
        let [also] = &*report.also else {
            panic!("{report:?}")
        };
        let named = also.repositories.as_ref().map(Vec::len);
        assert_eq!(named, (count == 64).then_some(64));
        assert!(ledger.begin(&Arc::from("late")).is_none(), "it is retired");
    }
}

#[test]
fn what_a_process_left_ends_the_wait_only_if_every_peer_was_left_it_too() {
    let view = view(KEY, &["a", "b"], "a");
    let mut before = start(&view, None);
    tells(&mut before, account(&view, AFTERMATH), at(0));
    for second in 1..=64 {
        before.step(Event::Tick, at(second));
    }
    let memory = before.memory(at(64));
    assert!(memory.complete);
    for (away, vouches, admits) in [(1, true, true), (1, false, false), (16, true, false)] {
        let left = (memory.clone(), at(away));
        let mut ownership = start(&view, Some(&left));
        let report = Report {
            vouches,
            ..account(&view, at(0))
        };
        tells(&mut ownership, report, at(1));
        let admitted = verdict(&mut ownership, at(1)) == Verdict::Admit;
        assert_eq!(admitted, admits, "away {away}, vouches {vouches}");
    }
}
