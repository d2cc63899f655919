//! `shardlet demo`: a whole cluster in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{FAILED, output};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Three members with mTLS between them, each beside an embedded registry over one shared store,\n\
                  in one process on 127.0.0.1. A small image is pushed through one member and pulled through\n\
                  another. The members' ports are 5000, 5010, 5020 (clients), 5443… (peers) and 9900… (admin),\n\
                  or free ones where these are taken. Access logs go to stderr.\n\n\
                  For trying out only: the embedded registry holds everything in memory, takes at most 512 MiB\n\
                  in one request and forgets it all at the end.\n\n\
                  Examples:\n  \
                  shardlet demo\n  \
                  shardlet demo --port 6000 --quiet\n  \
                  shardlet demo --once                 push, pull and end; exit code 0 if all went well\n  \
                  shardlet demo --fail                 kill a member, see what goes on, start it again\n  \
                  shardlet demo --keep my-cluster      leave configuration and certificates there"
)]
pub(super) struct Args {
    /// The first member's client port, the others' are 10 and 20 more; 0 takes free ports for all.
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    port: u16,
    /// Show no access logs.
    #[arg(long, short)]
    quiet: bool,
    /// End after what is shown.
    #[arg(long)]
    once: bool,
    /// Kill the member that owns what was pushed, push and pull, and start it again.
    #[arg(long)]
    fail: bool,
    /// Leave the members' configuration and certificates in this folder, which must be new or empty.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs until Ctrl-C.
pub(super) fn run(args: &Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            output::message(&format!("shardlet demo: {message}\n"));
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(feature = "demo")]
fn start(args: &Args) -> Result<(), String> {
    use super::run::Signals;
    use crate::demo::{self, Options};
    use crate::observe::telemetry::{self, Format};

    let Args {
        port,
        quiet,
        once,
        fail,
        keep,
    } = args;
    let options = Options {
        port: *port,
        quiet: *quiet,
        once: *once,
        fail: *fail,
        keep: keep.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let _diagnostics =
        telemetry::init(LEVEL, Format::Text, None).map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        // Before anything listens: a signal during the start must not be lost.
        let mut signals = Signals::new().map_err(|error| format!("no signal handler: {error}"))?;
        demo::run(options, async {
            signals.next().await;
        })
        .await
        .map_err(|error| error.to_string())
    });
    // Connections that the end has cut are dropped here.
    runtime.shutdown_background();
    ended
}

/// Members that come and go are the story itself; only what goes wrong is worth a line more.
#[cfg(feature = "demo")]
const LEVEL: &str = "error";

#[cfg(not(feature = "demo"))]
fn start(args: &Args) -> Result<(), String> {
    let Args {
        port: _,
        quiet: _,
        once: _,
        fail: _,
        keep: _,
    } = args;
    Err("this build has no demo; `cargo run -- demo` with the default features has one".to_owned())
}
