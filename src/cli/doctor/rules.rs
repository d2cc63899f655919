//! From facts to findings. Pure: one function for each thing that is looked at.

mod fleet;
mod leases;
mod sync;
#[cfg(test)]
mod tests;
mod zot;

use super::facts::{Facts, ReplicaFile};
use super::finding::{Finding, Kind};
use crate::cli::import::tree::Tree;

/// Everything that is wrong, the fleet first.
pub(super) fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = fleet::diagnose(facts);
    found.extend(leases::diagnose(facts));
    found.extend(storage(facts));
    found.extend(secrets(facts));
    for replica in &facts.replicas {
        match Registry::of(&replica.tree) {
            Registry::Zot => found.extend(zot::diagnose(facts, replica)),
            Registry::Distribution => found.extend(cache(replica)),
        }
    }
    found.extend(sync::diagnose(facts));
    // Two steps may have seen the same; and each of them may be seen in several places.
    let mut told = Vec::new();
    for finding in found {
        if !told.contains(&finding) {
            told.push(finding);
        }
    }
    told
}

/// Whose configuration that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    Zot,
    Distribution,
}

impl Registry {
    /// distribution's has a version, zot's that of the specification.
    fn of(tree: &Tree) -> Self {
        if tree.at(&["version"]).is_some() && tree.at(&["distSpecVersion"]).is_none() {
            Self::Distribution
        } else {
            Self::Zot
        }
    }
}

/// A finding in a replica's configuration, where the key stands, or would stand in the nearest section that is there.
fn in_file(kind: Kind, replica: &ReplicaFile, path: &[&str], what: impl Into<String>) -> Finding {
    let nearest = (0..=path.len())
        .rev()
        .find_map(|length| replica.tree.at(&path[..length]));
    let line = nearest.map_or(1, |tree| tree.line);
    Finding {
        kind,
        place: format!("{}:{line}", replica.file),
        what: what.into(),
    }
}

/// Where replicas store, by their configurations and by what was seen.
fn storage(facts: &Facts<'_>) -> Vec<Finding> {
    let seen = facts.stores_elsewhere.iter();
    let mut found: Vec<Finding> = seen
        .map(|(member, what)| Finding {
            kind: Kind::StorageDiffers,
            place: member.clone(),
            what: what.clone(),
        })
        .collect();
    let Some((first, others)) = facts.replicas.split_first() else {
        return found;
    };
    for other in others {
        let (one, two) = (place_of_storage(&first.tree), place_of_storage(&other.tree));
        // Folders are the same or not whatever they are called.
        if let (Some(one), Some(two)) = (one, two)
            && one != two
        {
            let what = format!("it stores in {two}, and {} in {one}", first.file);
            found.push(in_file(Kind::StorageDiffers, other, &["storage"], what));
        }
    }
    found
}

/// The remote storage that is configured, by all that tells two apart.
fn place_of_storage(tree: &Tree) -> Option<String> {
    const TELLING: [&str; 7] = [
        "bucket",
        "container",
        "accountname",
        "rootdirectory",
        "regionendpoint",
        "region",
        "name",
    ];
    let driver = match Registry::of(tree) {
        Registry::Zot => tree.at(&["storage", "storageDriver"])?,
        Registry::Distribution => {
            let drivers = tree.at(&["storage"])?.entries().iter();
            let (_, driver) = drivers.clone().find(|(_, driver)| {
                ["bucket", "container"]
                    .iter()
                    .any(|key| driver.at(&[key]).is_some())
            })?;
            driver
        }
    };
    let told = TELLING.iter().filter_map(|key| {
        let text = driver.text(&[key])?;
        Some(format!("{key} {}", text.trim_matches('/')))
    });
    Some(told.collect::<Vec<_>>().join(", ")).filter(|told| !told.is_empty())
}

/// distribution signs the state of uploads.
fn secrets(facts: &Facts<'_>) -> Vec<Finding> {
    const SECRET: &[&str] = &["http", "secret"];
    let several = facts.config.may_have_peers();
    let distributions: Vec<&ReplicaFile> = facts
        .replicas
        .iter()
        .filter(|replica| several && Registry::of(&replica.tree) == Registry::Distribution)
        .collect();
    let first = distributions
        .first()
        .and_then(|first| first.tree.text(SECRET));
    let fault = |replica: &&ReplicaFile| {
        let what = match replica.tree.text(SECRET) {
            None => "http.secret is not set: this replica makes up its own",
            Some(secret) if first.is_some_and(|first| first != secret) => {
                "http.secret is not that of the other replicas"
            }
            Some(_) => return None,
        };
        Some(in_file(Kind::DistributionSecret, replica, SECRET, what))
    };
    distributions.iter().filter_map(fault).collect()
}

/// distribution's cache of blob descriptors.
fn cache(replica: &ReplicaFile) -> Vec<Finding> {
    // The second is the name of old.
    let mut found: Vec<Finding> = ["blobdescriptor", "layerinfo"]
        .iter()
        .filter_map(|key| {
            let path = ["storage", "cache", key];
            let told = replica.tree.text(&path)?;
            let what = format!("storage.cache.{key} is {told}");
            (told == "inmemory").then(|| in_file(Kind::DistributionCache, replica, &path, what))
        })
        .collect();
    let address = replica.tree.text(&["http", "addr"]);
    found.extend(fleet::bound(
        replica,
        &["http", "addr"],
        address.unwrap_or_default(),
    ));
    found
}
