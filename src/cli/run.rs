//! `shardlet run`: the sidecar itself.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{FAILED, output};
use crate::config::CONFIG_VARIABLE;

/// What `run` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet run --config /etc/shardlet/proxy.yaml\n  \
                  SHARDLET_CONFIG=/etc/shardlet/proxy.yaml SHARDLET_MEMBER=zot-1 shardlet")]
pub(super) struct Args {
    /// The configuration; `proxy.yaml` if nothing is named.
    #[arg(long, short, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<OsString>,
    /// The local member; else SHARDLET_MEMBER, else `member` in the file, else by local addresses.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
}

/// Starts the sidecar, and ends with it.
pub(super) fn run(args: &Args) -> ExitCode {
    let Args {
        config: _,
        member: _,
    } = args;
    output::message("run: not wired\n");
    ExitCode::from(FAILED)
}
