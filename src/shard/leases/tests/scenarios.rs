//! What the rules bear, each with many seeds, and what they say they do not.

use std::time::Duration;

use super::plan::Plan;
use super::world::World;
use crate::shard::placement::Placement;

/// So many seeds of each scenario where all tests run.
const SEEDS: u64 = 60;

pub(super) fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> Vec<u64> {
    match number_of("SHARDLET_SEED") {
        Some(seed) => vec![seed],
        None => (0..number_of("SHARDLET_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// The first seed that ends in a fault.
pub(super) fn first_fault(
    plan: &Plan,
    seeds: impl IntoIterator<Item = u64>,
) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| {
        let world = World::new(plan, seed).run();
        world.fault.map(|fault| (seed, fault))
    })
}

fn holds(name: &str, plan: &Plan) {
    let (mut admitted, mut finished, mut fences, mut epochs) = (0, 0, 0, 0);
    let seeds = seeds();
    for seed in &seeds {
        let world = World::new(plan, *seed).run();
        assert_eq!(
            world.fault, None,
            "{name}: replay it by SHARDLET_SEED={seed}"
        );
        admitted += world.admitted;
        finished += world.finished;
        fences += world.fences;
        epochs += world.store.view.map_or(0, |(view, _)| view.now.epoch.0);
    }
    println!(
        "{name}: {} seeds, {admitted} writes admitted, {finished} finished, {fences} fences, {epochs} views",
        seeds.len()
    );
    assert!(finished > 0, "{name}: nothing was written");
}

#[test]
fn nothing_goes_wrong() {
    holds("calm", &Plan::calm());
}

#[test]
fn everything_goes_wrong() {
    holds("rough", &Plan::rough());
}

#[test]
fn everything_goes_wrong_and_replicas_are_killed() {
    holds("rough, L1 with a watchdog", &Plan::killed());
    holds("rough, L1", &Plan::killed_by_itself_alone());
}

#[test]
fn clocks_are_corrected_by_more_than_they_may_differ() {
    holds("slews", &Plan::slewed());
}

#[test]
fn reads_are_answered_as_if_nothing_were_there() {
    holds("strays", &Plan::strays());
}

#[test]
fn members_leave_one_after_the_other_and_pokes_are_lost() {
    let plan = Plan {
        placement: Placement::Zot,
        members: 8,
        running: 8,
        leaves: 40,
        pokes_lost: 300,
        body: Duration::from_secs(6),
        lasts: Duration::from_secs(60),
        ..Plan::calm()
    };
    holds("lost pokes", &plan);
}

#[test]
fn requests_come_in_beside_a_departure_and_processes_overlap() {
    let plan = Plan {
        members: 4,
        running: 4,
        leaves: 40,
        restarts: 40,
        clones: 30,
        races: 1000,
        body: Duration::from_millis(40),
        tail: Duration::from_millis(1500),
        ..Plan::calm()
    };
    holds("races", &plan);
}

#[test]
fn everything_goes_wrong_and_processes_prove_that_those_before_are_dead() {
    let plan = Plan {
        proves_death: true,
        ..Plan::rough()
    };
    holds("rough, with proof", &plan);
}

#[test]
fn there_is_no_time_to_spare() {
    holds("sharp", &Plan::sharp());
}

#[test]
fn much_is_written_by_members_that_are_stopped_or_cut_off() {
    holds("busy", &Plan::busy());
}

#[test]
fn machines_stand_still_and_their_clocks_too() {
    holds("suspensions", &Plan::suspended());
}

#[test]
fn zot_placement_moves_nearly_everything() {
    let plan = Plan {
        placement: Placement::Zot,
        members: 6,
        running: 6,
        ..Plan::rough()
    };
    holds("zot placement", &plan);
}

#[test]
fn the_store_goes_away() {
    holds("outages", &Plan::outages());
}

#[test]
fn members_come_and_go() {
    let plan = Plan {
        members: 6,
        running: 2,
        leaves: 30,
        ..Plan::calm()
    };
    holds("resizes", &plan);
}

#[test]
fn two_processes_have_one_id() {
    let plan = Plan {
        clones: 30,
        stops: 60,
        crashes: 20,
        ..Plan::calm()
    };
    holds("clones", &plan);
}

#[test]
fn a_member_by_a_file_keeps_the_others_from_writing() {
    holds("by a file", &Plan::beside_a_file());
}

/// What only a fence at the storage could do without, and the documents say so.
#[test]
fn a_process_that_stops_between_the_last_look_and_the_last_byte_is_not_borne() {
    let plan = Plan {
        stops_at_last_byte: true,
        crashes: 10,
        ..Plan::calm()
    };
    assert!(first_fault(&plan, 0..300).is_some());
}

/// A replica that takes longer than its grace: not borne, unless it is killed.
#[test]
fn a_replica_that_is_slower_than_its_grace_is_not_borne() {
    let slow = Plan {
        tail: Duration::from_secs(60),
        ..Plan::rough()
    };
    assert!(first_fault(&slow, 0..300).is_some());
}
