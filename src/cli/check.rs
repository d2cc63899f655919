//! `shardlet check`: is this configuration right?

use std::ffi::OsString;
use std::process::ExitCode;

use super::{FAILED, output, source};
use crate::cli::machine::{Identity, load};
use crate::config::{CONFIG_VARIABLE, Config, DEFAULT_FILE, Identified, SourceName};

/// What `check` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works on any machine: no name is looked up, and certificates that are not there are\n\
                  remarks. Only `cluster.hash_key_file` must be readable.\n\n\
                  Examples:\n  \
                  shardlet check\n  \
                  shardlet check proxy.yaml\n  \
                  shardlet check --strict --here /etc/shardlet/proxy.yaml   on the machine that will run it\n  \
                  render-config | shardlet check -"
)]
pub(super) struct Args {
    /// The configuration; `-` for standard input.
    #[arg(value_name = "FILE", env = CONFIG_VARIABLE, default_value = DEFAULT_FILE)]
    file: OsString,
    /// The local member, if the file does not name it; else SHARDLET_MEMBER.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// Fail on remarks as well, such as certificates that cannot be read.
    #[arg(long)]
    strict: bool,
    /// Also find out which member this machine is, as `run` would.
    #[arg(long)]
    here: bool,
}

/// Reports all problems, or what the configuration comes down to.
pub(super) fn run(args: &Args) -> ExitCode {
    let Args {
        file,
        member,
        strict,
        here,
    } = args;
    let source = source(Some(file));
    let identity = if *here {
        Identity::Needed
    } else {
        Identity::Offline
    };
    let config = match load(&source, member.as_deref(), identity) {
        Ok(config) => config,
        Err(problems) => return output::rejected(&problems),
    };
    let colors = output::colors();
    for remark in &config.remarks {
        output::message(&remark.render(colors));
    }
    if *strict && !config.remarks.is_empty() {
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
        Identified::Flag | Identified::Variable | Identified::File | Identified::Address(_) => {
            format!(
                "local member {} by {}",
                members.get(members.local()).id,
                config.identified
            )
        }
    };
    format!(
        "{source} is fine: {}, placement {}, {}, {local}, view {}\n",
        count(members.len(), "member"),
        view.placement(),
        count(view.pins().len(), "pin"),
        view.fingerprint(),
    )
}
