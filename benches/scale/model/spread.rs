//! Who owns how much.

use shardlet::shard::{Placement, Repository, View};

use super::catalog::{Catalog, EXPONENTS, MIDDLE};
use super::parallel::pieces;
use super::{Weights, pinned};

/// What one member has of a whole fleet.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Load {
    pub repositories: u32,
    /// Its part of all requests, by exponent.
    pub requests: [f64; EXPONENTS.len()],
    /// Its part of all bytes that are pulled, by the middle exponent.
    pub bytes: f64,
}

impl Load {
    fn add(&mut self, other: &Self) {
        self.repositories += other.repositories;
        for (sum, part) in self.requests.iter_mut().zip(other.requests) {
            *sum += part;
        }
        self.bytes += other.bytes;
    }

    fn of(catalog: &Catalog, rank: u32) -> Self {
        let requests = catalog.popularity(rank);
        Self {
            repositories: 1,
            requests,
            bytes: requests[MIDDLE] * Catalog::size(rank),
        }
    }
}

/// What each member has, in the order of the list.
pub fn spread(view: &View, catalog: &Catalog) -> Vec<Load> {
    let members = view.members().len();
    let parts = pieces(catalog.repositories, |ranks| {
        let mut loads = vec![Load::default(); members];
        let mut name = String::new();
        for rank in ranks {
            Catalog::name_into(rank, &mut name);
            let owner = view.owner(&Repository::parse(&name).unwrap());
            loads[owner.get()].add(&Load::of(catalog, rank));
        }
        loads
    });
    let mut loads = vec![Load::default(); members];
    for part in parts {
        for (load, more) in loads.iter_mut().zip(part) {
            load.add(&more);
        }
    }
    let all: f64 = loads.iter().map(|load| load.bytes).sum();
    for load in &mut loads {
        load.bytes /= all;
    }
    loads
}

/// The loads of the same members when the `count` hottest repositories are tied to members, each in turn to the one that
/// has least to do. Bytes are left as they were.
pub fn pin_hottest(loads: &[Load], view: &View, catalog: &Catalog, count: u32) -> Vec<Load> {
    let mut loads = loads.to_vec();
    let ranks = 0..count.min(catalog.repositories);
    for rank in ranks.clone() {
        let name = Catalog::name(rank);
        let owner = view.owner(&Repository::parse(&name).unwrap()).get();
        loads[owner].repositories -= 1;
        for (sum, part) in loads[owner]
            .requests
            .iter_mut()
            .zip(catalog.popularity(rank))
        {
            *sum -= part;
        }
    }
    let mut pins = Vec::new();
    for rank in ranks {
        let least = |a: &usize, b: &usize| {
            let [a, b] = [a, b].map(|member| loads[*member].requests[MIDDLE]);
            a.total_cmp(&b)
        };
        let member = (0..loads.len()).min_by(least).unwrap();
        let more = Load::of(catalog, rank);
        loads[member].add(&Load { bytes: 0.0, ..more });
        pins.push((Catalog::name(rank), member));
    }
    // As members would have it from their file.
    let view = pinned(loads.len(), Placement::Rendezvous, Weights::Equal, &pins);
    for (name, member) in &pins {
        let owner = view.owner(&Repository::parse(name).unwrap());
        assert_eq!(owner.get(), *member, "{name}");
    }
    loads
}

/// How far members are from one another, each measured by what its weight gives it: 1 is just that.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub p99: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(loads: &[Load], weights: Weights, part: impl Fn(&Load) -> f64) -> Self {
        let all: f64 = loads.iter().map(&part).sum();
        let weight = |member: usize| f64::from(weights.of(member));
        let total: f64 = (0..loads.len()).map(weight).sum();
        let due = |member: usize| all * weight(member) / total;
        let members = loads.iter().enumerate();
        let mut relative: Vec<f64> = members
            .map(|(member, load)| part(load) / due(member))
            .collect();
        relative.sort_by(f64::total_cmp);
        // The least value that so many members do not exceed.
        let at = |share: f64| {
            let rank = (share * relative.len() as f64).ceil() as usize;
            relative[rank.clamp(1, relative.len()) - 1]
        };
        Self {
            median: at(0.5),
            p99: at(0.99),
            most: at(1.0),
        }
    }
}
