//! zot's sync and its `cluster` block: who writes what is fetched.

use super::super::facts::{Facts, ReplicaFile};
use super::super::finding::{Finding, Kind};
use super::{Registry, in_file};
use crate::cli::export;
use crate::cli::import::tree::Tree;
use crate::config::Config;
use crate::shard::{Host, MemberAddress, OwnerDown};

const CLUSTER: &[&str] = &["cluster"];

pub(super) fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut loose = Vec::new();
    let zots = facts
        .replicas
        .iter()
        .filter(|replica| Registry::of(&replica.tree) == Registry::Zot);
    for replica in zots {
        found.extend(on_demand(facts.config, replica));
        let periodic: Vec<&Tree> = registries(&replica.tree)
            .filter(|registry| registry.at(&["pollInterval"]).is_some())
            .collect();
        let block = replica
            .tree
            .at(CLUSTER)
            .filter(|block| !block.entries().is_empty());
        match (block, periodic.is_empty()) {
            (Some(block), _) if loops(facts.config, block) => {
                let what = "cluster.members lists client listeners of sidecars";
                found.push(in_file(Kind::ZotClusterLoop, replica, CLUSTER, what));
            }
            (Some(_), true) => {
                let what = "it has a cluster block";
                found.push(in_file(Kind::ZotCluster, replica, CLUSTER, what));
            }
            (Some(block), false) => found.extend(unsafe_block(facts, replica, block)),
            (None, _) => loose.extend(unpinned(facts.config, replica, &periodic)),
        }
    }
    let several = |loose: &Loose<'_>, all: &[Loose<'_>]| {
        all.iter()
            .any(|other| other.replica.member != loose.replica.member)
    };
    let findings = loose.iter().map(|one| {
        let Loose {
            replica,
            line,
            name,
        } = one;
        let (kind, why) = if several(one, &loose) {
            (Kind::SyncSeveral, "and so does another zot".to_owned())
        } else {
            let member = &replica.member;
            (
                Kind::SyncUnpinned,
                format!("and not all of that is pinned to {member}"),
            )
        };
        Finding {
            kind,
            place: format!("{}:{line}", replica.file),
            what: format!("it syncs {name} by the clock, {why}"),
        }
    });
    found.extend(findings);
    found
}

fn registries(zot: &Tree) -> impl Iterator<Item = &Tree> {
    let enabled = zot.is_enabled(&["extensions", "sync"]);
    zot.items(export::REGISTRIES)
        .iter()
        .filter(move |_| enabled)
}

fn on_demand(config: &Config, replica: &ReplicaFile) -> Option<Finding> {
    let registry = registries(&replica.tree).find(|registry| registry.is_true(&["onDemand"]))?;
    let line = registry
        .at(&["onDemand"])
        .map_or(registry.line, |on| on.line);
    (config.reads.owner_down == OwnerDown::Fallback).then(|| Finding {
        kind: Kind::SyncOnDemand,
        place: format!("{}:{line}", replica.file),
        what: "it syncs on demand, and `reads.owner_down` is fallback".to_owned(),
    })
}

/// Whether a `cluster` block leads back to sidecars.
fn loops(config: &Config, block: &Tree) -> bool {
    let clients = config.listen.clients.address;
    let is_sidecar = |member: &Tree| {
        let address: Option<MemberAddress> = member.text(&[]).and_then(|text| text.parse().ok());
        address.is_some_and(|address| {
            let host = &address.host;
            let hosts_a_member = config
                .view
                .members()
                .iter()
                .any(|(_, member)| member.address.host == *host);
            let is_ours = matches!(host, Host::Ip(ip) if ip.is_loopback() || *ip == clients.ip());
            address.port == clients.port() && (hosts_a_member || is_ours)
        })
    };
    block.items(&["members"]).iter().any(is_sidecar)
}

/// Why a block for periodic sync gives its zot other repositories than its member's.
fn unsafe_block(facts: &Facts<'_>, replica: &ReplicaFile, block: &Tree) -> Vec<Finding> {
    let config = facts.config;
    let members = config.view.members();
    let mut reasons = export::reasons(config, Some(&replica.tree));
    let listed = block.items(&["members"]);
    if listed.len() != members.len() {
        reasons.push(format!(
            "cluster.members has {} entries, and there are {} members",
            listed.len(),
            members.len()
        ));
    }
    let own = members
        .iter()
        .position(|(_, member)| member.id.as_str() == replica.member);
    let entry = own.and_then(|own| listed.get(own)?.text(&[]));
    let expected = replica
        .tree
        .text(&["http", "port"])
        .and_then(|port| Some(export::own_entry(port.parse().ok()?)));
    if let (Some(entry), Some(expected)) = (entry, expected)
        && entry != expected
    {
        reasons.push(format!(
            "its own entry must be {expected} at the place of {} in the list, where {entry} stands",
            replica.member
        ));
    }
    let key = block.text(&["hashKey"]);
    if config
        .view
        .zot_hash_key()
        .is_some_and(|ours| key != Some(ours))
    {
        reasons.push("cluster.hashKey is another than the members' hash key".to_owned());
    }
    let finding = |reason| in_file(Kind::ZotClusterUnsafe, replica, CLUSTER, reason);
    reasons.into_iter().map(finding).collect()
}

/// Names that a zot syncs by the clock, and that others own.
struct Loose<'f> {
    replica: &'f ReplicaFile,
    line: usize,
    name: String,
}

fn unpinned<'f>(
    config: &Config,
    replica: &'f ReplicaFile,
    periodic: &[&'f Tree],
) -> Vec<Loose<'f>> {
    let mut loose = Vec::new();
    for registry in periodic {
        let contents = registry.items(&["content"]);
        if contents.is_empty() {
            loose.push((registry.line, "everything".to_owned()));
        }
        for content in contents {
            let local = Local::of(content);
            if !local.is_pinned(config, &replica.member) {
                loose.push((content.line, local.to_string()));
            }
        }
    }
    // Alone, a zot is everybody's owner.
    let alone = !config.may_have_peers();
    let loose = loose.into_iter().filter(|_| !alone);
    loose
        .map(|(line, name)| Loose {
            replica,
            line,
            name,
        })
        .collect()
}

/// The names under which one content is stored here.
struct Local {
    /// What stands before the first wildcard.
    literal: String,
    /// Whether names go on after it.
    open: bool,
}

impl Local {
    fn of(content: &Tree) -> Self {
        let pattern = content.text(&["prefix"]).unwrap_or("**");
        let pattern = pattern.trim_start_matches('/');
        let end = pattern.find(['*', '?', '[', '{']);
        let literal = pattern
            .get(..end.unwrap_or(pattern.len()))
            .unwrap_or_default();
        let destination = content.text(&["destination"]).unwrap_or_default();
        let destination = destination.trim_matches('/');
        let literal = match (destination, content.is_true(&["stripPrefix"])) {
            ("", false) => literal.to_owned(),
            ("", true) => String::new(),
            (destination, true) => format!("{destination}/"),
            (destination, false) => format!("{destination}/{literal}"),
        };
        Self {
            literal,
            open: end.is_some(),
        }
    }

    /// Whether all of them belong to a member by pins.
    fn is_pinned(&self, config: &Config, member: &str) -> bool {
        let view = &config.view;
        let name = if self.open {
            self.literal.clone()
        } else {
            format!("{}/", self.literal.trim_end_matches('/'))
        };
        let id = |index| view.members().get(index).id.as_str();
        // The longest prefix wins, and longer ones below the literal may lead elsewhere. Each ends with a slash here.
        let pins = view.pins().iter();
        let pins: Vec<_> = pins
            .map(|(prefix, index)| (prefix.to_string(), index))
            .collect();
        let covering = pins
            .iter()
            .filter(|(prefix, _)| name.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len());
        let elsewhere = pins
            .iter()
            .any(|(prefix, index)| prefix.starts_with(&name) && id(*index) != member);
        covering.is_some_and(|(_, index)| id(*index) == member) && !elsewhere
    }
}

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = if self.open { "**" } else { "" };
        write!(f, "{}{end}", self.literal)
    }
}
