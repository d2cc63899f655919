//! What placement does to a fleet of any size: who owns how much, what moves when members come and go, what members say
//! to each other. Computed by the program's own placement, without a network and the same in each run.

mod catalog;
mod parallel;
mod resize;
mod spread;
mod traffic;

use shardlet::shard::{Member, Members, Pin, PinPrefix, Pins, Placement, View, Weight};

pub use catalog::{Catalog, EXPONENTS, MIDDLE};
pub use parallel::workers;
pub use resize::moves;
pub use spread::{Load, Spread, pin_hottest, spread};
pub use traffic::traffic;

const KEY: [u8; 16] = *b"loremipsumdolors";

/// How the members of a fleet are given their weights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    Equal,
    /// 1 to 4 in turn: machines of four sizes.
    Mixed,
}

impl Weights {
    pub fn of(self, member: usize) -> u16 {
        match self {
            Self::Equal => 1,
            Self::Mixed => 1 + (member % 4) as u16,
        }
    }
}

/// A fleet of `count` members in their order, as all of them see it.
pub fn view(count: usize, placement: Placement, weights: Weights) -> View {
    pinned(count, placement, weights, &[])
}

/// The same, with each of these names tied to the member at that place.
pub fn pinned(
    count: usize,
    placement: Placement,
    weights: Weights,
    pins: &[(String, usize)],
) -> View {
    let member = |n: usize| Member {
        id: format!("registry-{n}").parse().unwrap(),
        address: format!("registry-{n}.registry.svc:5443").parse().unwrap(),
        weight: Weight::new(weights.of(n)).unwrap(),
    };
    let list = (0..count).map(member).collect();
    let members = Members::new(list, &"registry-0".parse().unwrap()).unwrap();
    let indices: Vec<_> = members.iter().map(|(index, _)| index).collect();
    let pin = |(name, member): &(String, usize)| Pin {
        prefix: name.parse::<PinPrefix>().unwrap(),
        member: indices[*member],
    };
    let pins = Pins::new(pins.iter().map(pin).collect()).unwrap();
    View::new(members, placement, &KEY.into(), pins)
}
