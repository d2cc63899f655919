//! Schedules of a few members in which the rules once waited for ever, froze, ended or killed without need.

use std::time::Duration;

use super::super::event::{Answer, Call, CallId, Event, Fault, Note};
use super::super::omit::Rule;
use super::super::record::{Arrangement, Epoch, Incarnation, Lease, LeaseState, Seat};
use super::super::{Departure, Layout, Phase, Setup, Wait};
use super::mutants::Without;
use super::node::{REPOSITORIES, repository};
use super::one::{One, alone, lease, numbered, pass, put_lease, put_view, seat, the_view};
use super::plan::{Plan, SECOND};
use super::store::Store;
use super::world::MILLI;
use crate::shard::members::tests::id;

fn fenced(of: &Setup, acked: u64) -> Lease {
    Lease {
        state: LeaseState::Fenced,
        version: 2,
        ..lease(of, acked)
    }
}

/// Time passes with a store that answers some calls in this way.
fn pass_with(
    time: Duration,
    now: &mut Duration,
    store: &mut Store,
    one: &mut One,
    answers: impl Fn(&Call) -> Option<Answer>,
) {
    let end = *now + time;
    while *now < end {
        *now += MILLI * 100;
        one.tell(Event::Tick, *now);
        for _ in 0..4 {
            for (id, call) in std::mem::take(&mut one.calls) {
                let answer = answers(&call).unwrap_or_else(|| store.carry_out(&call));
                one.tell(Event::Answered { call: id, answer }, *now);
            }
        }
    }
}

/// The first of these in a settled view of all. The leases of the others acknowledge whatever comes.
fn first_of(setups: &[Setup]) -> (One, Store, Duration) {
    let (mut one, mut store, mut now) = alone(setups[0].clone());
    for other in &setups[1..] {
        put_lease(&mut store, lease(other, 2));
    }
    let all = setups.iter().map(seat).collect();
    put_view(&mut store, 2, all, Vec::new(), &setups[0]);
    pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
    (one, store, now)
}

fn setups(plan: &Plan, count: u64) -> Vec<Setup> {
    let one = |index| numbered(plan, usize::try_from(index).unwrap(), index + 1);
    (0..count).map(one).collect()
}

/// A repository of this member.
fn owned(one: &One, name: &str) -> usize {
    let layout = one.snapshot.as_ref().unwrap().layout().unwrap();
    let is_of = |index: &usize| layout.owner(&repository(*index)).0.as_str() == name;
    (0..REPOSITORIES.len()).find(is_of).unwrap()
}

/// One that goes and is fenced meanwhile does not begin anew.
#[test]
fn who_goes_does_not_come_back() {
    let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    one.begins_write(0);
    one.tell(Event::Go(Departure::Leave), now);
    // It is stopped for long, and fenced.
    now += SECOND * 20;
    let mut fenced = store.leases[&id("a")].0.clone();
    fenced.state = LeaseState::Fenced;
    fenced.version += 1;
    fenced.nonce.process = 77;
    put_lease(&mut store, fenced);
    one.ledger.entries.borrow_mut().clear();
    pass(SECOND * 5, &mut now, &mut store, &mut [&mut one]);
    assert_eq!(
        one.gone,
        Some(Departure::Leave),
        "{:?}",
        one.coordinator.phase()
    );
}

/// One that goes before it has a lease says that it has gone, and leaves no lease behind: here its
/// first put is on the way.
#[test]
fn who_goes_early_is_gone() {
    let puts = |(_, call): &(CallId, Call)| matches!(call, Call::PutLease(..));
    let leaves = || {
        let mut one = One::new(numbered(&Plan::calm(), 0, 1));
        let (mut store, mut now) = (Store::default(), SECOND);
        while !one.calls.iter().any(puts) {
            one.answer(&mut store, now);
            now += MILLI * 100;
            one.tell(Event::Tick, now);
        }
        // The answer is lost.
        let (call, put) = one.calls.pop().unwrap();
        store.carry_out(&put);
        one.tell(Event::Go(Departure::Park), now);
        let answer = Answer::Unknown;
        one.tell(Event::Answered { call, answer }, now);
        pass(SECOND * 5, &mut now, &mut store, &mut [&mut one]);
        assert_eq!(one.gone, Some(Departure::Park));
        store.leases.get(&id("a")).map(|(lease, _)| lease.state)
    };
    assert_eq!(leaves(), Some(LeaseState::Parked));
    {
        let _without = Without::rules(&[Rule::GiveBackEarlyLease]);
        assert_eq!(leaves(), Some(LeaseState::Live), "a live lease of nobody");
    }
    // And one that waits for the process before it has nothing to give back.
    let (_, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
    let mut next = One::new(numbered(&Plan::calm(), 0, 2));
    pass(SECOND, &mut now, &mut store, &mut [&mut next]);
    next.tell(Event::Go(Departure::Leave), now);
    assert_eq!(next.gone, Some(Departure::Leave));
    assert_eq!(store.leases[&id("a")].0.state, LeaseState::Live);
}

#[test]
fn who_is_frozen_goes_when_it_is_told_to() {
    for frozen_first in [true, false] {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        one.begins_write(0);
        if !frozen_first {
            one.tell(Event::Go(Departure::Leave), now);
        }
        store.view.as_mut().unwrap().0.now.epoch = Epoch(0);
        pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
        assert!(one.notes.contains(&Note::Frozen(Fault::WentBack)));
        one.tell(Event::Go(Departure::Leave), now);
        assert_eq!(one.gone, Some(Departure::Leave));
    }
}

/// A lease that was looked at for an acknowledgement, and is renewed, is nobody's to fence later on.
#[test]
fn nobody_is_fenced_who_is_not_looked_at() {
    let all = setups(&Plan::calm(), 2);
    let (mut one, mut store, mut now) = first_of(&all);
    let base = the_view(&store).now;
    put_view(&mut store, 3, base.members.clone(), vec![base], &all[1]);
    one.tell(Event::Wanted(id("b")), now);
    pass(SECOND, &mut now, &mut store, &mut [&mut one]);
    let fences = std::cell::Cell::new(0);
    for renewal in 0..20 {
        let mut renewed = lease(&all[1], 3);
        (renewed.version, renewed.nonce.call) = (2 + renewal, 2 + renewal);
        put_lease(&mut store, renewed);
        pass_with(SECOND * 2, &mut now, &mut store, &mut one, |call| {
            let is_fence = matches!(call, Call::PutLease(_, of) if of.id.as_str() == "b");
            fences.set(fences.get() + u32::from(is_fence));
            None
        });
    }
    assert_eq!(fences.get(), 0);
}

/// A record of another member that cannot be read stops this one for nothing.
#[test]
fn a_lease_of_a_later_version_freezes_nobody_else() {
    let all = setups(&Plan::calm(), 2);
    let (mut one, mut store, mut now) = first_of(&all);
    one.tell(Event::Down(id("b")), now);
    let reads = std::cell::Cell::new(0);
    let unreadable = |call: &Call| {
        (*call == Call::ReadLease(id("b"))).then(|| {
            reads.set(reads.get() + 1);
            Answer::Unreadable
        })
    };
    pass_with(SECOND * 60, &mut now, &mut store, &mut one, unreadable);
    assert_eq!(one.coordinator.phase(), Phase::Serving);
    assert!(one.may_write(owned(&one, "a"), now).is_ok());
    assert!((20..=70).contains(&reads.get()), "{} reads", reads.get());
    assert_eq!(store.leases[&id("b")].0.state, LeaseState::Live);
    let unreadable = Note::Unreadable(id("b"));
    let said = one.notes.iter().filter(|note| **note == unreadable);
    assert_eq!(said.count(), 1);
}

/// One answer that the view, or our own lease, is not there is believed for as long as it is looked at
/// again, and nothing is written meanwhile.
#[test]
fn one_wrong_answer_freezes_nobody() {
    // Our own lease is read after a renewal whose answer was lost.
    let none = [
        (false, Answer::View(None)),
        (false, Answer::Unreadable),
        (true, Answer::Lease(None)),
        (true, Answer::Unreadable),
    ];
    for (own, answer) in none {
        let (mut one, mut store, mut now) = alone(numbered(&Plan::calm(), 0, 1));
        let wrong = |call: &Call| match call {
            Call::ReadView if !own => Some(answer.clone()),
            Call::ReadLease(_) if own => Some(answer.clone()),
            Call::PutLease(..) if own => Some(Answer::Unknown),
            Call::ReadView
            | Call::ReadLease(_)
            | Call::PutLease(..)
            | Call::PutView(..)
            | Call::List => None,
        };
        let mut waited = false;
        for _ in 0..50 {
            pass_with(MILLI * 100, &mut now, &mut store, &mut one, wrong);
            waited |= one.may_write(0, now).is_err();
        }
        assert!(waited, "{answer:?}");
        pass(SECOND * 3, &mut now, &mut store, &mut [&mut one]);
        assert_eq!(one.coordinator.phase(), Phase::Serving, "{answer:?}");
        assert!(one.may_write(0, now).is_ok(), "{answer:?}");
        // What stays so is believed.
        pass_with(SECOND * 16, &mut now, &mut store, &mut one, wrong);
        let phase = one.coordinator.phase();
        assert!(matches!(phase, Phase::Frozen(_)), "{answer:?}: {phase:?}");
    }
}

/// One member's file has other pins than the view, as in the middle of any rolling change: its load
/// on the store is what it is otherwise, not one read for each member and period.
#[test]
fn a_wish_for_other_pins_does_not_read_all_leases_all_the_time() {
    let plan = Plan::calm();
    let mut wishes = numbered(&plan, 0, 1);
    wishes.policy.pins = vec![("team".into(), "b".into())];
    let (mut one, mut store, mut now) = alone(wishes.clone());
    let base = the_view(&store).now;
    let mut seats = base.members.clone();
    let other = numbered(&plan, 1, 2);
    let mut others = Vec::new();
    for index in 0..299 {
        let mut lease = lease(&other, 2);
        lease.id = id(&format!("m{index:03}"));
        lease.address = format!("m{index:03}:5443").parse().unwrap();
        seats.push(Seat {
            id: lease.id.clone(),
            incarnation: lease.incarnation,
            address: lease.address.clone(),
            weight: lease.weight,
        });
        put_lease(&mut store, lease.clone());
        others.push(lease);
    }
    // The view of the others, without those pins.
    put_view(&mut store, 2, seats, Vec::new(), &other);
    pass(SECOND * 5, &mut now, &mut store, &mut [&mut one]);
    let before = store.reads;
    pass(SECOND * 10, &mut now, &mut store, &mut [&mut one]);
    let reads = store.reads - before;
    assert!(reads <= 12, "{reads} reads in 4 periods");
    // Once all files say the same, that is the view's.
    for mut lease in others {
        (lease.version, lease.nonce.call, lease.policy) = (2, 2, wishes.policy.id());
        put_lease(&mut store, lease);
    }
    pass(SECOND * 14, &mut now, &mut store, &mut [&mut one]);
    assert_eq!(the_view(&store).now.policy, wishes.policy);
}

/// Two clocks that read the same: the view was looked for, and a lease read, in one moment.
#[test]
fn a_coarse_clock_freezes_nobody() {
    let mut store = Store::default();
    let mut one = One::new(numbered(&Plan::calm(), 0, 1));
    let mut now = SECOND;
    let lists = |(_, call): &(CallId, Call)| *call == Call::List;
    while !one.calls.iter().any(lists) {
        now += MILLI * 100;
        one.tell(Event::Tick, now);
        one.answer(&mut store, now);
    }
    // It has found no view. Another makes the first one, and acknowledges it.
    let other = numbered(&Plan::calm(), 1, 2);
    put_view(&mut store, 1, vec![seat(&other)], Vec::new(), &other);
    put_lease(&mut store, lease(&other, 1));
    for _ in 0..10 {
        one.answer(&mut store, now);
        one.tell(Event::Tick, now);
        assert_eq!(one.coordinator.phase(), Phase::Serving);
    }
    put_lease(&mut store, lease(&other, 2));
    pass(SECOND * 5, &mut now, &mut store, &mut [&mut one]);
    assert!(one.coordinator.is_member());
}

/// What is said while the view is being read is not forgotten with the answer, which may be older.
#[test]
fn a_poke_while_the_view_is_read_counts() {
    let plan = Plan::calm();
    let (mut one, mut store, mut now) = alone(numbered(&plan, 0, 1));
    one.answer(&mut store, now);
    one.tell(Event::Poked, now);
    let (read, call) = one.calls.pop().unwrap();
    assert_eq!(call, Call::ReadView);
    let old = store.carry_out(&call);
    // Another view is put, and we are told, while that answer is on its way.
    let b = numbered(&plan, 1, 2);
    let base = the_view(&store).now;
    let mut seats = base.members.clone();
    seats.push(seat(&b));
    put_lease(&mut store, lease(&b, 2));
    put_view(&mut store, 2, seats, vec![base], &b);
    now += MILLI * 20;
    one.tell(Event::Poked, now);
    now += MILLI * 20;
    let answer = old;
    one.tell(Event::Answered { call: read, answer }, now);
    let begin = now;
    let epoch = |one: &One| one.snapshot.as_ref().unwrap().layout().unwrap().epoch();
    while epoch(&one) != Epoch(2) {
        pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
    }
    assert!(now - begin < MILLI * 500, "read after {:?}", now - begin);
}

/// A store, or what is before it, refuses every view. That keeps nobody from being looked at and fenced.
#[test]
fn a_view_that_is_refused_keeps_nothing_else_up() {
    let all = setups(&Plan::calm(), 4);
    let (mut one, mut store, mut now) = first_of(&all);
    put_lease(&mut store, fenced(&all[1], 2));
    one.tell(Event::Down(id("b")), now);
    let refused = |call: &Call| matches!(call, Call::PutView(..)).then_some(Answer::Conflict);
    pass_with(SECOND * 5, &mut now, &mut store, &mut one, refused);
    one.tell(Event::Down(id("c")), now);
    pass_with(SECOND * 25, &mut now, &mut store, &mut one, refused);
    assert_eq!(store.leases[&id("c")].0.state, LeaseState::Fenced);
    pass(SECOND * 2, &mut now, &mut store, &mut [&mut one]);
    assert!(the_view(&store).now.seat(&id("b")).is_none());
}

/// One call that fails costs the time between two looks, and not all that was waited before.
#[test]
fn one_failure_does_not_begin_the_waiting_anew() {
    let all = setups(&Plan::calm(), 2);
    let (mut one, mut store, mut now) = first_of(&all);
    one.tell(Event::Down(id("b")), now);
    let begin = now;
    pass(SECOND * 12, &mut now, &mut store, &mut [&mut one]);
    let lost = |call: &Call| matches!(call, Call::ReadView).then_some(Answer::Unknown);
    pass_with(SECOND * 3, &mut now, &mut store, &mut one, lost);
    while store.leases[&id("b")].0.state != LeaseState::Fenced {
        pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
    }
    // 15.15 s without a failure.
    let took = now - begin;
    assert!(took > SECOND * 16 && took < SECOND * 21, "{took:?}");
}

/// Views that follow each other do not put off the end of what the first has taken away.
#[test]
fn the_end_of_what_is_lost_is_not_put_off_by_the_next_view() {
    let plan = Plan::calm();
    let all = setups(&plan, 3);
    let (mut one, mut store, mut now) = alone(all[0].clone());
    let base = the_view(&store).now;
    let three = Arrangement {
        members: all.iter().map(seat).collect(),
        ..base.clone()
    };
    let layout = Layout::new(three.clone(), &all[0]).unwrap();
    let lost = |index: &usize| layout.owner(&repository(*index)).0.as_str() == "b";
    one.begins_write((0..REPOSITORIES.len()).find(lost).unwrap());
    put_lease(&mut store, lease(&all[1], 99));
    put_lease(&mut store, lease(&all[2], 99));
    let mut chain = vec![base];
    put_view(&mut store, 2, three.members.clone(), chain.clone(), &all[1]);
    one.tell(Event::Poked, now);
    let begin = now;
    for (epoch, members) in [(3, &all[..2]), (4, &all[..])] {
        pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
        if epoch == 3 {
            assert_eq!(one.cut_lost, 0);
        }
        chain.push(the_view(&store).now);
        let seats = members.iter().map(seat).collect();
        put_view(&mut store, epoch, seats, chain.clone(), &all[1]);
        one.tell(Event::Poked, now);
    }
    assert!(now - begin < SECOND * 9);
    assert_eq!(one.cut_lost, 1, "8 s after the first");
}

/// A member that was fenced and is in the view still (R7: not more than half at once) is over, and
/// nobody waits for its acknowledgement.
#[test]
fn who_is_over_is_not_waited_for() {
    let all = setups(&Plan::calm(), 3);
    let (mut one, mut store, mut now) = alone(all[0].clone());
    // By the view before, b owned everything; by this one, a does. c has not acknowledged.
    let before = Arrangement {
        epoch: Epoch(2),
        members: vec![seat(&all[1])],
        ..the_view(&store).now
    };
    put_lease(&mut store, lease(&all[1], 2));
    put_lease(&mut store, lease(&all[2], 2));
    let seats = all.iter().map(seat).collect();
    put_view(&mut store, 3, seats, vec![before], &all[1]);
    pass(SECOND * 4, &mut now, &mut store, &mut [&mut one]);
    let index = owned(&one, "a");
    let waits = one.may_write(index, now);
    assert_eq!(waits, Err(Wait::Acknowledgement(id("b"))));
    // Two were taken off just now, so b has to wait for its turn.
    one.coordinator.removals.note(now, 2, SECOND * 10);
    put_lease(&mut store, fenced(&all[1], 2));
    one.tell(Event::Wanted(id("b")), now);
    pass(SECOND, &mut now, &mut store, &mut [&mut one]);
    assert!(the_view(&store).now.seat(&id("b")).is_some());
    assert_eq!(one.may_write(index, now), Ok(Incarnation(1)));
}
