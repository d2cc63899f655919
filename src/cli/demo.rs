//! `shardlet demo`: a whole cluster in one process.

use std::process::ExitCode;

use super::{FAILED, output};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Ends on Ctrl-C and leaves nothing behind.\n\n\
                  Examples:\n  \
                  shardlet demo\n  \
                  shardlet demo --port 6000 --no-push")]
pub(super) struct Args {
    /// The first member's client port, the others follow; free ones are taken where these are not.
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    port: u16,
    /// Do not push the example image.
    #[arg(long)]
    no_push: bool,
}

/// Runs until Ctrl-C.
pub(super) fn run(args: &Args) -> ExitCode {
    let Args {
        port: _,
        no_push: _,
    } = args;
    output::message("demo: not wired\n");
    ExitCode::from(FAILED)
}
