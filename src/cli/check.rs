//! `shardlet check`: is this configuration right, and would a member start with it?

mod start;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use super::{FAILED, output, source_of};
use crate::cli::machine::{Identity, load};
use crate::config::{
    Config, Coordination, Identified, Level, Problems, SourceName, spelled_duration as spelled,
};
use crate::shard::MemberId;

/// What `check` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Fails on whatever would keep a member from starting or working on this machine: the\n\
                  configuration, certificates that peers or clients would refuse, files that cannot be read,\n\
                  addresses that cannot be listened on, and a local member that nothing names.\n\n\
                  Examples:\n  \
                  shardlet check\n  \
                  shardlet check /etc/shardlet/proxy.yaml\n  \
                  shardlet check --strict --member zot-1\n  \
                  render-config | shardlet check --elsewhere -      for another machine"
)]
pub(super) struct Args {
    /// The configuration, instead of `--config`; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: Option<OsString>,
    /// The local member; else SHARDLET_MEMBER, else `member` in the file, else by local addresses (with leases: by the host name).
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// Fail on remarks as well.
    #[arg(long)]
    strict: bool,
    /// Another machine will run it: files that are missing here, and which member it is, are remarks.
    #[arg(long)]
    elsewhere: bool,
}

/// Reports all problems, or what the configuration comes down to.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let Args {
        file,
        member,
        strict,
        elsewhere,
    } = args;
    let source = source_of(file.as_deref(), config);
    let identity = if *elsewhere {
        Identity::Elsewhere
    } else {
        Identity::Needed
    };
    let config = match load(&source, member.as_deref(), identity) {
        Ok(config) => config,
        Err(problems) => return output::rejected(&problems),
    };
    let found = start::findings(&config, &source, *elsewhere);
    let found = Problems::new(found.into_iter().chain(config.remarks.clone()).collect());
    if found.count() > 0 {
        return output::rejected(&found);
    }
    let colors = output::colors();
    for remark in found.iter() {
        output::message(&remark.render(colors));
    }
    if *strict && found.iter().next().is_some() {
        return ExitCode::from(FAILED);
    }
    output::result(&summary(&config, &source));
    ExitCode::SUCCESS
}

fn summary(config: &Config, source: &SourceName) -> String {
    let view = &config.view;
    let members = view.members();
    let count = |number: usize, what: &str| {
        format!("{number} {what}{}", if number == 1 { "" } else { "s" })
    };
    let local = match &config.identified {
        Identified::Assumed => "local member to be found at the start".to_owned(),
        Identified::Flag
        | Identified::Variable
        | Identified::File
        | Identified::Address(_)
        | Identified::HostName => {
            format!(
                "local member {} by {}",
                members.get(members.local()).id,
                config.identified
            )
        }
    };
    let placement = view.placement();
    let Some(leases) = &config.coordination else {
        let fingerprint = if config.key_known {
            format!("view {}", view.fingerprint())
        } else {
            "view unknown without the hash key".to_owned()
        };
        return format!(
            "{source} is fine: static mode, {}, placement {placement}, {}, {local}, {fingerprint}\n",
            count(members.len(), "member"),
            count(view.pins().len(), "pin"),
        );
    };
    format!(
        "{source} is fine: leased mode, members by leases, placement {placement}, {}, {local}\n{}",
        count(leases.policy.pins.len(), "pin"),
        leased(leases)
    )
}

/// How members agree, a line each.
fn leased(leases: &Coordination) -> String {
    let Coordination {
        store,
        timing,
        replica_kill: _,
        replica_ends_with_sidecar: _,
        address,
        weight,
        policy: _,
        listed,
    } = leases;
    let level = match leases.level() {
        Level::Timing => "a replica is trusted to end its writes in time",
        Level::Killed => "a replica is killed where its member loses the lease",
    };
    let mut told = format!(
        "  store      {store}\n  level      {}: {level}\n  lease      {}, renewed every {}, guard {}, handoff {}, grace {}\n  \
         reached at {address}, weight {weight}\n",
        leases.level().name(),
        spelled(timing.lease),
        spelled(timing.renew),
        spelled(timing.margin),
        spelled(timing.handoff),
        spelled(leases.grace()),
    );
    if !listed.is_empty() {
        let ids: Vec<&str> = listed.iter().map(MemberId::as_str).collect();
        told += &format!("  by a file  {}\n", ids.join(", "));
    }
    told
}
