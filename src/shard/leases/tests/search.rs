//! Many runs, on all processors, and what came of each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::super::omit::Rule;
use super::mutants::Without;
use super::plan::Plan;
use super::world::World;

/// So many seeds of each kind of run, where nobody says how many. Few where the compiler was not asked to
/// make them fast.
const SEEDS: u64 = if IS_FAST { 400 } else { 4 };

/// Whether this is the package that is compiled to run many.
pub(super) const IS_FAST: bool =
    matches!(env!("CARGO_PKG_NAME").as_bytes(), b"shardlet-simulation");

/// What came of a run.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    /// What must not be.
    pub(super) fault: Option<String>,
    /// How long its trace is.
    pub(super) steps: u64,
    pub(super) admitted: u64,
    pub(super) finished: u64,
    pub(super) fences: u64,
    pub(super) epochs: u64,
}

pub(super) fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Those that the environment asks for.
pub(super) fn seeds() -> Vec<u64> {
    match number_of("SHARDLET_SEED") {
        Some(seed) => vec![seed],
        None => (0..number_of("SHARDLET_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

pub(super) fn run(plan: &Plan, seed: u64) -> Outcome {
    let world = World::new(plan, seed).run();
    Outcome {
        seed,
        fault: world.fault,
        steps: world.steps,
        admitted: world.admitted,
        finished: world.finished,
        fences: world.fences,
        epochs: world.store.view.map_or(0, |(view, _)| view.now.epoch.0),
    }
}

/// The runs of these seeds without these rules, in the order of the seeds: all of them, or as far as the
/// first fault and perhaps some more.
pub(super) fn run_all(
    plan: &Plan,
    seeds: &[u64],
    without: &'static [Rule],
    to_first_fault: bool,
) -> Vec<Outcome> {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found = Mutex::new(Vec::new());
    let work = || {
        let _without = Without::rules(without);
        // They are begun in their order, so that none before the first fault is left out.
        while !is_over.load(Ordering::Relaxed)
            && let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let outcome = run(plan, *seed);
            if outcome.fault.is_some() && to_first_fault {
                is_over.store(true, Ordering::Relaxed);
            }
            found.lock().unwrap().push(outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|outcome| outcome.seed);
    found
}

/// The first seed that ends in a fault.
pub(super) fn first_fault(plan: &Plan, seeds: &[u64], without: &'static [Rule]) -> Option<Outcome> {
    let found = run_all(plan, seeds, without, true);
    found.into_iter().find(|outcome| outcome.fault.is_some())
}
