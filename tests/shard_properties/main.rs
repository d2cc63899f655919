//! What holds of the pure core for all inputs, not only for those in its tables.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod paths;
mod placing;
mod planning;
mod scale;

use proptest::collection::btree_map;
use proptest::prelude::*;
use shardlet::shard::{Member, MemberId, Members, Placement, Weight};

/// Ids and weights of a list of members; the first is the local one.
type List = Vec<(String, u16)>;

const NAME: &str = "[a-z0-9]{1,8}((\\.|_|__|-|--)[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,8}((\\.|_|__|-)[a-z0-9]{1,4}){0,1}){0,3}";

fn list(sizes: std::ops::Range<usize>) -> impl Strategy<Value = List> {
    let weight = prop_oneof![4 => Just(1), 2 => 1..=10u16, 1 => 1..=Weight::MAX];
    btree_map("[a-z]([a-z0-9-]{0,10}[a-z0-9])?", weight, sizes)
        .prop_map(|map| map.into_iter().collect::<List>())
        .prop_shuffle()
}

fn members(list: &List) -> Members {
    let member = |(id, weight): &(String, u16)| Member {
        id: id.parse().unwrap(),
        address: format!("{id}:5443").parse().unwrap(),
        weight: Weight::new(*weight).unwrap(),
    };
    let local: MemberId = list[0].0.parse().unwrap();
    Members::new(list.iter().map(member).collect(), &local).unwrap()
}

fn placement() -> impl Strategy<Value = Placement> {
    prop_oneof![Just(Placement::Rendezvous), Just(Placement::Zot)]
}
