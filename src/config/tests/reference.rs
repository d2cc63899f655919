//! The reference is complete, and has no more than there is.

use std::collections::BTreeSet;

use crate::config::schema::ALL;

#[test]
fn docs_and_reader_know_the_same_keys() {
    let sections: BTreeSet<&str> = ALL.iter().map(|schema| schema.path).collect();
    let is_section =
        |key: &str| sections.contains(key) || sections.contains(format!("{key}[]").as_str());
    let read: BTreeSet<String> = ALL
        .iter()
        .flat_map(|schema| schema.keys.iter().map(|key| schema.dotted(key)))
        .filter(|key| !is_section(key))
        .collect();
    let reference = include_str!("../../../docs/configuration.md");
    let reference = reference
        .split("## Environment")
        .next()
        .expect("the part about keys");
    let told: BTreeSet<String> = reference
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split('`')
                .next()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(told, read);
}

#[test]
fn every_key_stands_in_the_example() {
    let example = include_str!("../../../proxy.yaml");
    for schema in ALL {
        for key in schema.keys {
            assert!(example.contains(key), "{}", schema.dotted(key));
        }
    }
}

#[test]
fn only_the_hash_key_is_taken_for_a_secret() {
    let secret: Vec<&str> = ALL
        .iter()
        .flat_map(|schema| schema.keys.iter().copied())
        .filter(|key| crate::config::secret::names_secret(key))
        .collect();
    assert_eq!(secret, ["hash_key"]);
}
