//! The reference is complete, and has no more than there is.

use std::collections::BTreeSet;

use crate::config::schema::ALL;
use crate::config::yaml::{self, Kind, Node};

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
fn every_key_stands_in_the_example_and_no_other() {
    let example: String = include_str!("../../../proxy.yaml")
        .lines()
        .map(|line| uncommented(line) + "\n")
        .collect();
    let mut written = BTreeSet::new();
    collect(&yaml::parse(&example).expect("YAML"), "", &mut written);
    let read: BTreeSet<String> = ALL
        .iter()
        .flat_map(|schema| schema.keys.iter().map(|key| schema.dotted(key)))
        .collect();
    assert_eq!(written, read);
}

/// A line whose key is commented out, without that comment.
fn uncommented(line: &str) -> String {
    let key = |text: &str| text.split(':').next().map(str::to_owned);
    match line.split_once("# ") {
        Some((indent, text)) if indent.trim().is_empty() => {
            let known = key(text).filter(|key| ALL.iter().any(|all| all.keys.contains(&&**key)));
            known.map_or_else(|| line.to_owned(), |_| format!("{indent}{text}"))
        }
        Some(_) | None => line.to_owned(),
    }
}

/// The dotted keys of a tree.
fn collect(node: &Node, path: &str, into: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Null | Kind::Scalar(_) => {}
        Kind::Sequence(items) => items
            .iter()
            .for_each(|item| collect(item, &format!("{path}[]"), into)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                let Kind::Scalar(key) = &key.kind else {
                    panic!("a key that is no word under {path}")
                };
                let dotted = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(value, &dotted, into);
                into.insert(dotted);
            }
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
