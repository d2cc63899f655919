//! Why the demo could not do its work.

use std::path::PathBuf;

use crate::config::Problems;
use crate::run::StartError;
use crate::shard::repository::NameError;

/// Why the demo ended without having shown everything.
#[derive(Debug)]
pub(crate) enum DemoError {
    /// A file or folder cannot be written.
    Folder {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The folder to keep files in has other files in it.
    NotEmpty(PathBuf),
    /// A certificate cannot be made.
    Certificate(rcgen::Error),
    /// There is no port to listen on.
    Port(std::io::Error),
    /// The log thread cannot be started.
    Log(std::io::Error),
    /// A rendered configuration is not accepted; a mistake of ours.
    Configuration(Problems),
    /// A member does not start.
    Start {
        /// Its id.
        member: String,
        /// Why.
        error: StartError,
    },
    /// A member does not see another one, or its replica.
    NotUp {
        /// Who looks.
        member: String,
        /// At whom.
        other: String,
    },
    /// A name that is no repository.
    Name(NameError),
    /// There are not enough members; a mistake of ours.
    NoMembers,
    /// A push or pull went wrong.
    Client {
        /// The request.
        request: String,
        /// What came of it.
        fault: String,
    },
}

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NotEmpty(path) => {
                write!(
                    f,
                    "{} is not empty: name a new folder to keep files in",
                    path.display()
                )
            }
            Self::Certificate(error) => write!(f, "a certificate cannot be made: {error}"),
            Self::Port(error) => write!(f, "no port on 127.0.0.1 is free: {error}"),
            Self::Log(error) => write!(f, "the log thread cannot be started: {error}"),
            Self::Configuration(problems) => f.write_str(&problems.render(false)),
            Self::Start { member, error } => write!(f, "{member} does not start: {error}"),
            Self::NotUp { member, other } if member == other => {
                write!(f, "{member} does not reach the registry beside it")
            }
            Self::NotUp { member, other } => write!(f, "{member} does not reach {other}"),
            Self::Name(error) => write!(f, "{error}"),
            Self::NoMembers => f.write_str("there are no members"),
            Self::Client { request, fault } => write!(f, "{request}: {fault}"),
        }
    }
}

impl std::error::Error for DemoError {}
