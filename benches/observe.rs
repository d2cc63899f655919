//! What one small request costs in log, metrics and page, on one thread and where two do the same at once.
//!
//! `cargo bench --bench observe`
#![allow(
    missing_docs,
    reason = "criterion's macros make an undocumented function"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use shardlet::observe::cost::Costs;
use shardlet::shard::{Member, Members, Pins, Placement, View, Weight};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Part = fn(&Costs);

fn view() -> View {
    let member = |n: usize| Member {
        id: format!("registry-{n}").parse().unwrap(),
        address: format!("registry-{n}:5443").parse().unwrap(),
        weight: Weight::default(),
    };
    let local = "registry-0".parse().unwrap();
    let members = Members::new((0..3).map(member).collect(), &local).unwrap();
    let pins = Pins::new(Vec::new()).unwrap();
    View::new(
        members,
        Placement::Rendezvous,
        &(*b"loremipsumdolors").into(),
        pins,
    )
}

/// Does it so often on each of so many threads at once; how long that took.
fn on_threads(threads: usize, times: u64, work: impl Fn() + Sync) -> Duration {
    let ready = Barrier::new(threads);
    let run = || {
        ready.wait();
        let start = Instant::now();
        (0..times).for_each(|_| work());
        start.elapsed()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let times = threads.into_iter().map(|thread| thread.join().unwrap());
        times.max().unwrap()
    })
}

fn one_request(c: &mut Criterion) {
    let costs = Costs::new(&view()).unwrap();
    let parts: [(&str, Part); 4] = [
        ("line", Costs::line),
        ("counts", Costs::counts),
        ("counts at its end", Costs::ends),
        ("page", Costs::recent),
    ];
    let mut group = c.benchmark_group("one request");
    for (name, part) in parts {
        for threads in [1, 2] {
            group.bench_function(format!("{name}, {threads} threads"), |b| {
                b.iter_custom(|times| on_threads(threads, times, || part(&costs)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, one_request);
criterion_main!(benches);
