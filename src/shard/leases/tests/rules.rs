//! Rules that one member and a few answers show better than a fleet.

use std::sync::Arc;
use std::time::Duration;

use super::super::event::{Answer, Call, CallId, Effect, Event, Fault, Note, Tag};
use super::super::omit::Rule;
use super::super::record::{Epoch, Lease, LeaseState, ViewRecord};
use super::super::{Departure, Phase, Planned, Wait};
use super::mutants::Without;
use super::node::{REPOSITORIES, repository};
use super::one::{One, alone, numbered, pass};
use super::plan::{Plan, SECOND};
use super::store::Store;
use super::world::setup;
use crate::shard::members::tests::id;
use crate::shard::view::View;

/// A member, a store that answers, and a clock that is set by hand.
struct Member {
    one: One,
    store: Store,
    now: Duration,
}

impl Member {
    /// The only member of a settled view.
    fn serving() -> Self {
        let (one, store, now) = alone(setup(&Plan::calm(), 0));
        Self { one, store, now }
    }

    fn tell(&mut self, event: Event) {
        self.one.tell(event, self.now);
    }

    fn pass(&mut self, time: Duration) {
        pass(time, &mut self.now, &mut self.store, &mut [&mut self.one]);
    }

    fn takes_writes(&self) -> bool {
        self.one.may_write(0, self.now).is_ok()
    }

    fn own_lease(&self) -> Lease {
        self.store.leases[&id("a")].0.clone()
    }

    fn view(&self) -> ViewRecord {
        self.store.view.as_ref().unwrap().0.clone()
    }

    fn is_frozen_by(&self, fault: Fault) -> bool {
        self.one.coordinator.phase() == Phase::Frozen(fault)
            && self.one.notes.contains(&Note::Frozen(fault))
            && !self.takes_writes()
    }
}

/// Another member with a lease, and both in the view.
fn beside_another() -> Member {
    let mut member = Member::serving();
    let mut lease = member.own_lease();
    (lease.id, lease.address) = (id("b"), "b:5443".parse().unwrap());
    lease.acked = Epoch(9);
    let tag = Tag("of b".into());
    member.store.leases.insert(id("b"), (lease, tag));
    let mut view = member.view();
    view.now.epoch = Epoch(2);
    let mut seat = view.now.members[0].clone();
    (seat.id, seat.address) = (id("b"), "b:5443".parse().unwrap());
    view.now.members.push(seat);
    member.store.view = Some((view, Tag("with b".into())));
    member.pass(SECOND * 4);
    member
}

fn is_fenced(member: &Member) -> bool {
    member.store.leases[&id("b")].0.state == LeaseState::Fenced
}

#[test]
fn a_lease_without_renewals_ends_and_is_renewed_again() {
    let mut member = Member::serving();
    let version = member.own_lease().version;
    while member.own_lease().version == version {
        member.pass(Duration::from_millis(100));
    }
    for _ in 0..85 {
        member.now += Duration::from_millis(100);
        member.tell(Event::Tick);
    }
    assert!(member.takes_writes());
    for _ in 0..10 {
        member.now += Duration::from_millis(100);
        member.tell(Event::Tick);
    }
    assert!(!member.takes_writes());
    assert!(member.one.notes.contains(&Note::LeaseOver));
    for (id, _) in std::mem::take(&mut member.one.calls) {
        member.tell(Event::Answered {
            call: id,
            answer: Answer::Unknown,
        });
    }
    member.pass(SECOND * 3);
    assert!(member.takes_writes());
}

#[test]
fn a_store_that_went_back_freezes_who_has_seen_more() {
    let restored = |member: &mut Member| {
        let mut view = member.view();
        view.now.epoch = Epoch(1);
        view.now.members.truncate(1);
        member.store.view = Some((view, Tag("from a backup".into())));
        member.pass(SECOND * 4);
    };
    let mut member = beside_another();
    restored(&mut member);
    assert!(member.is_frozen_by(Fault::WentBack));
    let _without = Without::rules(&[Rule::NeverGoBack]);
    let mut member = beside_another();
    restored(&mut member);
    assert_eq!(member.one.coordinator.phase(), Phase::Serving);
}

#[test]
fn what_is_not_there_any_more_freezes_who_has_seen_it() {
    let mut member = Member::serving();
    member.store.view = None;
    member.pass(SECOND * 16);
    assert!(member.is_frozen_by(Fault::Vanished));
    let mut member = Member::serving();
    member.store.leases.clear();
    member.pass(SECOND * 4);
    assert!(!member.takes_writes());
    member.pass(SECOND * 12);
    assert!(member.is_frozen_by(Fault::Vanished));
}

#[test]
fn another_hash_key_freezes() {
    let mut member = Member::serving();
    let mut view = member.view();
    view.now.epoch = Epoch(2);
    view.now.policy.key = "another".into();
    member.store.view = Some((view, Tag("by another".into())));
    member.pass(SECOND * 4);
    assert!(matches!(
        member.one.coordinator.phase(),
        Phase::Frozen(Fault::Incomprehensible(_))
    ));
}

/// The first look takes 900 ms to be answered: from then on it is waited.
#[test]
fn the_waiting_begins_with_the_answer() {
    let fenced_after = || {
        let mut member = beside_another();
        member.tell(Event::Down(id("b")));
        let is_look = |(_, call): &(CallId, Call)| *call == Call::ReadLease(id("b"));
        while !member.one.calls.iter().any(is_look) {
            member.one.answer(&mut member.store, member.now);
            member.now += Duration::from_millis(10);
            member.tell(Event::Tick);
        }
        let sent = member.now;
        member.now += Duration::from_millis(900);
        member.one.answer(&mut member.store, member.now);
        while !is_fenced(&member) {
            member.pass(Duration::from_millis(100));
        }
        member.now - sent
    };
    let least = Duration::from_millis(10_100 + 5_000 + 900);
    let waited = fenced_after();
    assert!(waited >= least && waited < least + SECOND, "{waited:?}");
    let _without = Without::rules(&[Rule::WaitFromAnswer]);
    let waited = fenced_after();
    assert!(waited < least, "{waited:?}");
}

#[test]
fn a_member_that_is_down_and_renews_its_lease_is_left_alone() {
    let mut member = beside_another();
    member.tell(Event::Down(id("b")));
    for renewal in 0..12 {
        member.pass(Duration::from_millis(2500));
        let (lease, tag) = member.store.leases.get_mut(&id("b")).unwrap();
        lease.version += 1;
        lease.nonce.call += 1;
        *tag = Tag(format!("renewal {renewal}").into());
    }
    assert!(!is_fenced(&member));
    member.pass(SECOND * 18);
    assert!(is_fenced(&member));
    assert_eq!(member.view().now.members.len(), 1);
}

/// Half of a view, and one where half is none.
#[test]
fn no_more_than_half_are_taken_off_at_once() {
    let mut member = beside_another();
    let template = member.own_lease();
    let mut view = member.view();
    view.now.epoch = Epoch(3);
    for name in ["c", "d", "e", "f"] {
        let address = format!("{name}:5443").parse().unwrap();
        let lease = Lease {
            id: id(name),
            address,
            state: LeaseState::Fenced,
            ..template.clone()
        };
        let mut seat = view.now.members[0].clone();
        (seat.id, seat.address) = (lease.id.clone(), lease.address.clone());
        view.now.members.push(seat);
        member
            .store
            .leases
            .insert(id(name), (lease, Tag(name.into())));
    }
    member.store.view = Some((view, Tag("six".into())));
    for name in ["c", "d", "e", "f"] {
        member.tell(Event::Down(id(name)));
    }
    member.pass(SECOND * 9);
    assert_eq!(member.view().now.members.len(), 3);
    member.pass(SECOND * 12);
    assert_eq!(member.view().now.members.len(), 2);
}

#[test]
fn who_leaves_releases_and_who_comes_back_parks() {
    let mut member = beside_another();
    member.tell(Event::Go(Departure::Leave));
    assert!(!member.takes_writes());
    member.pass(SECOND * 3);
    assert_eq!(member.own_lease().state, LeaseState::Released);
    assert!(
        member
            .view()
            .now
            .members
            .iter()
            .all(|seat| seat.id != id("a"))
    );
    assert_eq!(
        member.one.coordinator.phase(),
        Phase::Gone(Departure::Leave)
    );

    let mut member = beside_another();
    let before = member.own_lease();
    member.tell(Event::Go(Departure::Park));
    member.pass(SECOND * 3);
    assert_eq!(member.own_lease().state, LeaseState::Parked);
    assert_eq!(member.view().now.members.len(), 2);
    // The next process of it has its place at once.
    member.one = One::new(numbered(&Plan::calm(), 0, 2));
    member.pass(SECOND);
    assert_eq!(member.own_lease().incarnation, before.incarnation);
    assert_eq!(member.own_lease().state, LeaseState::Live);
    assert!(member.one.coordinator.is_member());
}

#[test]
fn where_the_clocks_go_apart_nothing_is_written_until_the_next_renewal() {
    let mut member = Member::serving();
    let mut clock = member.one.clock(member.now);
    clock.wall += SECOND * 5;
    let snapshot = member.one.coordinator.published.clone().unwrap();
    assert!(snapshot.may_write(&repository(0), None, clock).is_err());
    let effects = member
        .one
        .coordinator
        .step(Event::Tick, clock, &member.one.ledger);
    let renews = |effect: &Effect| matches!(effect, Effect::Call(_, Call::PutLease(..)));
    assert!(effects.iter().any(renews));
    let snapshot = member.one.coordinator.published.clone().unwrap();
    assert!(snapshot.may_write(&repository(0), None, clock).is_err());
}

#[test]
fn a_plan_by_another_view_than_the_one_in_force_is_made_anew() {
    let member = beside_another();
    let clock = member.one.clock(member.now);
    let snapshot = member.one.snapshot.clone().unwrap();
    let layout = snapshot.layout().unwrap();
    let members = layout.view().members();
    let is_ours = |index: &usize| layout.view().owner(&repository(*index)) == members.local();
    let (ours, theirs): (Vec<usize>, Vec<usize>) = (0..REPOSITORIES.len()).partition(is_ours);
    let (ours, theirs) = (repository(ours[0]), repository(theirs[0]));
    let (peer, _) = members.peers().next().unwrap();
    // It says the same, but is not the one that was compared with the leases.
    let another = Arc::new(View::clone(layout.view()));
    let may = |repository, view, owner| {
        let planned = Some(Planned { view, owner });
        snapshot.may_write(repository, planned, clock).map(drop)
    };
    for view in [layout.view(), &another] {
        assert_eq!(may(&ours, view, members.local()), Ok(()));
        assert_eq!(may(&theirs, view, peer), Err(Wait::NotOurs));
    }
    assert_eq!(may(&theirs, &another, members.local()), Err(Wait::NotOurs));
    assert_eq!(may(&ours, &another, peer), Ok(()));
    assert_eq!(may(&ours, layout.view(), peer), Err(Wait::NotOurs));
}

/// A clock that is corrected too fast is no reason to fence, and none to write for longer.
#[test]
fn a_clock_that_is_too_fast_is_not_believed() {
    // It goes by 8 % too fast, so the raw one falls behind.
    let fences_after = || {
        let mut member = beside_another();
        member.tell(Event::Down(id("b")));
        let begin = member.now;
        while !is_fenced(&member) {
            member.pass(SECOND);
            member.one.raw_ahead -= Duration::from_millis(80);
        }
        (member.now - begin).mul_f64(0.92)
    };
    let least = Duration::from_millis(15_150);
    let took = fences_after();
    assert!(took > least && took < SECOND * 18, "{took:?}");
    {
        let _without = Without::rules(&[Rule::CountByBothClocks]);
        assert!(fences_after() < least);
    }

    let mut member = Member::serving();
    let clock = member.one.clock(member.now);
    let mut slow = clock;
    slow.raw += SECOND * 2;
    let snapshot = member.one.snapshot.clone().unwrap();
    assert!(snapshot.may_write(&repository(0), None, clock).is_ok());
    assert!(snapshot.may_write(&repository(0), None, slow).is_err());
    member.one.raw_ahead += SECOND * 2;
    member.tell(Event::Tick);
    assert!(!member.takes_writes());
    let apart = Note::ClocksApart(SECOND * 2);
    assert!(member.one.notes.contains(&apart));
}

/// Without a change nobody is asked more than to renew a lease and to read the view.
#[test]
fn a_settled_fleet_asks_little() {
    let mut member = beside_another();
    let (reads, writes) = (member.store.reads, member.store.writes);
    member.pass(SECOND * 250);
    let (reads, writes) = (member.store.reads - reads, member.store.writes - writes);
    assert!((90..=112).contains(&reads), "{reads} reads in 100 periods");
    assert!(
        (90..=112).contains(&writes),
        "{writes} writes in 100 periods"
    );
}
