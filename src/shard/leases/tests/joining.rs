//! Who is taken into a view, and who is taken off it.

use super::super::event::{Call, Event, Note, Wishes};
use super::super::omit::Rule;
use super::super::record::{Incarnation, Lease, LeaseState, Policy, Seat};
use super::super::{Departure, Phase, Setup};
use super::mutants::Without;
use super::node::REPOSITORIES;
use super::one::{One, alone, lease, numbered, pass, put_lease, put_view, seat, the_view};
use super::plan::{Plan, SECOND};
use super::world::MILLI;
use crate::shard::members::Weight;
use crate::shard::members::tests::id;

/// A process that had got a lease and died before it was a member is no wish.
#[test]
fn who_joins_does_not_add_the_dead() {
    let is_added = || {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        put_lease(&mut store, lease(&numbered(&Plan::calm(), 1, 2), 0));
        // Hours later.
        pass(SECOND * 60, &mut now, &mut store, &mut [&mut one]);
        let mut joins = One::new(numbered(&Plan::calm(), 2, 3));
        pass(
            SECOND * 5,
            &mut now,
            &mut store,
            &mut [&mut one, &mut joins],
        );
        let view = the_view(&store).now;
        assert!(view.seat(&id("c")).is_some());
        view.seat(&id("b")).is_some()
    };
    assert!(
        !is_added(),
        "who died before it was a member owns a third of all repositories"
    );
    let _without = Without::rules(&[Rule::AddOnlyRenewed]);
    assert!(is_added());
}

/// They are in one view, but for the first.
#[test]
fn those_who_join_at_once_are_added_at_once() {
    let plan = Plan::calm();
    let (mut one, mut store, mut now) = alone(numbered(&plan, 0, 1));
    let mut others: Vec<One> = (1..8u64)
        .map(|index| One::new(numbered(&plan, usize::try_from(index).unwrap(), index + 1)))
        .collect();
    let mut all: Vec<&mut One> = others.iter_mut().chain([&mut one]).collect();
    pass(SECOND * 12, &mut now, &mut store, &mut all);
    let view = the_view(&store);
    assert_eq!(view.now.members.len(), 8);
    assert!(view.chain.is_empty());
    assert!(view.now.epoch.0 <= 4, "{} views", view.now.epoch);
}

/// 300 are there. Who joins needs to know of those who are in the view that they have acknowledged.
#[test]
fn who_joins_a_large_fleet_reads_it_once() {
    let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    let template = numbered(&Plan::calm(), 1, 2);
    let mut seats = the_view(&store).now.members;
    for index in 0..299 {
        let mut lease = lease(&template, 3);
        lease.id = id(&format!("m{index:03}"));
        lease.address = format!("m{index:03}:5443").parse().unwrap();
        seats.push(Seat {
            id: lease.id.clone(),
            address: lease.address.clone(),
            ..seat(&template)
        });
        put_lease(&mut store, lease);
    }
    put_view(&mut store, 2, seats, Vec::new(), &template);
    pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
    let before = store.reads;
    let mut joins = One::new(numbered(&Plan::calm(), 2, 3));
    let begin = now;
    while the_view(&store).now.epoch.0 < 3 {
        pass(
            MILLI * 100,
            &mut now,
            &mut store,
            &mut [&mut one, &mut joins],
        );
    }
    assert!(now - begin < SECOND * 2, "{:?}", now - begin);
    let reads = store.reads - before;
    assert!(reads < 12, "{reads} reads");
}

/// Leases of members that have left stay in the store, and so do those of some that died before they were
/// members: nobody waits for them for long.
#[test]
fn who_joins_beside_many_leases_of_the_past_is_soon_a_member() {
    for (left, died, within) in [(200, 0, 12), (50, 2, 25)] {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        for index in 0..left + died {
            let mut past = lease(&numbered(&Plan::calm(), 1, 2), 0);
            past.id = id(&format!("m{index:03}"));
            past.address = format!("m{index:03}:5443").parse().unwrap();
            if index < left {
                past.state = LeaseState::Released;
            }
            put_lease(&mut store, past);
        }
        let mut joins = One::new(numbered(&Plan::calm(), 2, 3));
        let begin = now;
        while !joins.coordinator.is_member() {
            let mut both = [&mut one, &mut joins];
            pass(MILLI * 100, &mut now, &mut store, &mut both);
            assert!(now - begin < SECOND * within, "{left} left, {died} died");
        }
    }
}

/// R7 limits those that were fenced; who has left in good order does not count.
#[test]
fn leaving_members_do_not_delay_the_removal_of_a_dead_one() {
    let is_removed = || {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        let setups: Vec<Setup> = (1..6u64)
            .map(|index| numbered(&Plan::calm(), usize::try_from(index).unwrap(), index + 1))
            .collect();
        let mut seats = the_view(&store).now.members;
        for other in &setups {
            put_lease(&mut store, lease(other, 99));
            seats.push(seat(other));
        }
        put_view(&mut store, 2, seats.clone(), Vec::new(), &setups[0]);
        pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
        // b is fenced; d, e and f leave in good order in that moment.
        let members = the_view(&store).now;
        seats.retain(|seat| !["d", "e", "f"].contains(&seat.id.as_str()));
        put_view(&mut store, 3, seats, vec![members], &setups[0]);
        let fenced = Lease {
            state: LeaseState::Fenced,
            version: 2,
            ..lease(&setups[0], 99)
        };
        put_lease(&mut store, fenced);
        one.tell(Event::Poked, now);
        one.tell(Event::Down(id("b")), now);
        pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
        let view = the_view(&store);
        assert_eq!(view.fenced, u64::from(view.now.seat(&id("b")).is_none()));
        view.now.seat(&id("b")).is_none()
    };
    assert!(is_removed(), "of 3, 1 was fenced, and is a member still");
    let _without = Without::rules(&[Rule::CountOnlyFenced]);
    assert!(!is_removed());
}

/// More than half of 20 go one by one within the time that a lease lasts, or over a longer one.
#[test]
fn removals_are_remembered_by_their_time() {
    let (mut one, _, now) = alone(numbered(&Plan::calm(), 0, 1));
    let lasts = SECOND * 10;
    for removal in 0..20 {
        let at = now + MILLI * 400 * removal;
        one.coordinator.removals.note(at, 1, lasts);
    }
    let within = |at| one.coordinator.removals.within(lasts, at);
    assert_eq!(within(now + SECOND * 8), 20);
    let left = within(now + SECOND * 15);
    assert!((5..=12).contains(&left), "{left}");
    assert_eq!(within(now + SECOND * 20), 0);
}

/// Our lease was deleted while we were no process, or were one: whoever had it may write for as long as
/// it lasted, and has another incarnation than we.
#[test]
fn a_deleted_lease_is_followed_by_another_incarnation() {
    let begins = |wait| {
        let (_, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        store.leases.clear();
        let mut next = One::new(numbered(&Plan::calm(), 0, 2));
        pass(wait, &mut now, &mut store, &mut [&mut next]);
        let lease = store.leases.get(&id("a")).map(|(lease, _)| lease.clone());
        lease.map(|lease| (lease.incarnation, next.may_write(0, now).is_ok()))
    };
    // A lease of 10 s, and 5 s of grace.
    assert_eq!(begins(SECOND * 15), None);
    assert_eq!(begins(SECOND * 25), Some((Incarnation(2), true)));
    let _without = Without::rules(&[Rule::GoBeyondDeleted]);
    assert!(begins(SECOND * 15).is_some(), "beside who may still write");
}

/// A member has left, and somebody tidies up and deletes its lease. It comes back: others, which remember
/// that it was over, do not take it for that one and write beside it.
#[test]
fn who_comes_back_after_its_lease_was_deleted_is_another() {
    let both_write = || {
        let plan = Plan::calm();
        let (mut b, mut store, mut now) = alone(numbered(&plan, 1, 1));
        let mut a = One::new(numbered(&plan, 0, 2));
        pass(SECOND * 8, &mut now, &mut store, &mut [&mut a, &mut b]);
        assert!(a.coordinator.is_member());
        a.tell(Event::Go(Departure::Leave), now);
        while store.leases[&id("a")].0.state != LeaseState::Released {
            now += MILLI * 100;
            a.tell(Event::Tick, now);
            a.answer(&mut store, now);
        }
        // It is b that takes it off the view, and so has read that.
        b.tell(Event::Down(id("a")), now);
        pass(SECOND * 3, &mut now, &mut store, &mut [&mut b]);
        pass(SECOND * 5, &mut now, &mut store, &mut [&mut a, &mut b]);
        assert_eq!(a.gone, Some(Departure::Leave));
        store.leases.remove(&id("a"));
        let mut a = One::new(numbered(&plan, 0, 3));
        let before = the_view(&store).now.epoch;
        while the_view(&store).now.epoch == before {
            pass(MILLI * 100, &mut now, &mut store, &mut [&mut a]);
        }
        // b acknowledges that. If it puts another view in its place, that takes its time.
        b.tell(Event::Poked, now);
        let mut held = Vec::new();
        for _ in 0..4 {
            for (call, what) in std::mem::take(&mut b.calls) {
                if matches!(what, Call::PutView(..)) {
                    held.push((call, what));
                } else {
                    let answer = store.carry_out(&what);
                    b.tell(Event::Answered { call, answer }, now);
                }
            }
        }
        pass(SECOND, &mut now, &mut store, &mut [&mut a]);
        for (call, what) in held {
            let answer = store.carry_out(&what);
            b.tell(Event::Answered { call, answer }, now);
        }
        pass(SECOND, &mut now, &mut store, &mut [&mut b]);
        (0..REPOSITORIES.len())
            .any(|index| a.may_write(index, now).is_ok() && b.may_write(index, now).is_ok())
    };
    assert!(!both_write());
    let _without = Without::rules(&[Rule::GoBeyondForgotten]);
    assert!(both_write());
}

/// One that was never a member takes the first incarnation at once.
#[test]
fn who_is_new_does_not_wait() {
    let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    let mut joins = One::new(numbered(&Plan::calm(), 1, 2));
    pass(
        SECOND * 3,
        &mut now,
        &mut store,
        &mut [&mut one, &mut joins],
    );
    assert!(joins.notes.contains(&Note::Leased));
    assert!(joins.coordinator.is_member());
}

/// What a file says that has a pin and another share.
fn pinned(setup: &Setup, key: &str) -> Event {
    Event::Wishes(Wishes {
        policy: Policy {
            pins: vec![("team".into(), "b".into())],
            key: key.into(),
            ..setup.policy.clone()
        },
        weight: Weight::new(3).unwrap(),
    })
}

/// Files that change while all run.
#[test]
fn a_view_takes_what_the_files_of_all_say() {
    let plan = Plan::calm();
    let setup = numbered(&plan, 0, 1);
    let (mut one, mut store, mut now) = alone(setup.clone());
    let mut other = One::new(numbered(&plan, 1, 2));
    let some_time = SECOND * 10;
    pass(some_time, &mut now, &mut store, &mut [&mut one, &mut other]);
    let before = the_view(&store).now;
    assert_eq!(before.members.len(), 2);
    let wishes = pinned(&setup, &setup.policy.key);

    // A share is one's own affair; a pin is not.
    one.tell(wishes.clone(), now);
    pass(some_time, &mut now, &mut store, &mut [&mut one, &mut other]);
    let view = the_view(&store);
    assert_eq!(view.now.policy, before.policy);
    let weights = view.now.members.iter().map(|seat| seat.weight.get());
    assert_eq!(weights.collect::<Vec<_>>(), [3, 1]);
    assert_eq!(one.coordinator.policy_waits_for(), Some(&id("b")));
    assert_eq!(other.coordinator.policy_waits_for(), None);

    other.tell(wishes, now);
    pass(some_time, &mut now, &mut store, &mut [&mut one, &mut other]);
    let view = the_view(&store);
    assert_eq!(view.now.policy.pins, [("team".into(), "b".into())]);
    assert!(view.chain.is_empty(), "{view:?}");
    assert_eq!(one.coordinator.policy_waits_for(), None);
}

/// Nobody could read a view with it.
#[test]
fn another_key_is_never_taken_into_a_view() {
    let setup = numbered(&Plan::calm(), 0, 1);
    let (mut one, mut store, mut now) = alone(setup.clone());
    let before = the_view(&store).now.policy;
    one.tell(pinned(&setup, "another"), now);
    pass(SECOND * 10, &mut now, &mut store, &mut [&mut one]);
    assert_eq!(the_view(&store).now.policy, before);
    assert_eq!(one.coordinator.phase(), Phase::Serving);
    assert!(one.may_write(0, now).is_ok());
}
