//! The repositories of a registry: names, and how much is asked of each.

use std::f64::consts::TAU;
use std::fmt::Write;

/// How steep popularity falls: the repository of rank r is asked for in proportion to r^-exponent.
pub const EXPONENTS: [f64; 3] = [0.8, 1.0, 1.2];
/// Which of them stands for all where one has to do.
pub const MIDDLE: usize = 1;

/// A pull's bytes are log-normal: half of all images are smaller than this, in MiB, and a few are large.
const MEDIAN_SIZE: f64 = 100.0;
const SIZE_SIGMA: f64 = 1.5;
const SEED: u64 = 0x5ca1_ab1e;
/// Repositories of one team share the first part of their names.
const TEAM: u32 = 24;

/// So many repositories; the first is the most popular. Which name has which rank has nothing to do with its hash.
pub struct Catalog {
    pub repositories: u32,
    /// What all ranks together come to, by exponent.
    totals: [f64; EXPONENTS.len()],
}

impl Catalog {
    pub fn new(repositories: u32) -> Self {
        let total = |exponent: f64| {
            (0..repositories)
                .map(|rank| f64::from(rank + 1).powf(-exponent))
                .sum()
        };
        Self {
            repositories,
            totals: EXPONENTS.map(total),
        }
    }

    /// Puts a repository's name in place of what is there.
    pub fn name_into(rank: u32, name: &mut String) {
        name.clear();
        let team = mixed(u64::from(rank)) % u64::from(1 + u32::MAX / TEAM);
        // Writing into a string cannot fail.
        let _ = write!(name, "team-{team:x}/app-{rank}");
    }

    pub fn name(rank: u32) -> String {
        let mut name = String::new();
        Self::name_into(rank, &mut name);
        name
    }

    /// The part of all requests that are for this repository, by exponent.
    pub fn popularity(&self, rank: u32) -> [f64; EXPONENTS.len()] {
        let logarithm = f64::from(rank + 1).ln();
        std::array::from_fn(|n| (-EXPONENTS[n] * logarithm).exp() / self.totals[n])
    }

    /// What one pull of it moves, in MiB.
    pub fn size(rank: u32) -> f64 {
        let uniform = |salt: u64| {
            let bits = mixed(u64::from(rank) << 2 | salt) >> 11;
            (bits as f64 + 0.5) / (1_u64 << 53) as f64
        };
        // Box–Muller: two uniform numbers make a normal one.
        let normal = (-2.0 * uniform(1).ln()).sqrt() * (TAU * uniform(2)).cos();
        MEDIAN_SIZE * (SIZE_SIGMA * normal).exp()
    }
}

/// SplitMix64: the same number for the same input, everywhere.
fn mixed(input: u64) -> u64 {
    let mut z = input.wrapping_add(SEED).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
