//! `shardlet leave`: a running sidecar gives what it owns to others, and ends for good.

use std::ffi::OsStr;
use std::process::ExitCode;

use super::drain;
use crate::operate::command::LEAVE_PATH;

/// What `leave` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For members that hold leases (`cluster.coordination`). The sidecar takes no new write, finishes\n\
                  those under way, releases its lease and is taken off the view; others own at once what it\n\
                  did. Then it drains and ends. `shardlet drain`, and SIGTERM, are for one that comes back: its\n\
                  place is kept for `cluster.coordination.lease`. Members that are listed in files leave by a\n\
                  change of these.\n\n\
                  Exit code 1 if the sidecar does not answer, or works by a list.\n\n\
                  Examples:\n  \
                  shardlet leave\n  \
                  shardlet leave --wait              before a StatefulSet is made smaller\n  \
                  shardlet leave --wait --admin 127.0.0.1:9901 --format json"
)]
pub(super) struct Args {
    #[command(flatten)]
    end: drain::Options,
}

/// Asks it to leave, and waits for its end if that is wanted.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let begun = "leaving: others take over what it owns\n";
    drain::end(&args.end, config, ("leave", LEAVE_PATH), begun)
}
