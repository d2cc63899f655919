use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::shard::members::tests::members;

/// Vectors for zot's placement: made with two independent SipHash implementations, checked against zot's own test.
const VECTORS: &str = include_str!("../../../tests/data/zot-placement-vectors.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    hash_key: String,
    repository: String,
    siphash24: String,
    owner_index: BTreeMap<String, usize>,
}

fn key(text: &str) -> HashKey {
    <[u8; 16]>::try_from(text.as_bytes()).unwrap().into()
}

fn numbered_members(count: usize) -> Members {
    let ids: Vec<_> = (0..count).map(|n| format!("zot-{n}")).collect();
    members(&ids.iter().map(String::as_str).collect::<Vec<_>>(), "zot-0")
}

#[test]
fn all_360_vectors_of_zot_agree() {
    let Vectors { vectors } = serde_json::from_str(VECTORS).unwrap();
    let mut owners = 0;
    for vector in &vectors {
        let repository = Repository::parse(&vector.repository).unwrap();
        let hasher = ZotPlacer(SipHasher24::new_with_key(key(&vector.hash_key).bytes()));
        assert_eq!(
            format!("{:016x}", hasher.hash(&repository)),
            vector.siphash24,
            "{repository}"
        );
        for (count, &owner) in &vector.owner_index {
            let members = numbered_members(count.parse().unwrap());
            let placer = Placer::new(Placement::Zot, &key(&vector.hash_key), &members);
            assert_eq!(
                placer.owner(&repository, &members).get(),
                owner,
                "{repository} of {count}"
            );
            owners += 1;
        }
    }
    assert_eq!((vectors.len(), owners), (360, 360 * 8));
}

#[test]
fn the_repository_of_zots_own_test_is_on_the_second_of_two() {
    let members = numbered_members(2);
    let placer = Placer::new(Placement::Zot, &key("loremipsumdolors"), &members);
    let repository = Repository::parse("zot-test").unwrap();
    assert_eq!(placer.owner(&repository, &members).get(), 1);
}

#[test]
fn placements_are_read_by_name() {
    for kind in Placement::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert_eq!("Zot".parse::<Placement>(), Err(PlacementError));
    assert_eq!(Placement::default(), Placement::Rendezvous);
}

#[test]
fn nothing_printed_shows_the_key() {
    let key = key("loremipsumdolors");
    assert_eq!(format!("{key:?}"), "HashKey(..)");
    let shown = format!(
        "{:?}",
        Placer::new(Placement::Zot, &key, &numbered_members(1))
    );
    assert_eq!(shown, "Zot(ZotPlacer(..))");
}
