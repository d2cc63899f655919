//! `shardlet doctor`: what is wrong with the running fleet, the replica and its configuration?
//!
//! [`gather`] asks, [`rules`] judges what was said without asking anybody, and [`text`] tells.

mod facts;
mod finding;
mod gather;
mod rules;
mod text;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::ask::Admin;
use super::{FAILED, Format, export, members, output, source};
use crate::cli::machine::{Identity, load};
use crate::config::{Config, RegistryAddress};
use crate::operate::Status;
use crate::shard::{Host, MemberId};
use facts::{Facts, ReplicaFile};
use finding::NotChecked;
use gather::Wanted;

/// Exit code where nothing could be looked at, as for wrong usage: no finding is no news then.
const NOT_LOOKED_AT: u8 = 2;

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it beside each member in turn: it asks the sidecar (by its admin listener), the replica, the\n\
                  peers (by the member's certificate), and this machine's addresses. Nothing is written, unless\n\
                  --write is given. What could not be looked at is said, and is no finding.\n\n\
                  Exit codes: 0 nothing found, 1 something is wrong, 2 it could not look.\n\n\
                  Examples:\n  \
                  shardlet doctor --registry-config /etc/zot/config.json\n  \
                  shardlet doctor --registry-config zot-1=zot-1.json --registry-config zot-2=zot-2.json\n  \
                  shardlet doctor --write --credentials login.txt --format json | jq '.findings[].id'"
)]
pub(super) struct Args {
    /// The local member, if the file does not name it; else SHARDLET_MEMBER.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// The sidecar's admin listener, if it is another than the configuration's.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The configuration of the replica (zot, CNCF distribution); of another member's with its id. May be repeated.
    #[arg(long, value_name = "[ID=]FILE")]
    registry_config: Vec<OsString>,
    /// Find out whether all replicas share one storage: push a blob of 32 bytes to a repository
    /// `shardlet-doctor/…` of each peer, read it here, delete it.
    #[arg(long)]
    write: bool,
    /// A file with `name:password` that may push there.
    #[arg(long, value_name = "FILE", requires = "write")]
    credentials: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Looks at everything, and tells what is wrong.
pub(super) fn run(args: &Args, file: Option<&OsStr>) -> ExitCode {
    let not_looked_at = |message: &str| {
        output::message(message);
        ExitCode::from(NOT_LOOKED_AT)
    };
    let Args {
        member,
        admin,
        registry_config,
        write,
        credentials,
        format,
    } = args;
    let mut config = match load(&source(file), member.as_deref(), Identity::Needed) {
        Ok(config) => config,
        Err(problems) => {
            output::rejected(&problems);
            return ExitCode::from(NOT_LOOKED_AT);
        }
    };
    let admin = Admin::at(admin.unwrap_or(config.listen.admin.address));
    let sidecar = admin.status().map_err(|error| format!("{admin}: {error}"));
    let not_checked = know_members(&mut config, &sidecar);
    let files = registry_config.iter().map(|named| replica(named, &config));
    let replicas = match files.collect() {
        Ok(replicas) => replicas,
        Err(message) => return not_looked_at(&message),
    };
    let wanted = Wanted {
        admin,
        write: *write,
        credentials: credentials.as_deref(),
    };
    let facts = match gather::facts(&config, sidecar, replicas, &wanted) {
        Ok(facts) => facts,
        Err(why) => return not_looked_at(&format!("shardlet: no diagnosis: {why}\n")),
    };
    let facts = Facts {
        not_checked: not_checked.into_iter().chain(facts.not_checked).collect(),
        ..facts
    };
    let findings = rules::diagnose(&facts);
    match format {
        Format::Text => {
            let colors = output::result_colors();
            output::result(&text::render(&findings, &facts.not_checked, colors));
        }
        Format::Json => output::json(&text::document(&findings, &facts.not_checked)),
    }
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

/// Where members hold leases the file does not list them: those of the running sidecar are taken for them. What could
/// not be known.
fn know_members(config: &mut Config, sidecar: &Result<Status, String>) -> Option<NotChecked> {
    config.coordination.as_ref()?;
    let known = sidecar
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|status| members::running(config, status))
        .and_then(|view| members::beside(config, &view));
    match known {
        Ok(view) => {
            config.view = Arc::new(view);
            None
        }
        Err(why) => Some(NotChecked {
            what: "the other members, which hold leases".to_owned(),
            why: format!("the running sidecar says who they are: {why}"),
        }),
    }
}

/// A replica's configuration, and whose it is.
fn replica(named: &OsStr, config: &Config) -> Result<ReplicaFile, String> {
    let members = config.view.members();
    let local = members.local();
    let prefixed = named.to_str().and_then(|text| text.split_once('='));
    let id = prefixed.and_then(|(id, _)| id.parse::<MemberId>().ok());
    let (member, file) = match (id.and_then(|id| members.find(&id)), prefixed) {
        (Some(member), Some((_, file))) => (member, OsStr::new(file)),
        _ => (local, named),
    };
    let source = source(Some(file));
    let over_network = match &config.registry.address {
        RegistryAddress::Tcp(address) => match &address.host {
            Host::Ip(ip) => !ip.is_loopback(),
            Host::Name(name) => &**name != "localhost",
        },
        RegistryAddress::Unix(_) => false,
    };
    Ok(ReplicaFile {
        member: members.get(member).id.to_string(),
        file: source.to_string(),
        reached_over_network: over_network,
        tree: export::read(&source)?,
    })
}
