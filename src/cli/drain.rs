//! `shardlet drain`: a running sidecar finishes what it has, and ends.

use std::ffi::OsStr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::ask::{Admin, Commanded, NoAnswer, refusal};
use super::{FAILED, Format, output};
use crate::operate::Status;
use crate::operate::command::DRAIN_PATH;
use crate::operate::terminal::STATUS_PATH;

/// How often `--wait` looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// So many looks without an answer, one after the other, and the sidecar is stuck.
const SILENT_LOOKS: u32 = 3;

/// What `drain` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The sidecar says that it is not ready, goes on for `timeouts.drain_delay`, then takes no\n\
                  new connection, finishes what is in flight within `timeouts.drain`, and ends: as after\n\
                  SIGTERM. It is told by its own socket, which its user and root may open. Asking twice\n\
                  changes nothing.\n\n\
                  Exit code 1 if the sidecar does not answer.\n\n\
                  Examples:\n  \
                  shardlet drain\n  \
                  shardlet drain --wait              a preStop hook of Kubernetes\n  \
                  shardlet drain --wait --admin 127.0.0.1:9901 --format json"
)]
pub(super) struct Args {
    #[command(flatten)]
    end: Options,
}

/// What ending a sidecar takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    commanded: Commanded,
    /// Return when the sidecar has ended, not when it has begun to drain.
    #[arg(long)]
    wait: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct DrainOutcome {
    draining: bool,
    /// Whether it has ended; `false` also where nobody waited for it.
    ended: bool,
}

/// Asks for a drain, and waits for its end if that is wanted.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let begun = "draining: what is in flight is finished\n";
    end(&args.end, config, ("drain", DRAIN_PATH), begun)
}

/// Has the sidecar end by this command, and waits for its end if that is wanted.
pub(super) fn end(
    options: &Options,
    config: Option<&OsStr>,
    (command, path): (&str, &str),
    begun: &str,
) -> ExitCode {
    let Options {
        commanded,
        wait,
        format,
    } = options;
    let admin = match commanded.sidecar.admin(config) {
        Ok(admin) => admin,
        Err(error) => {
            output::message(&format!("shardlet: no {command}: {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    if let Err(error) = begin(commanded, admin, path) {
        output::message(&format!("shardlet: no {command} at {admin}: {error}\n"));
        return ExitCode::from(FAILED);
    }
    if *format == Format::Text {
        output::result(begun);
    }
    if *wait && let Err(error) = until_ended(admin) {
        output::message(&format!(
            "shardlet: {admin} drains and does not end: {error}\n"
        ));
        return ExitCode::from(FAILED);
    }
    match format {
        Format::Json => output::json(&DrainOutcome {
            draining: true,
            ended: *wait,
        }),
        Format::Text if *wait => output::result("ended\n"),
        Format::Text => {}
    }
    ExitCode::SUCCESS
}

fn begin(commanded: &Commanded, admin: Admin, path: &str) -> Result<(), String> {
    match commanded.command(admin, path)? {
        (StatusCode::ACCEPTED, _) => Ok(()),
        (status, body) => Err(refusal(status, &body)),
    }
}

/// Returns when nobody listens any more, or another process does. The sidecar's own limits end the
/// wait; the admin listener is the last to go.
fn until_ended(admin: Admin) -> Result<(), String> {
    let mut silent = 0;
    loop {
        match admin.get(STATUS_PATH) {
            Err(NoAnswer::Nobody) => return Ok(()),
            Ok((StatusCode::OK, body)) if is_another(&body) => return Ok(()),
            Ok(_) => silent = 0,
            // A process that ends may cut an answer short; the next look tells.
            Err(NoAnswer::Silent(why)) => {
                silent += 1;
                if silent == SILENT_LOOKS {
                    return Err(why);
                }
            }
        }
        sleep(INTERVAL);
    }
}

/// A supervisor may have started the next one already: a drain is never taken back.
fn is_another(document: &str) -> bool {
    serde_json::from_str::<Status>(document).is_ok_and(|status| !status.draining)
}
