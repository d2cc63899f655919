use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::shard::members::tests::{id, weighted_members};

/// Written by tests/data/golden.py, a second implementation that shares nothing with this one.
const GOLDEN: &str = include_str!("../../../../tests/data/golden.json");

#[derive(Deserialize)]
struct Golden {
    costs: Vec<GoldenCost>,
    clusters: Vec<GoldenCluster>,
}

#[derive(Deserialize)]
struct GoldenCost {
    score: String,
    cost: u64,
}

#[derive(Deserialize)]
struct GoldenCluster {
    hash_key: String,
    members: Vec<GoldenMember>,
    repositories: Vec<GoldenRepository>,
}

#[derive(Deserialize)]
struct GoldenMember {
    id: String,
    weight: u16,
}

#[derive(Deserialize)]
struct GoldenRepository {
    name: String,
    scores: Vec<String>,
    placed: usize,
}

fn hex64(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

#[test]
fn costs_are_version_1() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(golden.costs.len(), 72);
    for row in golden.costs {
        assert_eq!(cost(hex64(&row.score)), row.cost, "score {}", row.score);
    }
}

#[test]
fn scores_and_owners_are_version_1() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let mut compared = 0;
    for cluster in golden.clusters {
        let list: Vec<_> = cluster
            .members
            .iter()
            .map(|member| (member.id.as_str(), member.weight))
            .collect();
        let members = weighted_members(&list, list[0].0);
        let key = HashKey::from(
            u128::from_str_radix(&cluster.hash_key, 16)
                .unwrap()
                .to_be_bytes(),
        );
        let rendezvous = Rendezvous::new(&key, &members);
        for row in cluster.repositories {
            let repository = Repository::parse(&row.name).unwrap();
            for (score, (_, member)) in row.scores.iter().zip(members.iter()) {
                let hash = rendezvous.repository_hash(&repository);
                let seen = keyed(&key, &member_prefix(member)).hash(&hash);
                assert_eq!(seen, hex64(score), "{} for {}", member.id, row.name);
                compared += 1;
            }
            assert_eq!(
                rendezvous.owner(&repository).get(),
                row.placed,
                "{}",
                row.name
            );
        }
    }
    assert_eq!(compared, (1 + 3 + 3 + 5 + 20) * 34);
}

#[test]
fn the_table_is_the_logarithm() {
    assert_eq!((LOG2[0], LOG2[256]), (0, 1 << FRACTION_BITS));
    for (step, &entry) in LOG2.iter().enumerate() {
        let exact = (1.0 + step as f64 / 256.0).log2() * (1u64 << FRACTION_BITS) as f64;
        assert!(
            (exact - entry as f64).abs() < 1.01,
            "step {step}: {entry} is not {exact}"
        );
    }
}

#[test]
fn ties_go_to_the_higher_score_then_to_the_lesser_id() {
    let weight = |weight| Weight::new(weight).unwrap();
    let bid = |score, of_weight, rank| Bid {
        score,
        weight: weight(of_weight),
        index: MemberIndex::FIRST,
        rank,
    };
    let half = (1 << 63) - 1; // cost 1
    let quarter = (1 << 62) - 1; // cost 2
    // One cost per weight: the higher score wins, whatever the order of ids.
    assert_eq!(
        bid(half, 1, 9).compare(&bid(quarter, 2, 0)),
        Ordering::Greater
    );
    // The very same score: the lesser id wins.
    assert_eq!(bid(half, 1, 0).compare(&bid(half, 1, 1)), Ordering::Greater);
    assert_eq!(bid(half, 1, 1).compare(&bid(half, 1, 0)), Ordering::Less);
    // Scores so near that they cost the same.
    assert_eq!((cost(u64::MAX - 1), cost(u64::MAX - 2)), (1, 1));
    assert_eq!(
        bid(u64::MAX - 1, 5, 1).compare(&bid(u64::MAX - 2, 5, 0)),
        Ordering::Greater
    );
    // The dearest bids do not overflow.
    assert_eq!(bid(0, 1000, 1).compare(&bid(0, 1, 0)), Ordering::Greater);
}

#[test]
fn list_order_does_not_count() {
    let key = HashKey::from(*b"loremipsumdolors");
    let forward = weighted_members(&[("a", 1), ("b", 3), ("c", 1)], "a");
    let backward = weighted_members(&[("c", 1), ("b", 3), ("a", 1)], "a");
    let (first, second) = (
        Rendezvous::new(&key, &forward),
        Rendezvous::new(&key, &backward),
    );
    for n in 0..500 {
        let name = format!("load/{n}");
        let repository = Repository::parse(&name).unwrap();
        let owners = (
            forward.get(first.owner(&repository)),
            backward.get(second.owner(&repository)),
        );
        assert_eq!(owners.0.id, owners.1.id, "{name}");
    }
    assert!(forward.find(&id("b")).is_some());
}

#[test]
fn nothing_printed_shows_the_key() {
    let key = HashKey::from(*b"loremipsumdolors");
    let shown = format!(
        "{:?}",
        Rendezvous::new(&key, &weighted_members(&[("a", 1)], "a"))
    );
    assert_eq!(shown, "Rendezvous { groups: 1, .. }");
}

proptest! {
    #[test]
    fn a_cost_never_rises_with_the_score(low: u64, high: u64) {
        let (low, high) = (low.min(high), low.max(high));
        prop_assert!(cost(low) >= cost(high));
    }

    /// Neighbours too, where rounding could turn the order around.
    #[test]
    fn a_cost_never_rises_with_the_next_score(score in 0..u64::MAX, shift in 0..64u32) {
        let score = score >> shift;
        prop_assert!(cost(score) >= cost(score + 1));
    }

    #[test]
    fn a_cost_is_the_logarithm_within_3_millionths(score: u64, shift in 0..64u32) {
        let score = score >> shift;
        let exact = 64.0 - (score as f64 + 1.0).log2();
        let seen = cost(score) as f64 / (1u64 << FRACTION_BITS) as f64;
        prop_assert!((exact - seen).abs() < 3e-6, "{score}: {seen} is not {exact}");
    }
}
