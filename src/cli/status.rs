//! `shardlet status`: how is a running sidecar?

use std::ffi::OsStr;
use std::process::ExitCode;

use super::ask::Sidecar;
use super::{FAILED, Format, output};
use crate::operate::terminal;

/// What `status` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 if the sidecar does not answer or is not ready.\n\n\
                  Examples:\n  \
                  shardlet status\n  \
                  shardlet status --admin 127.0.0.1:9901 --format json"
)]
pub(super) struct Args {
    #[command(flatten)]
    sidecar: Sidecar,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints what the admin listener says.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let Args { sidecar, format } = args;
    let status = sidecar.admin(config).and_then(|admin| {
        let status = admin.status();
        status.map_err(|error| format!("from {admin}: {error}"))
    });
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            output::message(&format!("shardlet: no status {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    match format {
        Format::Text => output::result(&terminal::render(&status)),
        Format::Json => output::json(&status),
    }
    if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}
