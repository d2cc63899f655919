//! Asking a running sidecar through its admin listener, and commanding it through its own socket.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use super::import::tree;
use super::{machine, source};
use crate::config::{ADMIN_PORT, CONFIG_VARIABLE, SourceName};
use crate::operate::{Status, terminal};
use crate::shard::text::printable;
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
    /// The admin listener of the sidecar, if it is another than the configuration's.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
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

/// The admin listener of a sidecar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin(SocketAddr);

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
    /// Its admin listener: as named, else as the configuration says, else the one by default.
    ///
    /// # Errors
    /// A configuration that does not tell: another sidecar could be meant.
    pub(super) fn admin(&self, config: Option<&OsStr>) -> Result<Admin, String> {
        let configured = || configured(config).map(Admin::at);
        self.admin.map(Admin::at).map_or_else(configured, Ok)
    }
}

/// What a configuration says of the admin listener, and nothing else of it: who looks at a sidecar, or ends one,
/// may have no right to its keys, and its file may be the one that was refused.
fn configured(config: Option<&OsStr>) -> Result<SocketAddr, String> {
    let named =
        config.is_some() || env::var_os(CONFIG_VARIABLE).is_some_and(|file| !file.is_empty());
    let source = source(config);
    let by_default = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
    let is_there = match &source {
        SourceName::File(file) => named || file.exists(),
        // What the sidecar has read from its standard input is gone.
        SourceName::Stdin => config.is_some(),
    };
    if !is_there {
        return Ok(by_default);
    }
    let unread = |why: String| {
        let why = why.trim_end();
        format!("{source} does not say where the sidecar is ({why}): name it by --admin")
    };
    let text = machine::text(&source).map_err(|problems| unread(problems.to_string()))?;
    let tree = tree::parse(&text).map_err(|notes| unread(notes.render(&source)))?;
    let Some(written) = tree.text(&["listen", "admin", "address"]) else {
        return Ok(by_default);
    };
    let address = written.parse();
    address.map_err(|_| unread(format!("listen.admin.address is {}", printable(written))))
}

impl Admin {
    /// Of the sidecar whose admin listener is bound to this address.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self(reachable(address))
    }

    pub(super) fn address(self) -> SocketAddr {
        self.0
    }

    /// Status and body of a GET.
    pub(super) fn get(self, path: &str) -> Result<(StatusCode, String), NoAnswer> {
        let question = Question::get(path, &self.0.to_string());
        send(Place::Address(self.0), &question, PATIENCE)
    }

    /// What the sidecar tells of itself.
    pub(super) fn status(self) -> Result<Status, String> {
        let status = terminal::ask(|path| self.fetch(path));
        status.map_err(|error| error.to_string())
    }

    /// The body of a GET that was answered as hoped for.
    fn fetch(self, path: &str) -> Result<String, String> {
        match self.get(path) {
            Ok((StatusCode::OK, body)) => Ok(body),
            Ok((status, body)) => Err(refusal(status, &body)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Where this machine reaches a listener of its own.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Commanded {
    /// Status and body of a command to the sidecar of this admin listener.
    pub(super) fn command(&self, admin: Admin, path: &str) -> Result<(StatusCode, String), String> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => told_socket(admin)?,
        };
        let shown = socket.display();
        let question = Question::new("POST", path, "localhost").body(b"");
        let answer = send(Place::Unix(socket.clone()), &question, COMMAND_PATIENCE);
        answer.map_err(|error| format!("{shown}: {error}"))
    }
}

/// The socket, as the sidecar itself tells it.
fn told_socket(admin: Admin) -> Result<PathBuf, String> {
    let commands = admin.status()?.commands;
    match (commands.socket, commands.problem) {
        (Some(socket), _) => Ok(PathBuf::from(socket)),
        (None, Some(problem)) => Err(format!(
            "it has {problem}; set listen.admin.socket, or send it SIGHUP or SIGTERM"
        )),
        (None, None) => Err("it tells no socket for commands".to_owned()),
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
