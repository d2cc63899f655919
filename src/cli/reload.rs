//! `shardlet reload`: a running sidecar takes its configuration anew.

use std::ffi::OsStr;
use std::process::ExitCode;

use http::StatusCode;

use super::ask::{Admin, Commanded, refusal};
use super::{FAILED, Format, output};
use crate::operate::Reloaded;
use crate::operate::command::RELOAD_PATH;
use crate::shard::text::printable;

/// What `reload` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The sidecar reads its file again, checks it whole, and takes it or changes nothing. It is\n\
                  told by its own socket, which its user and root may open. SIGHUP does the same without\n\
                  an answer.\n\n\
                  Exit code 1 if the sidecar does not answer or refuses the configuration.\n\n\
                  Examples:\n  \
                  shardlet check proxy.yaml && shardlet reload\n  \
                  shardlet reload --admin 127.0.0.1:9901 --format json"
)]
pub(super) struct Args {
    #[command(flatten)]
    commanded: Commanded,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Asks for a reload, and says what became of it.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let Args { commanded, format } = args;
    let admin = match commanded.sidecar.admin(config) {
        Ok(admin) => admin,
        Err(error) => {
            output::message(&format!("shardlet: no reload: {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    let reloaded = match ask(commanded, admin) {
        Ok(reloaded) => reloaded,
        Err(error) => {
            output::message(&format!("shardlet: no reload at {admin}: {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    match format {
        Format::Text => tell(&reloaded),
        Format::Json => output::json(&reloaded),
    }
    if reloaded.taken {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

fn ask(commanded: &Commanded, admin: Admin) -> Result<Reloaded, String> {
    let (status, body) = commanded.command(admin, RELOAD_PATH)?;
    match status {
        StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => serde_json::from_str(&body)
            .map_err(|error| format!("this is no answer of a shardlet admin listener: {error}")),
        _ => Err(refusal(status, &body)),
    }
}

fn tell(reloaded: &Reloaded) {
    let Reloaded {
        taken,
        problems,
        needs_restart,
    } = reloaded;
    if *taken {
        let mut told = "the configuration is in force\n".to_owned();
        for key in needs_restart {
            told.push_str(&format!(
                "{} has changed and waits for a restart\n",
                printable(key)
            ));
        }
        output::result(&told);
        return;
    }
    // From the network: no control character of it may reach the terminal.
    let lines = problems.iter().flat_map(|problem| problem.lines());
    let lines: String = lines.map(|line| printable(line) + "\n").collect();
    output::message(&format!(
        "{lines}\nthe configuration is refused, the one before goes on\n"
    ));
}
