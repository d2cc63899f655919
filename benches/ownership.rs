//! What the rules of ownership cost in the largest cluster that is planned for: 1,000 members, where
//! all agree, and in a rollout that has gone wrong, where they have 512 different views.
//!
//! `cargo bench --bench ownership`
#![allow(
    missing_docs,
    reason = "criterion's macros make an undocumented function"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

#[path = "../tests/ownership_cost/fleet.rs"]
mod fleet;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use fleet::{Fleet, VIEWS};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Taking one probe's answer: what was received becomes a state of the rules.
fn answer_taken(c: &mut Criterion) {
    let mut group = c.benchmark_group("answer taken");
    for (name, views) in [("all agree", 1), ("512 views", VIEWS)] {
        let mut fleet = Fleet::new(views);
        let answer = fleet.answer(7);
        group.bench_function(format!("{name}, unchanged"), |b| {
            b.iter(|| fleet.take(7, black_box(&answer)));
        });
        let mut number = VIEWS;
        group.bench_function(format!("{name}, a view not seen before"), |b| {
            b.iter_batched(
                || {
                    number += 1;
                    fleet::answer_with_view(7, number)
                },
                |answer| fleet.take(7, black_box(&answer)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// From the decision to the end of a write, as the request path has it.
fn write_checked(c: &mut Criterion) {
    let mut group = c.benchmark_group("write checked");
    for (name, views) in [("nothing in doubt", 1), ("512 views", VIEWS)] {
        let fleet = Fleet::new(views);
        let snapshot = fleet.snapshot();
        group.bench_function(name, |b| b.iter(|| fleet.write(black_box(&snapshot))));
    }
    group.finish();
}

/// Making the answer to a peer's question.
fn answer_made(c: &mut Criterion) {
    let mut group = c.benchmark_group("answer made");
    for (name, views) in [("all agree", 1), ("512 views", VIEWS)] {
        let fleet = Fleet::new(views);
        for (what, knows, witness) in [
            ("to one that knows our view", true, false),
            ("with our view", false, false),
            ("with a witness", true, true),
        ] {
            let asker = fleet.asker(knows, witness);
            group.bench_function(format!("{name}, {what}"), |b| {
                b.iter(|| fleet.report(black_box(&asker)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, answer_taken, write_checked, answer_made);
criterion_main!(benches);
