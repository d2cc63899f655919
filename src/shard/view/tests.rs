use serde::Deserialize;

use super::*;
use crate::shard::members::tests::{id, members, weighted_members};
use crate::shard::pins::Pin;

/// Written by tests/data/golden.py with Python's hmac and hashlib.
const GOLDEN: &str = include_str!("../../../tests/data/golden.json");

#[derive(Deserialize)]
struct Golden {
    clusters: Vec<GoldenCluster>,
}

#[derive(Deserialize)]
struct GoldenCluster {
    hash_key: String,
    members: Vec<GoldenMember>,
    pins: Vec<GoldenPin>,
    fingerprints: GoldenFingerprints,
    sticky: Vec<String>,
    repositories: Vec<GoldenRepository>,
}

#[derive(Deserialize)]
struct GoldenMember {
    id: String,
    weight: u16,
}

#[derive(Deserialize)]
struct GoldenPin {
    prefix: String,
    member: usize,
}

#[derive(Deserialize)]
struct GoldenFingerprints {
    rendezvous: String,
    zot: String,
}

#[derive(Deserialize)]
struct GoldenRepository {
    name: String,
    placed: usize,
}

impl GoldenCluster {
    fn view(&self, placement: Placement) -> View {
        let list: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.id.as_str(), member.weight))
            .collect();
        let members = weighted_members(&list, list[0].0);
        let pin = |pin: &GoldenPin| Pin {
            prefix: pin.prefix.parse().unwrap(),
            member: members.find(&id(&self.members[pin.member].id)).unwrap(),
        };
        let pins = Pins::new(self.pins.iter().map(pin).collect()).unwrap();
        let key = u128::from_str_radix(&self.hash_key, 16)
            .unwrap()
            .to_be_bytes();
        View::new(members, placement, &key.into(), pins)
    }
}

#[test]
fn fingerprints_and_tokens_are_version_1() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(golden.clusters.len(), 5);
    for cluster in golden.clusters {
        let view = cluster.view(Placement::Rendezvous);
        assert_eq!(
            view.fingerprint().to_string(),
            cluster.fingerprints.rendezvous
        );
        let zot = cluster.view(Placement::Zot);
        assert_eq!(zot.fingerprint().to_string(), cluster.fingerprints.zot);
        for ((index, _), token) in view.members().iter().zip(&cluster.sticky) {
            assert_eq!(view.sticky_token(index).as_str(), token);
            assert_eq!(view.sticky_member(token), Some(index));
        }
    }
}

#[test]
fn pins_go_before_placement() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let mut pinned = 0;
    for cluster in golden.clusters {
        let view = cluster.view(Placement::Rendezvous);
        for row in &cluster.repositories {
            let pin = cluster.pins.iter().find(|pin| {
                row.name == pin.prefix || row.name.starts_with(&format!("{}/", pin.prefix))
            });
            let owner = pin.map_or(row.placed, |pin| pin.member);
            pinned += usize::from(pin.is_some());
            assert_eq!(
                view.owner(&Repository::parse(&row.name).unwrap()).get(),
                owner,
                "{}",
                row.name
            );
        }
    }
    assert_eq!(pinned, 2 + 2);
}

const KEY: [u8; 16] = *b"loremipsumdolors";

fn view(
    list: &[(&str, u16)],
    local: &str,
    placement: Placement,
    key: [u8; 16],
    pins: &[(&str, &str)],
) -> View {
    let members = weighted_members(list, local);
    let pin = |(prefix, member): &(&str, &str)| Pin {
        prefix: prefix.parse().unwrap(),
        member: members.find(&id(member)).unwrap(),
    };
    let pins = Pins::new(pins.iter().map(pin).collect()).unwrap();
    View::new(members, placement, &key.into(), pins)
}

#[test]
fn all_that_owners_depend_on_changes_the_fingerprint() {
    use Placement::{Rendezvous, Zot};
    let list = [("a", 1), ("b", 1), ("c", 1)];
    let views = [
        view(&list, "a", Rendezvous, KEY, &[]),
        view(&list, "a", Zot, KEY, &[]),
        view(&list, "a", Rendezvous, *b"loremipsumdolorS", &[]),
        view(&list[..2], "a", Rendezvous, KEY, &[]),
        view(&[("b", 1), ("a", 1), ("c", 1)], "a", Rendezvous, KEY, &[]),
        view(&[("a", 1), ("b", 2), ("c", 1)], "a", Rendezvous, KEY, &[]),
        view(&[("a", 1), ("b", 1), ("d", 1)], "a", Rendezvous, KEY, &[]),
        view(&list, "a", Rendezvous, KEY, &[("x", "a")]),
        view(&list, "a", Rendezvous, KEY, &[("x", "b")]),
        view(&list, "a", Rendezvous, KEY, &[("y", "a")]),
        view(&list, "a", Rendezvous, KEY, &[("x", "a"), ("y", "a")]),
    ];
    for (first, one) in views.iter().enumerate() {
        for other in &views[first + 1..] {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{one:?}\n{other:?}");
        }
    }
}

#[test]
fn what_owners_do_not_depend_on_leaves_the_fingerprint_alone() {
    let list = [("a", 1), ("b", 1)];
    let base = view(
        &list,
        "a",
        Placement::Rendezvous,
        KEY,
        &[("x", "a"), ("y/z", "b")],
    );
    let elsewhere = view(
        &list,
        "b",
        Placement::Rendezvous,
        KEY,
        &[("y/z/", "b"), ("x/", "a")],
    );
    assert_eq!(base.fingerprint(), elsewhere.fingerprint());
}

#[test]
fn fingerprints_are_read_as_written() {
    let view = view(&[("a", 1)], "a", Placement::Zot, KEY, &[]);
    let text = view.fingerprint().to_string();
    assert_eq!(text.len(), 32);
    assert_eq!(text.parse(), Ok(*view.fingerprint()));
    for wrong in [
        "",
        &text[1..],
        &text.to_uppercase(),
        &format!("{text}0"),
        &format!("{text}00"),
        &text.replace('2', "g"),
    ] {
        assert_eq!(
            wrong.parse::<Fingerprint>(),
            Err(FingerprintError),
            "{wrong:?}"
        );
    }
}

#[test]
fn cookies_of_strangers_name_nobody() {
    let view = View::new(
        members(&["a", "b"], "a"),
        Placement::Rendezvous,
        &KEY.into(),
        Pins::default(),
    );
    let other_key = View::new(
        members(&["a", "b"], "a"),
        Placement::Rendezvous,
        &[7; 16].into(),
        Pins::default(),
    );
    let token = view.sticky_token(view.members().local()).as_str();
    assert_eq!(other_key.sticky_member(token), None);
    for cookie in ["", "a", "b", &token[1..], &token.to_uppercase()] {
        assert_eq!(view.sticky_member(cookie), None, "{cookie:?}");
    }
}

#[test]
fn shares_follow_weights_where_they_count() {
    let list = [("a", 1), ("b", 3), ("c", 4)];
    let shares = |placement| {
        let view = view(&list, "a", placement, KEY, &[]);
        view.shares().map(|(_, share)| share).collect::<Vec<_>>()
    };
    assert_eq!(shares(Placement::Rendezvous), [0.125, 0.375, 0.5]);
    assert_eq!(shares(Placement::Zot), [1.0 / 3.0; 3]);
}

#[test]
fn nothing_printed_shows_the_key() {
    for placement in Placement::ALL {
        let shown = format!("{:?}", view(&[("a", 1)], "a", placement, KEY, &[]));
        let as_number = u64::from_le_bytes(KEY[..8].try_into().unwrap()).to_string();
        assert!(
            !shown.contains("lorem") && !shown.contains(&as_number),
            "{shown}"
        );
    }
}

/// Who is no member finds the same owners as the members do, and is none of them.
#[test]
fn a_guest_owns_nothing() {
    let list = members(&["a", "b", "c"], "a");
    let like = |name: &str| {
        let mut member = list.get(list.local()).clone();
        (member.id, member.address) = (id(name), format!("{name}:5443").parse().unwrap());
        member
    };
    let seated: Vec<_> = ["a", "b", "c"].map(like).into();
    let guest = Members::with_guest(seated.clone(), like("d")).unwrap();
    assert_eq!((guest.len(), guest.owners().len()), (4, 3));
    assert_eq!(guest.get(guest.local()).id, id("d"));
    let key = HashKey::from(*b"loremipsumdolors");
    for placement in Placement::ALL {
        let view = View::new(list.clone(), placement, &key, Pins::default());
        let guests = view.with_same_key(guest.clone(), placement, Pins::default());
        assert_eq!(guests.fingerprint(), view.fingerprint());
        assert_eq!(guests.describe(), view.describe());
        assert!(guests.shares().eq(view.shares()));
        for number in 0..200 {
            let name = format!("team/app-{number}");
            let repository = Repository::parse(&name).unwrap();
            assert_eq!(guests.owner(&repository), view.owner(&repository));
        }
    }
    assert!(Members::with_guest(seated.clone(), like("b")).is_err());
    assert!(Members::with_guest(Vec::new(), like("a")).is_err());
}
