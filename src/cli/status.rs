//! `shardlet status`: how is a running sidecar?

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use super::{FAILED, Format, output};
use crate::admin::terminal;
use crate::upstream::Asker;

/// How long the sidecar may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `status` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 if the sidecar does not answer or is not ready.\n\n\
                  Examples:\n  \
                  shardlet status\n  \
                  shardlet status --admin 127.0.0.1:9901 --format json"
)]
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
    let Args { admin, format } = args;
    let status = match terminal::ask(|path| fetch(*admin, path)) {
        Ok(status) => status,
        Err(error) => {
            output::message(&format!("shardlet: no status from {admin}: {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    match format {
        Format::Text => output::result(&terminal::render(&status)),
        Format::Json => {
            // Structs of strings and numbers always serialise.
            let json = serde_json::to_string_pretty(&status).unwrap_or_default();
            output::result(&format!("{json}\n"));
        }
    }
    if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

fn fetch(admin: SocketAddr, path: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let peer = HttpPeer::new(admin, false, String::new());
    let mut question =
        RequestHeader::build("GET", path.as_bytes(), Some(1)).map_err(|error| error.to_string())?;
    question
        .insert_header(http::header::HOST, admin.to_string())
        .map_err(|e| e.to_string())?;
    let answer = runtime.block_on(Asker::new(None).get(&peer, question, PATIENCE));
    match answer.map_err(|error| error.etype().as_str().to_owned())? {
        (StatusCode::OK, body) => {
            String::from_utf8(body.to_vec()).map_err(|_| "the answer is not UTF-8".to_owned())
        }
        (status, _) => Err(format!("it answered {status}")),
    }
}
