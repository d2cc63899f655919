//! Asking a running sidecar through its admin listener.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use crate::operate::command::COMMAND_HEADER;
use crate::upstream::Asker;

/// How long the sidecar may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to obey: a reload reads files and looks names up.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// Which sidecar is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Sidecar {
    /// The admin listener of the sidecar.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    pub(super) admin: SocketAddr,
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
        self.send("GET", path, None, PATIENCE)
    }

    /// Status and body of a command.
    pub(super) fn command(
        &self,
        path: &str,
        command: &str,
    ) -> Result<(StatusCode, String), NoAnswer> {
        self.send("POST", path, Some(command), COMMAND_PATIENCE)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        command: Option<&str>,
        patience: Duration,
    ) -> Result<(StatusCode, String), NoAnswer> {
        let ours = |error: &dyn fmt::Display| NoAnswer::Silent(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ours(&error))?;
        let request = self.request(method, path, command);
        let request = request.map_err(|error| ours(&error))?;
        let peer = HttpPeer::new(self.admin, false, String::new());
        let answer = runtime.block_on(Asker::new(None).get(&peer, request, patience));
        let (status, body) = answer.map_err(|error| {
            if *error.etype() == ErrorType::ConnectRefused {
                NoAnswer::Nobody
            } else {
                NoAnswer::Silent(error.etype().as_str().to_owned())
            }
        })?;
        let body = String::from_utf8(body.to_vec())
            .map_err(|_| NoAnswer::Silent("the answer is not UTF-8".to_owned()))?;
        Ok((status, body))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        command: Option<&str>,
    ) -> pingora::Result<RequestHeader> {
        let mut request = RequestHeader::build(method, path.as_bytes(), Some(3))?;
        request.insert_header(http::header::HOST, self.admin.to_string())?;
        if let Some(command) = command {
            request.insert_header(http::header::CONTENT_LENGTH, "0")?;
            request.insert_header(COMMAND_HEADER, command)?;
        }
        Ok(request)
    }
}

/// Why an answer is not the one that was hoped for: what it says itself, else its status.
pub(super) fn refusal(status: StatusCode, body: &str) -> String {
    let document: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let told = document.as_ref().and_then(|told| told["error"].as_str());
    told.map_or_else(|| format!("it answered {status}"), str::to_owned)
}
