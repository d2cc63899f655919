//! The rules at work in a fleet that is simulated: the very state machine, a store that delays,
//! loses and refuses, processes that crash and stop, clocks that differ. One seed is one run.
//!
//! `SHARDLET_SEED=17 cargo test -p shardlet-simulation scenarios -- --nocapture` replays one seed;
//! `SHARDLET_SEEDS=20000` takes so many of each scenario.

mod directed;
mod healing;
mod joining;
mod killing;
mod liveness;
mod mutants;
mod node;
mod one;
mod plan;
mod records;
mod rules;
mod scenarios;
mod search;
mod store;
mod told;
mod trouble;
mod world;
mod writes;
