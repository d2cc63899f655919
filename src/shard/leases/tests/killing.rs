//! When a replica is killed, and how long others wait for one.

use std::time::Duration;

use super::super::event::{Answer, Event};
use super::super::record::{Arrangement, LeaseState};
use super::super::{Departure, Layout, Setup};
use super::node::{REPOSITORIES, repository};
use super::one::{One, alone, lease, numbered, pass, put_lease, put_view, seat, the_view};
use super::plan::{Plan, SECOND};
use super::store::Store;
use super::world::MILLI;
use crate::shard::members::tests::id;

fn killing() -> Setup {
    let mut setup = numbered(&Plan::calm(), 0, 1);
    setup.kills_replica = true;
    (setup.timing.grace, setup.timing.killed) = (SECOND * 30, SECOND * 5);
    setup
}

/// The store is away, and what was not sent yet ends when it is cut.
fn outage(time: Duration, now: &mut Duration, one: &mut One, sent: bool) {
    let end = *now + time;
    while *now < end {
        *now += MILLI * 100;
        one.tell(Event::Tick, *now);
        for (call, _) in std::mem::take(&mut one.calls) {
            let answer = Answer::Unknown;
            one.tell(Event::Answered { call, answer }, *now);
        }
        if one.cut_all > 0 && !sent {
            one.ledger.entries.borrow_mut().clear();
        }
    }
}

/// Where the store is away nobody is fenced, and reads go on: the replica is not killed for a body that
/// is still coming and was cut, and for what it was sent when that has had its time.
#[test]
fn an_outage_kills_a_replica_for_what_it_was_sent() {
    for (ends_with_us, quiet, at) in [(false, 20, 28), (true, 1, 5)] {
        let setup = Setup {
            replica_ends_with_us: ends_with_us,
            ..killing()
        };
        for sent in [false, true] {
            let (mut one, _, mut now) = alone(setup.clone());
            one.begins_write(0);
            // 10 s of the lease are over then.
            outage(SECOND * 10, &mut now, &mut one, sent);
            assert_eq!(one.cut_all, 1);
            outage(SECOND * quiet, &mut now, &mut one, sent);
            assert_eq!(one.kills, 0, "and its reads fail");
            outage(SECOND * (at - quiet), &mut now, &mut one, sent);
            assert_eq!(one.kills, usize::from(sent), "others do not wait longer");
        }
    }
}

#[test]
fn an_outage_that_ends_in_time_kills_nothing() {
    let (mut one, mut store, mut now) = alone(killing());
    one.begins_write(0);
    outage(SECOND * 20, &mut now, &mut one, true);
    pass(SECOND * 60, &mut now, &mut store, &mut [&mut one]);
    assert!(one.may_write(0, now).is_ok());
    assert_eq!((one.cut_all, one.kills), (1, 0));
}

/// What a view takes away, or a departure ends, is cut first; what is under way then was sent.
#[test]
fn a_handover_kills_a_replica_for_what_it_was_sent() {
    for sent in [false, true] {
        let (mut one, mut store, mut now) = alone(killing());
        let other = numbered(&Plan::calm(), 1, 2);
        let base = the_view(&store).now;
        let mut seats = base.members.clone();
        seats.push(seat(&other));
        let both = Arrangement {
            members: seats.clone(),
            ..base.clone()
        };
        let layout = Layout::new(both, &other).unwrap();
        let lost = |index: &usize| layout.owner(&repository(*index)).0.as_str() == "b";
        one.begins_write((0..REPOSITORIES.len()).find(lost).unwrap());
        put_lease(&mut store, lease(&other, 2));
        put_view(&mut store, 2, seats, vec![base], &other);
        one.tell(Event::Poked, now);
        while one.cut_lost == 0 {
            pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
        }
        assert_eq!(one.kills, 0);
        if !sent {
            one.ledger.entries.borrow_mut().clear();
        }
        pass(SECOND, &mut now, &mut store, &mut [&mut one]);
        assert_eq!((one.cut_lost, one.kills), (1, usize::from(sent)));
    }
}

#[test]
fn a_departure_kills_a_replica_for_what_it_was_sent() {
    for sent in [false, true] {
        let (mut one, mut store, mut now) = alone(killing());
        one.begins_write(0);
        one.tell(Event::Go(Departure::Park), now);
        while one.cut_all == 0 {
            pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
        }
        assert_eq!(one.kills, 0);
        if !sent {
            one.ledger.entries.borrow_mut().clear();
        }
        pass(SECOND, &mut now, &mut store, &mut [&mut one]);
        assert_eq!((one.cut_all, one.kills), (1, usize::from(sent)));
        one.ledger.entries.borrow_mut().clear();
        pass(SECOND, &mut now, &mut store, &mut [&mut one]);
        assert_eq!(one.gone, Some(Departure::Park));
    }
}

/// One that goes, and is fenced meanwhile, sees to its replica before it is gone.
#[test]
fn who_is_fenced_on_its_way_out_leaves_no_replica_at_work() {
    let (mut one, mut store, mut now) = alone(killing());
    one.begins_write(0);
    one.tell(Event::Go(Departure::Leave), now);
    let mut fenced = store.leases[&id("a")].0.clone();
    (fenced.state, fenced.version) = (LeaseState::Fenced, fenced.version + 1);
    fenced.nonce.process = 77;
    put_lease(&mut store, fenced);
    while one.gone.is_none() {
        pass(MILLI * 100, &mut now, &mut store, &mut [&mut one]);
    }
    assert_eq!(one.kills, 1);
}

/// A process that is stopped or dead kills nothing. Others wait for as long as its replica may take,
/// unless something else is there that ends it.
#[test]
fn a_lease_says_how_long_its_replica_goes_on_without_its_process() {
    let said = |kills_replica, replica_ends_with_us| {
        let setup = Setup {
            kills_replica,
            replica_ends_with_us,
            ..killing()
        };
        let (_, store, _): (One, Store, _) = alone(setup);
        store.leases[&id("a")].0.grace_ms
    };
    assert_eq!(said(false, false), 30_000);
    assert_eq!(said(true, false), 30_000);
    assert_eq!(said(true, true), 5_000);
}

/// The process before ended, and with it its replica: it is waited for no longer than that takes.
#[test]
fn a_replica_that_ended_with_the_process_before_is_soon_quiet() {
    for (ends_with_us, acks) in [(false, false), (true, true)] {
        let setup = Setup {
            replica_ends_with_us: ends_with_us,
            ..killing()
        };
        let (dead, mut store, mut now) = alone(setup.clone());
        drop(dead);
        let mut next = One::new(Setup {
            process: 2,
            dead_predecessor: Some(1),
            ..setup.clone()
        });
        pass(SECOND * 2, &mut now, &mut store, &mut [&mut next]);
        let other = numbered(&Plan::calm(), 1, 9);
        let base = the_view(&store).now;
        let mut seats = base.members.clone();
        seats.push(seat(&other));
        put_lease(&mut store, lease(&other, 2));
        put_view(&mut store, 2, seats, vec![base], &other);
        pass(SECOND * 8, &mut now, &mut store, &mut [&mut next]);
        let acked = store.leases[&id("a")].0.acked.0;
        assert_eq!(acked == 2, acks, "8 s after a crash");
    }
}
