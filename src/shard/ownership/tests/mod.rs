mod canon;
mod copy;
mod dispute;
mod fleet;
mod hostile;
mod omitted;
mod replica;
mod search;
mod shown;
mod silence;
mod start;
mod writing;

use fleet::{A, B, C, D, Fleet, Layout, layout};

/// What the directed tests are about, and what stands beside it undisturbed.
const MOVES: &str = "moves";
const STAYS: &str = "stays";

/// In ticks.
const AFTERMATH: u64 = 10;

/// Before and after `moves` goes from C to A.
const MOVED: [Layout; 2] = [
    layout(&[A, B, C], &[(MOVES, C), (STAYS, A)]),
    layout(&[A, B, C], &[(MOVES, A), (STAYS, A)]),
];

/// Before and after C is taken off the list.
const REMOVED: [Layout; 2] = [
    layout(&[A, B, C], &[(MOVES, C), (STAYS, A)]),
    layout(&[A, B], &[(MOVES, A), (STAYS, A)]),
];

/// Before and after C is put on the list, and a third time with D.
const JOINED: [Layout; 3] = [
    layout(&[A, B], &[(MOVES, A), (STAYS, A)]),
    layout(&[A, B, C], &[(MOVES, C), (STAYS, A)]),
    layout(&[A, B, C, D], &[(MOVES, D), (STAYS, A)]),
];

/// Before and after `moves` goes from A to B, and nobody else is there.
const TWO: [Layout; 2] = [
    layout(&[A, B], &[(MOVES, A)]),
    layout(&[A, B], &[(MOVES, B)]),
];

/// Three members that have been there for long.
fn three(layouts: &[Layout]) -> Fleet {
    Fleet::settled(layouts, AFTERMATH, &[A, B, C])
}
