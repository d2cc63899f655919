//! `shardlet status`: how is a running sidecar?

use std::net::SocketAddr;
use std::process::ExitCode;

use super::{FAILED, Format, output};

/// What `status` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet status\n  \
                  shardlet status --admin 127.0.0.1:9901 --format json")]
pub(super) struct Args {
    /// The admin listener of the sidecar.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    admin: SocketAddr,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints what the admin listener says.
pub(super) fn run(args: &Args) -> ExitCode {
    let Args {
        admin: _,
        format: _,
    } = args;
    output::message("status: not wired\n");
    ExitCode::from(FAILED)
}
