//! Small fleets in all their states: whatever is done in whatever order, no two replicas write one
//! repository at once. And each rule left out: then they do.
//!
//! `SHARDLET_SEARCH=full cargo test --release --lib ownership::tests::search -- --nocapture` goes
//! further, and takes some minutes.

mod models;
mod moves;
mod mutants;

use std::collections::{HashSet, VecDeque};

use moves::{Move, State};

/// What came of a search.
struct Found {
    states: usize,
    moves: usize,
    /// The shortest way to two writers, if there is one.
    way: Option<Vec<Move>>,
}

/// All states that can be reached, breadth first, until two replicas write at once.
fn search(start: State, most: usize) -> Found {
    let mut seen = HashSet::from([start.key()]);
    // How each state was reached: from which, and by what.
    let mut reached: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut next = VecDeque::from([(0, start)]);
    let mut moves = 0;
    while let Some((from, state)) = next.pop_front() {
        for taken in state.moves() {
            moves += 1;
            let after = state.after(taken);
            if !seen.insert(after.key()) {
                continue;
            }
            let at = reached.len();
            reached.push((from, Some(taken)));
            if after.has_two_writers() {
                let way = Some(way(&reached, at));
                return Found {
                    states: at,
                    moves,
                    way,
                };
            }
            assert!(at < most, "more than {most} states");
            next.push_back((at, after));
        }
    }
    let states = reached.len();
    Found {
        states,
        moves,
        way: None,
    }
}

fn way(reached: &[(usize, Option<Move>)], mut at: usize) -> Vec<Move> {
    let mut way = Vec::new();
    while let (from, Some(taken)) = reached[at] {
        way.push(taken);
        at = from;
    }
    way.reverse();
    way
}
