//! What an operator may tell a running member to do: to take its configuration anew, to drain, to leave
//! the fleet.
//!
//! Whoever reaches the admin listener may look; commands are taken at the member's own Unix socket
//! alone, which its user and root may open and no web page can.

use super::{AdminResponse, Observed, json, problem};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Where a reload is asked for.
pub(crate) const RELOAD_PATH: &str = "/api/v1/reload";
/// Where a drain is asked for.
pub(crate) const DRAIN_PATH: &str = "/api/v1/drain";
/// Where a member is asked to leave the fleet.
pub(crate) const LEAVE_PATH: &str = "/api/v1/leave";
/// Methods that commands take; what a 405 answer lists.
pub(crate) const ALLOWED_METHODS: &str = "POST";

/// The server, as far as it takes commands.
#[async_trait]
pub(crate) trait Operated: Observed {
    /// Reads the configuration anew, and takes it if nothing is wrong with it.
    async fn reload(&self) -> Reloaded;

    /// Begins to drain; does not wait for the end. From then on the status says so, and a drain is
    /// never taken back.
    fn drain(&self);

    /// The same, for good: what the member owns goes to others before it ends. Says whether there is a
    /// fleet to leave: a member that works by a list in a file does not drain for that.
    fn leave(&self) -> bool;
}

/// What became of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether the new configuration is in force. If not, nothing has changed.
    pub taken: bool,
    /// Why not: each with file, line and column where it has them; may be several lines.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Dotted keys whose change waits for a restart.
    #[serde(default)]
    pub needs_restart: Vec<String>,
}

/// What becomes of a drain that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draining {
    /// Whether the member takes no new work.
    pub draining: bool,
}

/// Which way a request came in: a fact about the socket, never read from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The admin listener: anybody.
    Network,
    /// The command socket: the member's own user, or root.
    Socket,
}

#[derive(Clone, Copy)]
enum Command {
    Reload,
    Drain,
    Leave,
}

impl Command {
    fn at(path: &str) -> Option<Self> {
        match path {
            RELOAD_PATH => Some(Self::Reload),
            DRAIN_PATH => Some(Self::Drain),
            LEAVE_PATH => Some(Self::Leave),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::Leave => "leave",
        }
    }
}

const NO_FLEET: &str = "this member works by the list in its file: take it off the list, reload the others, \
                        then drain it";

/// Obeys a command; `None` if the path is none.
pub(crate) async fn obey(
    operated: &dyn Operated,
    method: &str,
    path: &str,
    door: Door,
) -> Option<AdminResponse> {
    let command = Command::at(path)?;
    if method != "POST" {
        let refused = problem(405, "a command is sent by POST");
        return Some(AdminResponse {
            allow: ALLOWED_METHODS,
            ..refused
        });
    }
    Some(match (door, command) {
        (Door::Network, command) => {
            let command = command.as_str();
            let message = format!(
                "commands are taken at the member's own socket only: run `shardlet {command}` on its machine"
            );
            problem(403, &message)
        }
        (Door::Socket, Command::Reload) => {
            let reloaded = operated.reload().await;
            json(if reloaded.taken { 200 } else { 422 }, &reloaded)
        }
        (Door::Socket, Command::Drain) => {
            operated.drain();
            json(202, &Draining { draining: true })
        }
        (Door::Socket, Command::Leave) if operated.leave() => {
            json(202, &Draining { draining: true })
        }
        (Door::Socket, Command::Leave) => problem(409, NO_FLEET),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::Fixed;

    /// Status and document of a POST, and what was done.
    async fn post(
        fixed: &Fixed,
        path: &str,
        door: Door,
    ) -> (u16, serde_json::Value, Vec<&'static str>) {
        let answer = obey(fixed, "POST", path, door).await.unwrap();
        assert_eq!(answer.content_type, "application/json");
        let document = serde_json::from_str(&answer.body).unwrap();
        (answer.status, document, fixed.done())
    }

    #[tokio::test]
    async fn a_reload_tells_what_became_of_it() {
        let (status, document, done) = post(&Fixed::default(), RELOAD_PATH, Door::Socket).await;
        let expected = serde_json::json!({
            "taken": true, "problems": [], "needs_restart": ["listen.clients.address"]
        });
        assert_eq!((status, document, done), (200, expected, vec!["reload"]));

        let fixed = Fixed {
            broken: true,
            ..Fixed::default()
        };
        let (status, document, _) = post(&fixed, RELOAD_PATH, Door::Socket).await;
        assert_eq!(status, 422);
        let told: Reloaded = serde_json::from_value(document).unwrap();
        assert!(!told.taken && told.problems[0].starts_with("proxy.yaml:6:3: "));
    }

    #[tokio::test]
    async fn a_drain_is_begun_and_not_waited_for() {
        let (status, document, done) = post(&Fixed::default(), DRAIN_PATH, Door::Socket).await;
        let expected = serde_json::json!({ "draining": true });
        assert_eq!((status, document, done), (202, expected, vec!["drain"]));
    }

    #[tokio::test]
    async fn a_member_leaves_where_members_hold_leases() {
        let (status, document, done) = post(&Fixed::default(), LEAVE_PATH, Door::Socket).await;
        assert_eq!((status, done), (409, vec!["leave"]));
        let error = document["error"].as_str().unwrap();
        assert!(error.contains("take it off the list"), "{error}");
        let leased = Fixed {
            leased: true,
            ..Fixed::default()
        };
        let (status, document, done) = post(&leased, LEAVE_PATH, Door::Socket).await;
        let expected = serde_json::json!({ "draining": true });
        assert_eq!((status, document, done), (202, expected, vec!["leave"]));
    }

    #[tokio::test]
    async fn nobody_commands_over_the_network() {
        for (path, command) in [
            (RELOAD_PATH, "reload"),
            (DRAIN_PATH, "drain"),
            (LEAVE_PATH, "leave"),
        ] {
            let (status, document, done) = post(&Fixed::default(), path, Door::Network).await;
            assert_eq!((status, done), (403, vec![]), "{command}");
            let error = document["error"].as_str().unwrap();
            let advice = format!("run `shardlet {command}` on its machine");
            assert!(error.contains(&advice), "{error}");
        }
    }

    #[tokio::test]
    async fn other_methods_and_paths_are_no_commands() {
        let fixed = Fixed::default();
        for method in ["GET", "HEAD", "PUT", "post"] {
            let answer = obey(&fixed, method, DRAIN_PATH, Door::Socket)
                .await
                .unwrap();
            assert_eq!((answer.status, answer.allow), (405, "POST"), "{method}");
        }
        for path in ["/", "/api/v1/status", "/api/v1/drain/", "/drain"] {
            assert!(obey(&fixed, "POST", path, Door::Socket).await.is_none());
        }
        assert_eq!(fixed.done(), [""; 0]);
    }
}
