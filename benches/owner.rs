//! What the pure core costs on every request: reading the path, finding the owner.
//!
//! `cargo bench --bench owner`
#![allow(
    missing_docs,
    reason = "criterion's macros make an undocumented function"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use shardlet::shard::{Member, Members, Pin, Pins, Placement, Repository, View, Weight, parse};

const PATH: &str = "/v2/library/my-app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn view(count: usize, placement: Placement, weight: impl Fn(usize) -> u16, pins: usize) -> View {
    let member = |n: usize| Member {
        id: format!("registry-{n}").parse().unwrap(),
        address: format!("registry-{n}:5443").parse().unwrap(),
        weight: Weight::new(weight(n)).unwrap(),
    };
    let members = Members::new(
        (0..count).map(member).collect(),
        &"registry-0".parse().unwrap(),
    )
    .unwrap();
    let pin = |n| Pin {
        prefix: format!("team-{n}/app").parse().unwrap(),
        member: members.local(),
    };
    let pins = Pins::new((0..pins).map(pin).collect()).unwrap();
    View::new(members, placement, &(*b"loremipsumdolors").into(), pins)
}

fn owner(c: &mut Criterion) {
    let mut group = c.benchmark_group("owner");
    let repository = Repository::parse("library/my-app").unwrap();
    let equal = |_: usize| 1;
    for (name, view) in [
        ("rendezvous/3", view(3, Placement::Rendezvous, equal, 0)),
        (
            "rendezvous/3 unequal weights",
            view(3, Placement::Rendezvous, |n| 1 + n as u16, 0),
        ),
        (
            "rendezvous/3 and 100 pins",
            view(3, Placement::Rendezvous, equal, 100),
        ),
        ("rendezvous/300", view(300, Placement::Rendezvous, equal, 0)),
        (
            "rendezvous/300 of 10 weights",
            view(300, Placement::Rendezvous, |n| 1 + (n % 10) as u16, 0),
        ),
        (
            "rendezvous/300 of 300 weights",
            view(300, Placement::Rendezvous, |n| 1 + n as u16, 0),
        ),
        ("zot/3", view(3, Placement::Zot, equal, 0)),
        ("zot/300", view(300, Placement::Zot, equal, 0)),
    ] {
        group.bench_function(name, |b| b.iter(|| view.owner(black_box(&repository))));
    }
    group.finish();
}

fn route(c: &mut Criterion) {
    c.bench_function("parse/blob", |b| b.iter(|| parse(black_box(PATH)).is_ok()));
    c.bench_function("parse/page", |b| {
        b.iter(|| parse(black_box("/image/library%2Falpine/tag/3.20")).is_ok())
    });
}

criterion_group!(benches, owner, route);
criterion_main!(benches);
