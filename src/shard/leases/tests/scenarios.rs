//! What the rules bear, each with many seeds, and what they say they do not.

use super::plan::Plan;
use super::search::{Outcome, first_fault, run_all, seeds};

fn holds(name: &str, plan: &Plan) {
    let outcomes = run_all(plan, &seeds(), &[], true);
    for Outcome { seed, fault, .. } in &outcomes {
        assert_eq!(*fault, None, "{name}: replay it by SHARDLET_SEED={seed}");
    }
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    println!(
        "{name}: {} seeds, {} steps, {} writes admitted, {} finished, {} fences, {} views",
        outcomes.len(),
        sum(|run| run.steps),
        sum(|run| run.admitted),
        sum(|run| run.finished),
        sum(|run| run.fences),
        sum(|run| run.epochs),
    );
    assert!(sum(|run| run.finished) > 0, "{name}: nothing was written");
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
    holds("lost pokes", &Plan::lost_pokes());
}

#[test]
fn requests_come_in_beside_a_departure_and_processes_overlap() {
    holds("races", &Plan::races());
}

#[test]
fn everything_goes_wrong_and_processes_prove_that_those_before_are_dead() {
    holds("rough, with proof", &Plan::proofs());
}

#[test]
fn processes_die_one_after_the_other() {
    holds("crash loops", &Plan::loops());
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
    holds("zot placement", &Plan::zot());
}

#[test]
fn the_store_goes_away() {
    holds("outages", &Plan::outages());
}

#[test]
fn members_come_and_go() {
    holds("resizes", &Plan::resizes());
}

#[test]
fn the_leases_of_those_who_have_left_are_deleted() {
    holds("tidied", &Plan::tidied());
}

#[test]
fn two_processes_have_one_id() {
    holds("clones", &Plan::clones());
}

#[test]
fn a_member_by_a_file_keeps_the_others_from_writing() {
    holds("by a file", &Plan::beside_a_file());
}

/// What only a fence at the storage could do without, and the documents say so.
#[test]
fn a_process_that_stops_between_the_last_look_and_the_last_byte_is_not_borne() {
    assert_not_borne(&Plan::stopped_at_last_byte());
}

/// A machine that was paused from outside, and whose time of day is not set right.
#[test]
fn a_machine_that_stands_still_unnoticed_is_not_borne() {
    assert_not_borne(&Plan::unnoticed_suspensions());
}

/// A replica that takes longer than its grace: not borne, unless it is killed.
#[test]
fn a_replica_that_is_slower_than_its_grace_is_not_borne() {
    assert_not_borne(&Plan::slow_replica());
}

/// A watchdog that keeps its promise (`replica_ends_with_sidecar`) late.
#[test]
fn a_replica_that_outlives_its_sidecar_is_not_borne() {
    assert_not_borne(&Plan::slow_watchdog());
}

fn assert_not_borne(plan: &Plan) {
    let seeds: Vec<u64> = (0..300).collect();
    assert!(first_fault(plan, &seeds, &[]).is_some());
}
