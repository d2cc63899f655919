//! Schedules of a few members that runs by chance do not meet, or seldom: each was missed by the rules once.

use std::time::Duration;

use super::super::event::{Answer, Call, CallId, Effect, Event, Note};
use super::super::omit::Rule;
use super::super::record::{Arrangement, Epoch, Lease, LeaseState};
use super::super::{Departure, Layout, Phase, Setup, Wait};
use super::mutants::Without;
use super::node::{REPOSITORIES, repository};
use super::one::{One, alone, lease, numbered, pass, put_lease, put_view, seat, the_view};
use super::plan::{Plan, SECOND};
use super::store::Store;
use super::world::MILLI;
use crate::shard::members::tests::id;
use crate::shard::placement::Placement;

fn all_but(setups: &[Setup], epoch: u64, without: &[usize]) -> Arrangement {
    let stays = setups.iter().enumerate();
    let stays = stays.filter(|(index, _)| !without.contains(index));
    Arrangement {
        epoch: Epoch(epoch),
        members: stays.map(|(_, setup)| seat(setup)).collect(),
        policy: setups[0].policy.clone(),
    }
}

/// Two that leave, such that a repository goes away from one that stays, and back: both, the repository,
/// and whose it is before and in between.
fn away_and_back(setups: &[Setup]) -> (usize, usize, usize, usize, usize) {
    let owner = |without: &[usize], index: usize| {
        let layout = Layout::new(all_but(setups, 1, without), &setups[0]).unwrap();
        let (owner, _) = layout.owner(&repository(index));
        let owner = owner.clone();
        setups.iter().position(|setup| setup.id == owner).unwrap()
    };
    for first in 0..setups.len() {
        for second in (0..setups.len()).filter(|second| *second != first) {
            for index in 0..REPOSITORIES.len() {
                let owners =
                    [&[][..], &[first], &[first, second]].map(|without| owner(without, index));
                let stay = owners.iter().all(|owner| ![first, second].contains(owner));
                if stay && owners[0] == owners[2] && owners[0] != owners[1] {
                    return (first, second, index, owners[0], owners[1]);
                }
            }
        }
    }
    panic!("zot's placement does that");
}

/// Two members leave one after the other, and the placement is zot's. A repository goes from A to B
/// and back to A. A's upload is under way all the time. A acknowledges the last view, by which nothing is
/// lost; B, which has not read that view yet, takes it for an acknowledgement of the one between.
#[test]
fn an_acknowledgement_of_a_later_view_says_nothing_of_the_one_between() {
    let plan = Plan {
        placement: Placement::Zot,
        members: 6,
        ..Plan::calm()
    };
    let setups: Vec<Setup> = (0..6u64)
        .map(|index| numbered(&plan, usize::try_from(index).unwrap(), index + 1))
        .collect();
    let arrangement = |epoch, without: &[usize]| all_but(&setups, epoch, without);
    let (first, second, index, at_a, at_b) = away_and_back(&setups);
    let (mut store, mut now) = (Store::default(), SECOND);
    let one = &setups[0];
    put_view(&mut store, 1, arrangement(1, &[]).members, Vec::new(), one);
    for other in (0..6).filter(|other| *other != at_a && *other != at_b) {
        put_lease(&mut store, lease(&setups[other], 9));
    }
    for of in [at_a, at_b] {
        let parked = Lease {
            state: LeaseState::Parked,
            ..lease(&setups[of], 1)
        };
        put_lease(&mut store, parked);
    }
    let (mut a, mut b) = (
        One::new(setups[at_a].clone()),
        One::new(setups[at_b].clone()),
    );
    pass(SECOND * 3, &mut now, &mut store, &mut [&mut a, &mut b]);
    assert!(a.may_write(index, now).is_ok());
    // An upload begins.
    let incarnation = a.may_write(index, now).unwrap();
    a.begins_write(index);
    // The first leaves: the repository is B's, which waits for A.
    let chain = vec![arrangement(1, &[])];
    put_view(&mut store, 2, arrangement(2, &[first]).members, chain, one);
    pass(SECOND * 3, &mut now, &mut store, &mut [&mut a, &mut b]);
    assert!(matches!(
        b.may_write(index, now),
        Err(Wait::Acknowledgement(_))
    ));
    b.tell(Event::Wanted(setups[at_a].id.clone()), now);
    // The second leaves while the upload goes on. A is told at once, B's poke is lost.
    let chain = vec![arrangement(1, &[]), arrangement(2, &[first])];
    let last = arrangement(3, &[first, second]).members;
    put_view(&mut store, 3, last, chain, one);
    a.tell(Event::Poked, now);
    pass(MILLI * 200, &mut now, &mut store, &mut [&mut a]);
    for _ in 0..6 {
        now += MILLI * 100;
        b.tell(Event::Tick, now);
        for _ in 0..3 {
            b.answer(&mut store, now);
            let finishes = a
                .snapshot
                .as_ref()
                .unwrap()
                .may_finish(incarnation, a.clock(now));
            assert!(
                b.may_write(index, now).is_err() || !finishes,
                "{} writes {} beside {}'s upload, which may finish",
                setups[at_b].id,
                REPOSITORIES[index],
                setups[at_a].id,
            );
        }
    }
}

/// Nothing is under way in the step that takes `Go`, so it sends `Released` (or `Parked`) at once.
/// The request path still reads the snapshot before it: what it admits until the next one is there is
/// counted by nobody.
#[test]
fn nothing_is_released_before_the_request_path_was_told() {
    for departure in [Departure::Leave, Departure::Park] {
        let (mut one, _, now) = alone(numbered(&Plan::calm(), 0, 1));
        let clock = one.clock(now);
        let effects = one
            .coordinator
            .step(Event::Go(departure), clock, &one.ledger);
        // Between the step and the first of its effects a request comes in.
        assert!(one.may_write(0, now).is_ok());
        let gives_up = |effect: &Effect| matches!(effect, Effect::Call(_, Call::PutLease(_, lease)) if lease.state != LeaseState::Live);
        assert!(
            !effects.iter().any(gives_up),
            "{departure:?} is stored while writes are admitted"
        );
    }
}

/// The process that is proven dead is not the one that holds the lease: the member was started on
/// another machine meanwhile, whose replica has the same name (127.0.0.1:5000).
#[test]
fn a_proof_of_another_process_takes_no_lease() {
    let here = |process| Setup {
        replica: "127.0.0.1:5000".into(),
        ..numbered(&Plan::calm(), 0, process)
    };
    // Process 1 ran on the first machine and is dead. Process 2 runs on the second.
    let (second, mut store, mut now) = alone(here(2));
    // Process 3 starts on the first machine, where the lock says that process 1 is dead.
    let mut third = One::new(Setup {
        dead_predecessor: Some(1),
        ..here(3)
    });
    pass(SECOND * 2, &mut now, &mut store, &mut [&mut third]);
    assert!(
        second.may_write(0, now).is_err() || third.may_write(0, now).is_err(),
        "both write, at two replicas"
    );
}

/// The process before this one had more grace: what it left at the replica may take that long.
#[test]
fn what_a_dead_process_left_takes_as_long_as_its_lease_said() {
    let mut before = numbered(&Plan::calm(), 0, 1);
    before.replica = "replica".into();
    before.timing.grace = SECOND * 30;
    let (dead, mut store, mut now) = alone(before.clone());
    // It has written all of a body, and is killed. Another member is to get everything.
    dead.begins_write(0);
    drop(dead);
    let mut next = Setup {
        dead_predecessor: Some(1),
        process: 2,
        ..before.clone()
    };
    next.timing.grace = SECOND * 5;
    let mut next = One::new(next);
    pass(SECOND * 2, &mut now, &mut store, &mut [&mut next]);
    let base = the_view(&store).now;
    let other = numbered(&Plan::calm(), 1, 9);
    put_lease(&mut store, lease(&other, 9));
    let mut seats = base.members.clone();
    seats.push(seat(&other));
    put_view(&mut store, 2, seats, vec![base], &before);
    pass(SECOND * 12, &mut now, &mut store, &mut [&mut next]);
    let acked = store.leases[&id("a")].0.acked;
    assert!(acked < Epoch(2), "acknowledged 12 s after a crash, of 30 s");
    let grace = store.leases[&id("a")].0.grace_ms;
    assert!(grace >= 30_000, "and others would wait for {grace} ms");
}

/// A machine stands still again and again, for less than the margin each time. Its clocks go apart
/// by many margins within one lease.
#[test]
fn clocks_that_go_apart_step_by_step_go_apart() {
    let (mut one, _, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    // The store cannot be reached from now on.
    let begin = now;
    let mut stood = Duration::ZERO;
    while now - begin < SECOND * 5 {
        now += MILLI * 500;
        one.tell(Event::Tick, now);
        one.wall_ahead += MILLI * 900;
        stood += MILLI * 900;
        one.tell(Event::Tick, now);
        one.calls.clear();
    }
    assert!(
        one.may_write(0, now).is_err(),
        "its lease of 10 s has lasted for {:?}",
        now - begin + stood
    );
}

/// A renewal's answer is lost, and a read finds it done. The clocks that count for it are those of when it
/// was sent: they had gone apart by less than the margin before, and have come together again since.
#[test]
fn a_renewal_that_a_read_finds_done_has_its_own_clocks() {
    let lasts = || {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        let is_renewal = |(_, call): &(CallId, Call)| matches!(call, Call::PutLease(..));
        // The time of day is set back.
        one.wall_ahead -= MILLI * 900;
        while !one.calls.iter().any(is_renewal) {
            one.answer(&mut store, now);
            now += MILLI * 100;
            one.tell(Event::Tick, now);
        }
        let sent = now;
        for (call, put) in std::mem::take(&mut one.calls) {
            store.carry_out(&put);
            let answer = Answer::Unknown;
            one.tell(Event::Answered { call, answer }, now);
        }
        while now - sent < SECOND * 2 {
            now += MILLI * 100;
            one.tell(Event::Tick, now);
            one.calls
                .retain(|(_, call)| matches!(call, Call::ReadLease(_)));
            one.answer(&mut store, now);
        }
        // The machine stands still for that long, and its time of day is right again.
        one.wall_ahead += MILLI * 1800;
        one.may_write(0, now).is_ok()
    };
    assert!(!lasts(), "for 1.8 s longer than others think");
    let _without = Without::rules(&[Rule::MindClocksOfLostAnswers]);
    assert!(lasts());
}

/// A put is carried out, its answer is lost on the way, and what is in between (a load balancer,
/// a gateway) asks again: the condition does not hold any more. Our own nonce is there.
#[test]
fn a_conflict_with_our_own_put_is_none() {
    let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    let is_renewal = |(_, call): &(CallId, Call)| matches!(call, Call::PutLease(..));
    while !one.calls.iter().any(is_renewal) {
        one.answer(&mut store, now);
        now += MILLI * 100;
        one.tell(Event::Tick, now);
    }
    for (id, call) in std::mem::take(&mut one.calls) {
        store.carry_out(&call);
        let answer = store.carry_out(&call);
        one.tell(Event::Answered { call: id, answer }, now);
    }
    pass(SECOND * 3, &mut now, &mut store, &mut [&mut one]);
    assert_eq!(one.coordinator.phase(), Phase::Serving);
}

/// All who leave at once are gone, though each knows that the other is over.
#[test]
fn the_last_two_leave() {
    let plan = Plan::calm();
    let (mut one, mut store, mut now) = alone(numbered(&plan, 0, 1));
    let b = numbered(&plan, 1, 2);
    let base = the_view(&store).now;
    let mut seats = base.members.clone();
    seats.push(seat(&b));
    let released = Lease {
        state: LeaseState::Released,
        ..lease(&b, 2)
    };
    put_lease(&mut store, lease(&b, 1));
    put_view(&mut store, 2, seats, vec![base], &b);
    pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
    // Both are told to leave; b has, and is read by a before the view was changed.
    one.begins_write(0);
    one.tell(Event::Go(Departure::Leave), now);
    put_lease(
        &mut store,
        Lease {
            version: 2,
            ..released
        },
    );
    pass(SECOND, &mut now, &mut store, &mut [&mut one]);
    one.ledger.entries.borrow_mut().clear();
    pass(SECOND * 20, &mut now, &mut store, &mut [&mut one]);
    assert_eq!(one.gone, Some(Departure::Leave));
}

/// A process waits for the one before it, and has read the view meanwhile. The one before takes the
/// next view, acknowledges it and parks. Its lease is taken up, with that acknowledgement, by a process
/// that works by the view before.
#[test]
fn who_takes_up_a_lease_works_by_the_view_that_it_acknowledges() {
    let plan = Plan::calm();
    let (mut before, mut store, mut now) = alone(numbered(&plan, 0, 1));
    let mut next = One::new(numbered(&plan, 0, 2));
    next.tell(Event::Tick, now);
    for _ in 0..3 {
        next.answer(&mut store, now);
    }
    assert!(next.notes.contains(&Note::WaitsForPredecessor));
    // b joins.
    let b = numbered(&plan, 1, 9);
    let base = the_view(&store).now;
    let mut seats = base.members.clone();
    seats.push(seat(&b));
    put_lease(&mut store, lease(&b, 2));
    put_view(&mut store, 2, seats, vec![base], &b);
    before.tell(Event::Poked, now);
    pass(MILLI * 300, &mut now, &mut store, &mut [&mut before]);
    assert_eq!(store.leases[&id("a")].0.acked, Epoch(2));
    before.tell(Event::Go(Departure::Park), now);
    pass(MILLI * 300, &mut now, &mut store, &mut [&mut before]);
    assert_eq!(before.gone, Some(Departure::Park));
    let layout = Layout::new(the_view(&store).now, &b).unwrap();
    let index = (0..REPOSITORIES.len())
        .find(|index| layout.owner(&repository(*index)).0.as_str() == "b")
        .unwrap();
    for _ in 0..30 {
        now += MILLI * 100;
        next.tell(Event::Tick, now);
        for _ in 0..4 {
            next.answer(&mut store, now);
            assert!(
                next.may_write(index, now).is_err(),
                "it writes what b has been given, and has acknowledged that"
            );
        }
    }
    assert_eq!(next.coordinator.phase(), Phase::Serving);
}

/// The watcher's clock is faster for the grace too, not for the lease alone.
#[test]
fn grace_is_measured_by_the_same_clock() {
    let mut plan = Plan::calm();
    plan.timing.grace = SECOND * 30;
    let (mut one, mut store, mut now) = alone(numbered(&plan, 0, 1));
    let b = numbered(&plan, 1, 2);
    let base = the_view(&store).now;
    let mut seats = base.members.clone();
    seats.push(seat(&b));
    let mut of_b = lease(&b, 2);
    of_b.grace_ms = 30_000;
    put_lease(&mut store, of_b);
    put_view(&mut store, 2, seats, vec![base], &b);
    pass(SECOND * 8, &mut now, &mut store, &mut [&mut one]);
    let mut renewed = store.leases[&id("b")].0.clone();
    (renewed.version, renewed.nonce.call) = (2, 2);
    put_lease(&mut store, renewed);
    one.tell(Event::Down(id("b")), now);
    let begin = now;
    while store.leases[&id("b")].0.state != LeaseState::Fenced {
        pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
    }
    // 1 % of 40 s.
    assert!(now - begin > MILLI * 40_450, "{:?}", now - begin);
}
