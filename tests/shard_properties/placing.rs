//! Finding owners.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use shardlet::shard::{MemberId, Pins, Placement, Repository, View, Weight};

use super::{List, NAME, list, members, placement};

fn view(list: &List, placement: Placement, key: [u8; 16]) -> View {
    View::new(members(list), placement, &key.into(), Pins::default())
}

fn owner(view: &View, name: &str) -> MemberId {
    let owner = view.owner(&Repository::parse(name).unwrap());
    view.members().get(owner).id.clone()
}

proptest! {
    /// Every member, whichever is local to it, names the same owner, and a second view of the same does too.
    #[test]
    fn every_repository_has_one_owner(
        list in list(1..10), placement in placement(), key: [u8; 16], names in vec(NAME, 1..12), turn: Index,
    ) {
        let mut elsewhere = list.clone();
        let here = view(&list, placement, key);
        // Only rendezvous is free of the list's order.
        if placement == Placement::Rendezvous {
            elsewhere.rotate_left(turn.index(list.len()));
        }
        let there = view(&elsewhere, placement, key);
        for name in &names {
            prop_assert!(list.iter().any(|(id, _)| *id == owner(&here, name).to_string()));
            prop_assert_eq!(owner(&here, name), owner(&there, name));
            prop_assert_eq!(owner(&here.clone(), name), owner(&here, name));
        }
    }

    #[test]
    fn a_member_that_comes_takes_only_what_becomes_its_own(
        list in list(2..10), key: [u8; 16], names in vec(NAME, 1..12),
    ) {
        let smaller = list[..list.len() - 1].to_vec();
        let (before, after) = (view(&smaller, Placement::Rendezvous, key), view(&list, Placement::Rendezvous, key));
        let newcomer: MemberId = list[list.len() - 1].0.parse().unwrap();
        for name in &names {
            let (old, new) = (owner(&before, name), owner(&after, name));
            prop_assert!(new == old || new == newcomer, "{name} moved from {old} to {new}");
        }
    }

    #[test]
    fn a_member_that_goes_gives_up_only_its_own(
        list in list(2..10), key: [u8; 16], names in vec(NAME, 1..12), gone: Index,
    ) {
        let gone = gone.index(list.len());
        let mut rest = list.clone();
        let leaver: MemberId = rest.remove(gone).0.parse().unwrap();
        let (before, after) = (view(&list, Placement::Rendezvous, key), view(&rest, Placement::Rendezvous, key));
        for name in &names {
            let (old, new) = (owner(&before, name), owner(&after, name));
            prop_assert!(new == old || old == leaver, "{name} moved from {old} to {new}");
        }
    }

    /// A heavier member takes more and leaves all others what they had among themselves.
    #[test]
    fn a_member_that_gets_heavier_only_gains(
        list in list(2..10), key: [u8; 16], names in vec(NAME, 1..12), which: Index, more in 1..500u16,
    ) {
        let which = which.index(list.len());
        let mut heavier = list.clone();
        heavier[which].1 = (heavier[which].1 + more).min(Weight::MAX);
        let (before, after) = (view(&list, Placement::Rendezvous, key), view(&heavier, Placement::Rendezvous, key));
        let gainer: MemberId = list[which].0.parse().unwrap();
        for name in &names {
            let (old, new) = (owner(&before, name), owner(&after, name));
            prop_assert!(new == old || new == gainer, "{name} moved from {old} to {new}");
        }
    }

    #[test]
    fn cookies_name_the_member_they_were_made_for(list in list(1..10), placement in placement(), key: [u8; 16]) {
        let view = view(&list, placement, key);
        for (index, _) in view.members().iter() {
            prop_assert_eq!(view.sticky_member(view.sticky_token(index).as_str()), Some(index));
        }
    }
}

/// Counted over 30,000 repositories: each member within five standard deviations of its share.
#[test]
fn shares_follow_weights() {
    const REPOSITORIES: u32 = 30_000;
    let weights: [&[u16]; 5] = [
        &[1, 1, 1],
        &[1, 2, 3, 4],
        &[1, 1000],
        &[999, 1000, 1],
        &[7; 20],
    ];
    for weights in weights {
        let list = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| (format!("m{n}"), *weight))
            .collect();
        let view = view(&list, Placement::Rendezvous, *b"loremipsumdolors");
        let mut counts = vec![0u32; list.len()];
        for n in 0..REPOSITORIES {
            let name = format!("team/app-{n}");
            counts[view.owner(&Repository::parse(&name).unwrap()).get()] += 1;
        }
        for (index, share) in view.shares() {
            let expected = share * f64::from(REPOSITORIES);
            let deviation = (expected * (1.0 - share)).sqrt();
            let off = (f64::from(counts[index.get()]) - expected).abs();
            assert!(
                off < 5.0 * deviation + 1.0,
                "{weights:?} gave {counts:?}, expected {expected}"
            );
        }
    }
}
