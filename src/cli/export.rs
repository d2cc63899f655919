//! `shardlet export`: what another program has to know of this cluster.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use serde::Serialize;

use super::import::tree::{self, Tree};
use super::{FAILED, machine, output, source};
use crate::cli::machine::{Identity, load};
use crate::config::{Config, RegistryAddress, SourceName};
use crate::shard::text::printable;
use crate::shard::{BlobReads, OwnerDown, Placement};

/// An address that nobody has (RFC 5737): a zot never calls the others, since all that reaches it is its own. Names
/// would be looked up at its start.
const NOBODY: &str = "192.0.2.1";
/// Where zot is told whom to sync from.
pub(super) const REGISTRIES: &[&str] = &["extensions", "sync", "registries"];

/// What `export` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        shardlet export zot-cluster --registry-config zot.json")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the `cluster` block that keeps each zot's periodic sync to the repositories of its member.
    ZotCluster(ZotCluster),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints JSON: for each member what belongs into the configuration of its zot, hash key included.\n\
                  Refuses, with the reasons and exit code 1, a configuration in which a zot with such a block would\n\
                  write what another owns, or forward what it should serve.\n\n\
                  Examples:\n  \
                  shardlet export zot-cluster --registry-config zot.json\n  \
                  shardlet export zot-cluster -c proxy.yaml --registry-config zot.json | jq '.\"zot-1\"'"
)]
struct ZotCluster {
    /// The zots' configuration, whose sync is looked at. Without it pins are refused, since they could be synced.
    #[arg(long, value_name = "FILE")]
    registry_config: Option<OsString>,
}

/// What a zot's configuration takes in.
#[derive(Serialize)]
struct Addition<'c> {
    cluster: Block<'c>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Block<'c> {
    members: Vec<String>,
    hash_key: &'c str,
}

/// Prints, or says why not.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let What::ZotCluster(ZotCluster { registry_config }) = &args.what;
    let config = match load(&source(config), None, Identity::Offline) {
        Ok(config) => config,
        Err(problems) => return output::rejected(&problems),
    };
    let zot = match registry_config
        .as_deref()
        .map(|file| read(&source(Some(file))))
    {
        None => None,
        Some(Ok(tree)) => Some(tree),
        Some(Err(message)) => {
            output::message(&message);
            return ExitCode::from(FAILED);
        }
    };
    match blocks(&config, zot.as_ref()) {
        Ok(blocks) => {
            output::json(&blocks);
            if zot.is_none() {
                output::message(
                    "not looked at without --registry-config: sync must have no `destination` and no `stripPrefix`\n",
                );
            }
            ExitCode::SUCCESS
        }
        Err(reasons) => {
            for reason in reasons {
                output::message(&format!(
                    "shardlet: no cluster block: {}\n",
                    printable(&reason)
                ));
            }
            ExitCode::from(FAILED)
        }
    }
}

/// A zot's configuration, or distribution's.
pub(super) fn read(source: &SourceName) -> Result<Tree, String> {
    let text = machine::text(source).map_err(|problems| problems.render(output::colors()))?;
    tree::parse(&text).map_err(|notes| notes.render(source))
}

/// A block for each member, or every reason why none is safe.
fn blocks<'c>(
    config: &'c Config,
    zot: Option<&Tree>,
) -> Result<BTreeMap<&'c str, Addition<'c>>, Vec<String>> {
    let reasons = reasons(config, zot);
    let view = &config.view;
    let (Some(hash_key), Some(port), []) = (
        view.zot_hash_key(),
        replica_port(config),
        reasons.as_slice(),
    ) else {
        return Err(reasons);
    };
    let members = view.members();
    let block = |own: usize| Block {
        members: (0..members.len())
            .map(|at| {
                if at == own {
                    own_entry(port)
                } else {
                    format!("{NOBODY}:{}", at + 1)
                }
            })
            .collect(),
        hash_key,
    };
    let addition = |(index, member): (crate::shard::MemberIndex, &'c crate::shard::Member)| {
        (
            member.id.as_str(),
            Addition {
                cluster: block(index.get()),
            },
        )
    };
    Ok(members.iter().map(addition).collect())
}

/// How a zot names itself: on an address of its machine, with its port.
pub(super) fn own_entry(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn replica_port(config: &Config) -> Option<u16> {
    match &config.registry.address {
        RegistryAddress::Tcp(address) => Some(address.port),
        RegistryAddress::Unix(_) => None,
    }
}

/// Why a zot with a `cluster` block would write what another owns, or forward what it should serve.
pub(super) fn reasons(config: &Config, zot: Option<&Tree>) -> Vec<String> {
    let mut reasons = Vec::new();
    let view = &config.view;
    if config.coordination.is_some() {
        reasons.push(
            "members by leases (`cluster.coordination`) come and go, and a zot reads its `cluster` block at its start"
                .to_owned(),
        );
    }
    if view.placement() != Placement::Zot {
        reasons.push(
            "it takes `cluster.placement: zot`, so that a zot and its member name the same owners"
                .to_owned(),
        );
    }
    if config.reads.owner_down != OwnerDown::Reject {
        reasons.push(
            "it takes `reads.owner_down: reject`: a zot with such a block forwards what another owns, to nowhere"
                .to_owned(),
        );
    }
    if config.reads.blobs != BlobReads::Owner {
        reasons.push("it takes `reads.blobs: owner`, for the same reason".to_owned());
    }
    if replica_port(config).is_none() {
        reasons
            .push("a zot finds itself by its port, and `registry.address` is a socket".to_owned());
    }
    if view.zot_hash_key().is_none() {
        reasons.push("zot's hashKey is text, and the bytes of this hash key are none".to_owned());
    }
    reasons.extend(pins(config, zot));
    reasons.extend(zot.into_iter().flat_map(renamed));
    reasons
}

/// Pins over names that are synced: zot does not know pins.
fn pins(config: &Config, zot: Option<&Tree>) -> Vec<String> {
    let pins = config.view.pins().iter();
    let Some(zot) = zot else {
        let unknown = |(prefix, _)| {
            format!(
                "the pin {prefix} may be over names that are synced: name the zots' configuration by --registry-config"
            )
        };
        return pins.map(unknown).collect();
    };
    let synced = synced(zot);
    let over = |prefix: &crate::shard::PinPrefix| {
        let prefix = prefix.as_str();
        synced.iter().find(|pattern| {
            // What a pattern says before its first wildcard.
            let literal = pattern
                .split(['*', '?', '[', '{'])
                .next()
                .unwrap_or_default();
            literal.starts_with(prefix) || prefix.starts_with(literal)
        })
    };
    pins.filter_map(|(prefix, _)| {
        let pattern = over(prefix)?;
        Some(format!(
            "the pin {prefix} is over names that are synced ({pattern}), and zot does not know it"
        ))
    })
    .collect()
}

/// The patterns of names that are synced by the clock.
fn synced(zot: &Tree) -> Vec<String> {
    let periodic = zot
        .items(REGISTRIES)
        .iter()
        .filter(|registry| registry.at(&["pollInterval"]).is_some());
    let mut patterns = Vec::new();
    for registry in periodic {
        let contents = registry.items(&["content"]);
        if contents.is_empty() {
            patterns.push("**".to_owned());
        }
        for content in contents {
            let prefix = content.text(&["prefix"]).unwrap_or("**");
            patterns.push(prefix.trim_start_matches('/').to_owned());
        }
    }
    patterns
}

/// Names that change on their way: zot places the name that they have elsewhere.
fn renamed(zot: &Tree) -> Vec<String> {
    let mut reasons = Vec::new();
    for registry in zot
        .items(REGISTRIES)
        .iter()
        .filter(|registry| registry.at(&["pollInterval"]).is_some())
    {
        for content in registry.items(&["content"]) {
            let destination = content
                .text(&["destination"])
                .is_some_and(|name| !name.trim_matches('/').is_empty());
            if destination || content.is_true(&["stripPrefix"]) {
                reasons.push(format!(
                    "line {} of the zots' configuration renames what it syncs (destination, stripPrefix), and zot \
                     places the name that it has upstream",
                    content.line
                ));
            }
        }
    }
    reasons
}
