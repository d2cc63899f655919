//! Asking a running sidecar through its admin listener, and commanding it through its own socket.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use crate::operate::terminal;
use crate::upstream::{self, ConnectError, Place, Question, Route};

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
        let question = Question::get(path, &self.admin.to_string());
        send(Place::Address(self.admin), &question, PATIENCE)
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
        let question = Question::new("POST", path, "localhost").body(b"");
        let answer = send(Place::Unix(socket.clone()), &question, COMMAND_PATIENCE);
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
    place: Place,
    question: &Question,
    patience: Duration,
) -> Result<(StatusCode, String), NoAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| NoAnswer::Silent(error.to_string()))?;
    let asking = async { Route::aside(place, None).ask(question, patience).await };
    let answer = runtime.block_on(asking).map_err(|error| {
        match (&error, error.cause().map(std::io::Error::kind)) {
            (upstream::NoAnswer::Connect(ConnectError::Refused(_)), _) => NoAnswer::Nobody,
            (_, Some(ErrorKind::NotFound)) => NoAnswer::Silent(ELSEWHERE.to_owned()),
            (_, Some(ErrorKind::PermissionDenied)) => NoAnswer::Silent(FORBIDDEN.to_owned()),
            _ => NoAnswer::Silent(error.to_string()),
        }
    })?;
    let body = String::from_utf8(answer.body)
        .map_err(|_| NoAnswer::Silent("the answer is not UTF-8".to_owned()))?;
    Ok((answer.status, body))
}

/// Why an answer is not the one that was hoped for: what it says itself, else its status.
pub(super) fn refusal(status: StatusCode, body: &str) -> String {
    let document: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let told = document.as_ref().and_then(|told| told["error"].as_str());
    told.map_or_else(|| format!("it answered {status}"), str::to_owned)
}
