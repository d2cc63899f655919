//! How long it takes until all repositories take writes again, and what the store has to bear.

use std::time::Duration;

use super::super::Departure;
use super::node::{REPOSITORIES, repository};
use super::plan::{Plan, SECOND};
use super::scenarios::number_of;
use super::world::{Happening, MILLI, World};

fn seeds() -> u64 {
    number_of("SHARDLET_SEEDS").unwrap_or(40)
}

fn all_take_writes(world: &World) -> bool {
    (0..REPOSITORIES.len()).all(|index| {
        world.nodes.iter().any(|node| {
            let now = node.clock(world.now);
            let snapshot = node.process.as_ref().and_then(|at| at.snapshot.as_ref());
            snapshot.is_some_and(|at| at.may_write(&repository(index), now).is_ok())
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

/// Many start within a second: when are all members, and what does the store have to bear, then and
/// later? `SHARDLET_MEMBERS=300` takes so many.
#[test]
fn many_start_at_once() {
    let members = number_of("SHARDLET_MEMBERS").unwrap_or(30);
    let count = usize::try_from(members).unwrap();
    let plan = Plan {
        members: count,
        running: count,
        lasts: MILLI,
        latency: MILLI * 20,
        ..Plan::calm()
    };
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
    world.run_until(took + SECOND * 10);
    let (reads, writes) = (world.store.reads, world.store.writes);
    world.run_until(took + SECOND * 35);
    let (reads, writes) = (world.store.reads - reads, world.store.writes - writes);
    println!(
        "{members} members: all are in after {took:?} with {epoch} views, {before} reads, {most} in the worst second; then {reads} reads and {writes} writes in 25 s"
    );
    // Ten periods, each a tenth shorter at most.
    assert!(reads <= members * 12 && writes <= members * 12);
    assert!(took <= SECOND * 30, "{took:?}");
}
