//! Asking a running sidecar through its admin listener, and commanding it through its own socket.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use crate::operate::terminal;
use crate::upstream::{Asker, os_error};

/// How long the sidecar may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to obey: a reload reads files and looks names up.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);
/// Why a socket cannot be opened.
const ELSEWHERE: &str =
    "there is no such socket here: commands are sent on the sidecar's machine, in its container";
const FORBIDDEN: &str = "only the sidecar's own user, and root, may send it commands";

/// Which sidecar is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Sidecar {
    /// The admin listener of the sidecar.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    pub(super) admin: SocketAddr,
}

/// Where a sidecar takes commands.
#[derive(Debug, clap::Args)]
pub(super) struct Commanded {
    #[command(flatten)]
    pub(super) sidecar: Sidecar,
    /// The socket that it takes commands at; else its admin listener is asked.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Nobody listens there.
    Nobody,
    /// Somebody does, and does not answer.
    Silent(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody listens there"),
            Self::Silent(why) => f.write_str(why),
        }
    }
}

impl Sidecar {
    /// Status and body of a GET.
    pub(super) fn get(&self, path: &str) -> Result<(StatusCode, String), NoAnswer> {
        let peer = HttpPeer::new(self.admin, false, String::new());
        let host = self.admin.to_string();
        send(&peer, "GET", path, &host, PATIENCE)
    }

    /// The body of a GET that was answered as hoped for.
    pub(super) fn fetch(&self, path: &str) -> Result<String, String> {
        match self.get(path) {
            Ok((StatusCode::OK, body)) => Ok(body),
            Ok((status, body)) => Err(refusal(status, &body)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Commanded {
    /// Status and body of a command.
    pub(super) fn command(&self, path: &str) -> Result<(StatusCode, String), String> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => self.told_socket()?,
        };
        let shown = socket.display();
        let peer = HttpPeer::new_uds(&socket.to_string_lossy(), false, String::new())
            .map_err(|_| format!("{shown} cannot be the path of a socket"))?;
        let answer = send(&peer, "POST", path, "localhost", COMMAND_PATIENCE);
        answer.map_err(|error| format!("{shown}: {error}"))
    }

    /// The socket, as the sidecar itself tells it.
    fn told_socket(&self) -> Result<PathBuf, String> {
        let status = terminal::ask(|path| self.sidecar.fetch(path));
        let commands = status.map_err(|error| error.to_string())?.commands;
        match (commands.socket, commands.problem) {
            (Some(socket), _) => Ok(PathBuf::from(socket)),
            (None, Some(problem)) => Err(format!(
                "it has {problem}; set listen.admin.socket, or send it SIGHUP or SIGTERM"
            )),
            (None, None) => Err("it tells no socket for commands".to_owned()),
        }
    }
}

fn send(
    peer: &HttpPeer,
    method: &str,
    path: &str,
    host: &str,
    patience: Duration,
) -> Result<(StatusCode, String), NoAnswer> {
    let ours = |error: &dyn fmt::Display| NoAnswer::Silent(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ours(&error))?;
    let request = request(method, path, host).map_err(|error| ours(&error))?;
    let answer = runtime.block_on(Asker::new(None).get(peer, request, patience));
    let (status, body) = answer.map_err(|error| {
        let told = os_error(&error).map(|code| std::io::Error::from_raw_os_error(code).kind());
        match (error.etype(), told) {
            (ErrorType::ConnectRefused, _) => NoAnswer::Nobody,
            (_, Some(ErrorKind::NotFound)) => NoAnswer::Silent(ELSEWHERE.to_owned()),
            (_, Some(ErrorKind::PermissionDenied)) => NoAnswer::Silent(FORBIDDEN.to_owned()),
            (what, _) => NoAnswer::Silent(what.as_str().to_owned()),
        }
    })?;
    let body = String::from_utf8(body.to_vec())
        .map_err(|_| NoAnswer::Silent("the answer is not UTF-8".to_owned()))?;
    Ok((status, body))
}

fn request(method: &str, path: &str, host: &str) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build(method, path.as_bytes(), Some(2))?;
    request.insert_header(http::header::HOST, host)?;
    if method == "POST" {
        request.insert_header(http::header::CONTENT_LENGTH, "0")?;
    }
    Ok(request)
}

/// Why an answer is not the one that was hoped for: what it says itself, else its status.
pub(super) fn refusal(status: StatusCode, body: &str) -> String {
    let document: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let told = document.as_ref().and_then(|told| told["error"].as_str());
    told.map_or_else(|| format!("it answered {status}"), str::to_owned)
}
