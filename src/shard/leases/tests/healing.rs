//! How long it takes until all repositories take writes again, and what the store has to bear.

use std::time::Duration;

use super::super::Departure;
use super::super::omit::Rule;
use super::super::record::{Lease, LeaseState};
use super::mutants::Without;
use super::node::{REPOSITORIES, repository};
use super::one::{lease, put_lease, put_view, seat};
use super::plan::{Plan, SECOND};
use super::search::{IS_FAST, number_of};
use super::world::{Happening, MILLI, World, setup};

fn seeds() -> u64 {
    number_of("SHARDLET_SEEDS").unwrap_or(40)
}

fn all_take_writes(world: &World) -> bool {
    (0..REPOSITORIES.len()).all(|index| {
        world.nodes.iter().any(|node| {
            let now = node.clock(world.now);
            let snapshot = node.process.as_ref().and_then(|at| at.snapshot.as_ref());
            snapshot.is_some_and(|at| at.may_write(&repository(index), None, now).is_ok())
        })
    })
}

/// How long after a crash of one of three everything takes writes again.
fn heals_after(plan: &Plan, seed: u64) -> Duration {
    let mut world = World::new(plan, seed);
    world.run_until(SECOND * 30);
    world.troubles_end = Duration::ZERO;
    for second in 0..150 {
        world.at(SECOND * 30 + SECOND * second, Happening::Trouble);
    }
    world.run_until(SECOND * 31);
    let crash = world.now;
    world.crash(1);
    while world.now - crash < SECOND * 120 {
        let next = world.now + MILLI * 100;
        world.run_until(next);
        assert_eq!(world.fault, None);
        if all_take_writes(&world) {
            break;
        }
    }
    world.now - crash
}

/// What half of the runs take, and all.
fn heals(name: &str, plan: &Plan) -> (Duration, Duration) {
    let plan = Plan {
        lasts: SECOND * 600,
        ..plan.clone()
    };
    let all = (0..seeds()).map(|seed| heals_after(&plan, seed));
    let mut times: Vec<Duration> = all.collect();
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "{name}: {} seeds, median {:?}, p99 {:?}, most {:?}",
        times.len(),
        at(50),
        at(99),
        at(100),
    );
    (at(50), at(100))
}

#[test]
fn a_crash_heals_in_time() {
    let ends_with_us = Plan {
        kills_replica: true,
        replica_ends_with_us: true,
        ..Plan::calm()
    };
    let (_, most) = heals("the replica ends with its sidecar", &ends_with_us);
    assert!(most <= SECOND * 20, "{most:?}");
    let failing = Plan {
        lost: 20,
        ..ends_with_us
    };
    let (median, most) = heals("the same, 20 of 1000 calls fail", &failing);
    assert!(median <= SECOND * 20 && most <= SECOND * 30, "{most:?}");
    let mut alone = Plan::calm();
    alone.timing.grace = SECOND * 30;
    let (_, most) = heals("nobody kills the replica", &alone);
    assert!(most <= SECOND * 45, "{most:?}");
}

/// One of six leaves a calm fleet: when is the view settled, from then on?
#[test]
fn a_view_without_one_who_leaves_is_settled_in_time() {
    let plan = Plan {
        members: 6,
        running: 6,
        lasts: SECOND * 600,
        ..Plan::calm()
    };
    let settles_after = |seed| {
        let mut world = World::new(&plan, seed);
        world.run_until(SECOND * 14);
        world.troubles_end = Duration::ZERO;
        world.run_until(SECOND * 30);
        let before = world.store.view.clone().unwrap().0.now.epoch;
        let number = world.nodes[2].process.as_ref().unwrap().number;
        let go = world.now;
        world.depart(2, number, Departure::Leave);
        loop {
            let next = world.now + MILLI * 50;
            world.run_until(next);
            assert_eq!(world.fault, None);
            let view = &world.store.view.as_ref().unwrap().0;
            if view.now.epoch > before && view.chain.is_empty() {
                break world.now - go;
            }
            assert!(world.now - go < SECOND * 100);
        }
    };
    let mut times: Vec<Duration> = (0..seeds()).map(settles_after).collect();
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("a leave is settled: median {median:?}, most {most:?}");
    assert!(most <= SECOND * 5, "{most:?}");
}

/// One crashes every five seconds, and its next process can prove it. Another member leaves.
#[test]
fn who_crashes_again_and_again_keeps_no_view_open() {
    let mut plan = Plan {
        members: 4,
        running: 4,
        proves_death: true,
        lasts: SECOND * 600,
        ..Plan::calm()
    };
    plan.timing.grace = SECOND * 30;
    let settles_after = |seed| {
        let mut world = World::new(&plan, seed);
        world.run_until(SECOND * 14);
        world.troubles_end = Duration::ZERO;
        for second in 14..200 {
            world.at(SECOND * second, Happening::Trouble);
        }
        world.run_until(SECOND * 30);
        let number = world.nodes[2].process.as_ref().unwrap().number;
        let (go, before) = (world.now, world.store.view.clone().unwrap().0.now.epoch);
        world.depart(2, number, Departure::Leave);
        while world.now - go < SECOND * 150 {
            world.crash(1);
            let again = world.now + SECOND;
            world.at(again, Happening::Start(1));
            world.run_until(again + SECOND * 4);
            assert_eq!(world.fault, None);
            let view = &world.store.view.as_ref().unwrap().0;
            if view.now.epoch > before && view.chain.is_empty() {
                return Some(world.now - go);
            }
        }
        None
    };
    let all: Vec<_> = (0..seeds() / 4).map(settles_after).collect();
    println!("beside a member in a loop a view is settled after {all:?}");
    let in_time = |time: &Option<Duration>| time.is_some_and(|time| time < SECOND * 60);
    assert!(all.iter().all(in_time));
    let _without = Without::rules(&[Rule::EndLoops]);
    assert_eq!(settles_after(0), None);
}

/// Renewals and looks at the view, once a period each, and nothing else: of 3, 30 and 300 members.
#[test]
fn a_settled_fleet_renews_and_reads_once_a_period() {
    let counts = [3, 30, 300].into_iter();
    for count in counts.take(if IS_FAST { 3 } else { 2 }) {
        let plan = undisturbed(count);
        let setups: Vec<_> = (0..count).map(|index| setup(&plan, index)).collect();
        let mut world = World::new(&plan, 1);
        put_view(
            &mut world.store,
            1,
            setups.iter().map(seat).collect(),
            Vec::new(),
            &setups[0],
        );
        for setup in &setups {
            let parked = Lease {
                state: LeaseState::Parked,
                ..lease(setup, 1)
            };
            put_lease(&mut world.store, parked);
        }
        world.run_until(SECOND * 5);
        let (reads, writes) = (world.store.reads, world.store.writes);
        let (mut before, mut most) = (reads + writes, 0);
        for second in 6..=55 {
            world.run_until(SECOND * second);
            let after = world.store.reads + world.store.writes;
            (before, most) = (after, most.max(after - before));
        }
        let (reads, writes) = (world.store.reads - reads, world.store.writes - writes);
        println!(
            "{count} members, 20 periods: {reads} reads, {writes} writes, {most} of both in the worst second"
        );
        let members = u64::try_from(count).unwrap();
        assert!(reads <= members * 20 && writes <= members * 20);
        assert!(reads >= members * 18 && writes >= members * 18);
    }
}

/// So many run, and nothing happens to them.
fn undisturbed(count: usize) -> Plan {
    Plan {
        members: count,
        running: count,
        lasts: MILLI,
        latency: MILLI * 20,
        ..Plan::calm()
    }
}

/// Many start within a second: when are all members, and what does the store have to bear until then?
/// `SHARDLET_MEMBERS=1000` takes so many.
#[test]
fn many_start_at_once() {
    let most = number_of("SHARDLET_MEMBERS").unwrap_or(if IS_FAST { 300 } else { 30 });
    for members in [3, 30, 300, 1000] {
        if members <= most {
            let reads = start_at_once(members);
            assert!(reads <= members * 10, "{reads} in the worst second");
        }
    }
    let _without = Without::rules(&[Rule::TakeTurns]);
    assert!(start_at_once(30) > 30 * 20);
}

/// How many reads come in the worst second.
fn start_at_once(members: u64) -> u64 {
    let count = usize::try_from(members).unwrap();
    let plan = undisturbed(count);
    let mut world = World::new(&plan, 1);
    let is_member = |world: &World, node: usize| {
        let process = world.nodes[node].process.as_ref();
        process.is_some_and(|at| at.coordinator.is_member())
    };
    let settled = |world: &World| {
        let view = world.store.view.as_ref();
        view.is_some_and(|(view, _)| view.chain.is_empty() && view.now.members.len() == count)
    };
    let (mut before, mut most) = (0, 0);
    while !settled(&world) || !(0..count).all(|node| is_member(&world, node)) {
        let next = world.now + SECOND;
        world.run_until(next);
        most = most.max(world.store.reads - before);
        before = world.store.reads;
        assert!(world.now < SECOND * 300, "{before} reads");
    }
    let (took, epoch) = (world.now, world.store.view.as_ref().unwrap().0.now.epoch);
    println!(
        "{members} members: all are in after {took:?} with {epoch} views, {before} reads, {most} in the worst second"
    );
    assert!(took <= SECOND * 60, "{took:?}");
    most
}
