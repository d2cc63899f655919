//! The figures of docs/scale.md that placement alone decides, as one JSON document on standard output.
//!
//! `bash benches/scale.sh` runs it and writes the document; `cargo bench --bench scale -- --quick` is a smaller one.
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

mod model;

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use shardlet::shard::{Members, Placement, Repository, View};

use model::{
    Catalog, EXPONENTS, Load, MIDDLE, Spread, Weights, moves, pin_hottest, pinned, spread, traffic,
    view, workers,
};

const FLEETS: [usize; 6] = [3, 10, 30, 100, 300, 1000];
/// How many of the hottest repositories are pinned.
const PINS: [u32; 3] = [10, 100, 4096];
/// A look-up is timed over so many names, so many times.
const NAMES: u32 = 2_000;
const TRIES: usize = 9;

struct Size {
    members: Vec<usize>,
    repositories: Vec<u32>,
    /// Scores that may be computed to see what moves: members times repositories.
    scores: u32,
}

impl Size {
    fn new(quick: bool) -> Self {
        if quick {
            Self {
                members: FLEETS[..4].to_vec(),
                repositories: vec![1_000, 10_000, 100_000],
                scores: 3_000_000,
            }
        } else {
            Self {
                members: FLEETS.to_vec(),
                repositories: vec![1_000, 10_000, 100_000, 1_000_000, 10_000_000],
                scores: 300_000_000,
            }
        }
    }
}

fn main() {
    let size = Size::new(std::env::args().any(|word| word == "--quick"));
    let began = Instant::now();
    let document = json!({
        "cores": workers(),
        "exponents": EXPONENTS,
        "middle": MIDDLE,
        "repositories": size.repositories,
        "hottest": hottest(*size.repositories.last().unwrap()),
        // Before all cores are hot.
        "lookup": size.members.iter().map(|members| lookup(*members)).collect::<Value>(),
        "shares": shares(&size),
        "resize": size.members.iter().map(|members| resize(*members, size.scores)).collect::<Value>(),
        "traffic": size.members.iter().map(|members| talk(*members)).collect::<Value>(),
        "seconds": began.elapsed().as_secs_f64().round(),
    });
    println!("{document}");
}

/// How much of all requests the hottest repositories take: the first, and a hundredth of all.
fn hottest(repositories: u32) -> Value {
    let catalog = Catalog::new(repositories);
    let part = |count: u32| -> Vec<f64> {
        let parts = (0..count).map(|rank| catalog.popularity(rank));
        parts.fold(vec![0.0; EXPONENTS.len()], |sums, part| {
            sums.iter()
                .zip(part)
                .map(|(sum, part)| sum + part)
                .collect()
        })
    };
    json!({ "first": part(1), "hundredth": part(repositories / 100) })
}

fn shares(size: &Size) -> Value {
    let mut rows = Vec::new();
    for repositories in &size.repositories {
        let catalog = Catalog::new(*repositories);
        for members in &size.members {
            let view = view(*members, Placement::Rendezvous, Weights::Equal);
            let loads = spread(&view, &catalog);
            let mut row = shown(&loads, Weights::Equal);
            row["members"] = json!(members);
            row["repositories"] = json!(repositories);
            if repositories == size.repositories.last().unwrap() {
                row["pinned"] = PINS
                    .iter()
                    .map(|count| {
                        let pinned = pin_hottest(&loads, &view, &catalog, *count);
                        json!({ "pins": count, "requests": requests(&pinned, Weights::Equal) })
                    })
                    .collect();
                row["weighted"] = weighted(*members, &catalog);
            }
            rows.push(row);
            eprintln!("shares: {repositories} repositories, {members} members");
        }
    }
    Value::Array(rows)
}

/// A tenth of all, so that it takes no longer than all the rest.
fn weighted(members: usize, all: &Catalog) -> Value {
    let view = view(members, Placement::Rendezvous, Weights::Mixed);
    let catalog = Catalog::new(all.repositories / 10);
    shown(&spread(&view, &catalog), Weights::Mixed)
}

fn shown(loads: &[Load], weights: Weights) -> Value {
    json!({
        "owned": told(Spread::of(loads, weights, |load| f64::from(load.repositories))),
        "requests": requests(loads, weights),
        "bytes": told(Spread::of(loads, weights, |load| load.bytes)),
    })
}

fn requests(loads: &[Load], weights: Weights) -> Value {
    (0..EXPONENTS.len())
        .map(|n| told(Spread::of(loads, weights, |load| load.requests[n])))
        .collect()
}

fn told(spread: Spread) -> Value {
    json!({ "median": spread.median, "p99": spread.p99, "most": spread.most })
}

fn resize(members: usize, scores: u32) -> Value {
    let repositories = (scores / members as u32).min(1_000_000);
    let catalog = Catalog::new(repositories);
    let changes = [
        ("more", members + 1),
        ("less", members - 1),
        ("double", 2 * members),
    ];
    let placements = Placement::ALL.map(|placement| {
        let before = view(members, placement, Weights::Equal);
        let rows: serde_json::Map<String, Value> = changes
            .iter()
            .filter(|(_, after)| *after <= Members::MAX)
            .map(|(name, after)| {
                let after = view(*after, placement, Weights::Equal);
                let moved = moves(&before, &after, &catalog);
                let row = json!({
                    "repositories": moved.repositories, "requests": moved.requests, "needless": moved.needless,
                });
                ((*name).to_owned(), row)
            })
            .collect();
        (placement.as_str().to_owned(), Value::Object(rows))
    });
    eprintln!("resize: {members} members");
    let mut row = Value::Object(placements.into_iter().collect());
    row["members"] = json!(members);
    row["sample"] = json!(repositories);
    row
}

/// Nanoseconds from a name that was read to its owner.
fn lookup(members: usize) -> Value {
    let hottest: Vec<(String, usize)> = (0..4096)
        .map(|rank| (Catalog::name(rank), rank as usize % members))
        .collect();
    json!({
        "members": members,
        "rendezvous": time(&view(members, Placement::Rendezvous, Weights::Equal)),
        "weights": time(&view(members, Placement::Rendezvous, Weights::Mixed)),
        "pins": time(&pinned(members, Placement::Rendezvous, Weights::Equal, &hottest)),
        "zot": time(&view(members, Placement::Zot, Weights::Equal)),
    })
}

/// The best of several tries: others use this machine too.
fn time(view: &View) -> f64 {
    // Those that are not pinned.
    let names: Vec<String> = (10_000..10_000 + NAMES).map(Catalog::name).collect();
    let parsed: Vec<_> = names
        .iter()
        .map(|name| Repository::parse(name).unwrap())
        .collect();
    let tries = (0..TRIES).map(|_| {
        let began = Instant::now();
        for repository in &parsed {
            black_box(view.owner(black_box(repository)));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(NAMES)
    });
    tries.fold(f64::INFINITY, f64::min)
}

fn talk(members: usize) -> Value {
    let traffic = traffic(members);
    json!({
        "members": members,
        "every": traffic.every,
        "questions": traffic.questions,
        "exchange": traffic.exchange,
        "bytes": traffic.bytes,
        "connections": traffic.connections,
        "change": traffic.change,
    })
}
