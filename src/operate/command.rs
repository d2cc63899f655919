//! What an operator may tell a running member to do: to take its configuration anew, to drain.
//!
//! Whoever reaches the admin listener may look; commands are taken from this machine only. No web
//! page that is open on this machine can send one: a form cannot set the header that names the
//! command, and what a script sends carries an `Origin`.

use super::{AdminResponse, Observed, json, problem};
use async_trait::async_trait;
use http::HeaderMap;
use http::header::{FORWARDED, ORIGIN, VIA};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Header that repeats the command, so that no form can send one.
pub(crate) const COMMAND_HEADER: &str = "x-shardlet-command";
/// Where a reload is asked for.
pub(crate) const RELOAD_PATH: &str = "/api/v1/reload";
/// Where a drain is asked for.
pub(crate) const DRAIN_PATH: &str = "/api/v1/drain";
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

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// The other end of the connection.
    pub from: Option<SocketAddr>,
    /// This end of it.
    pub to: Option<SocketAddr>,
    /// What came with the request.
    pub headers: &'a HeaderMap,
}

#[derive(Clone, Copy)]
enum Command {
    Reload,
    Drain,
}

impl Command {
    fn at(path: &str) -> Option<Self> {
        match path {
            RELOAD_PATH => Some(Self::Reload),
            DRAIN_PATH => Some(Self::Drain),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Drain => "drain",
        }
    }
}

/// Obeys a command; `None` if the path is none.
pub(crate) async fn obey(
    operated: &dyn Operated,
    method: &str,
    path: &str,
    caller: &Caller<'_>,
) -> Option<AdminResponse> {
    let command = Command::at(path)?;
    if method != "POST" {
        let refused = problem(405, "a command is sent by POST");
        return Some(AdminResponse {
            allow: ALLOWED_METHODS,
            ..refused
        });
    }
    if let Err(message) = caller.may_command(command) {
        return Some(problem(403, &message));
    }
    Some(match command {
        Command::Reload => {
            let reloaded = operated.reload().await;
            json(if reloaded.taken { 200 } else { 422 }, &reloaded)
        }
        Command::Drain => {
            operated.drain();
            json(202, &Draining { draining: true })
        }
    })
}

impl Caller<'_> {
    fn may_command(&self, command: Command) -> Result<(), String> {
        let command = command.as_str();
        if !self.is_here() {
            return Err(format!(
                "commands are taken from this machine only: run `shardlet {command}` there"
            ));
        }
        let mut named = self.headers.get_all(COMMAND_HEADER).iter();
        let first = named.next();
        if first.is_none_or(|name| name != command) || named.next().is_some() {
            return Err(format!(
                "a command is repeated in a header: `X-Shardlet-Command: {command}`"
            ));
        }
        if self.headers.contains_key(ORIGIN) {
            return Err("commands are not taken from web pages".to_owned());
        }
        Ok(())
    }

    /// Whether the caller is on this machine. What a proxy on this machine passes on may come from
    /// anywhere.
    fn is_here(&self) -> bool {
        let passed_on = [FORWARDED.as_str(), VIA.as_str(), "x-forwarded-for"]
            .iter()
            .any(|name| self.headers.contains_key(*name));
        let ip = |address: Option<SocketAddr>| address.map(|at| at.ip().to_canonical());
        let (from, to) = (ip(self.from), ip(self.to));
        !passed_on && from.is_some_and(|from| from.is_loopback() || Some(from) == to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::Fixed;

    const HERE: &str = "127.0.0.1:40000";

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let parse = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        let pairs: Vec<(http::HeaderName, http::HeaderValue)> = list.iter().map(parse).collect();
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    /// Status and document of a POST to a listener at 10.0.0.1, and what was done.
    async fn post(
        path: &str,
        from: &str,
        with: &[(&'static str, &'static str)],
    ) -> (u16, serde_json::Value, Vec<&'static str>) {
        let fixed = Fixed::default();
        let with = headers(with);
        let caller = Caller {
            from: from.parse().ok(),
            to: "10.0.0.1:9900".parse().ok(),
            headers: &with,
        };
        let answer = obey(&fixed, "POST", path, &caller).await.unwrap();
        assert_eq!(answer.content_type, "application/json");
        let document = serde_json::from_str(&answer.body).unwrap();
        (answer.status, document, fixed.done())
    }

    #[tokio::test]
    async fn a_reload_tells_what_became_of_it() {
        let command = [(COMMAND_HEADER, "reload")];
        let (status, document, done) = post(RELOAD_PATH, HERE, &command).await;
        let expected = serde_json::json!({
            "taken": true, "problems": [], "needs_restart": ["listen.clients.address"]
        });
        assert_eq!((status, document, done), (200, expected, vec!["reload"]));

        let fixed = Fixed {
            broken: true,
            ..Fixed::default()
        };
        let headers = headers(&command);
        let caller = Caller {
            from: HERE.parse().ok(),
            to: None,
            headers: &headers,
        };
        let answer = obey(&fixed, "POST", RELOAD_PATH, &caller).await.unwrap();
        assert_eq!(answer.status, 422);
        let told: Reloaded = serde_json::from_str(&answer.body).unwrap();
        assert!(!told.taken && told.problems[0].starts_with("proxy.yaml:6:3: "));
    }

    #[tokio::test]
    async fn a_drain_is_begun_and_not_waited_for() {
        let (status, document, done) = post(DRAIN_PATH, HERE, &[(COMMAND_HEADER, "drain")]).await;
        let expected = serde_json::json!({ "draining": true });
        assert_eq!((status, document, done), (202, expected, vec!["drain"]));
    }

    #[tokio::test]
    async fn this_machine_is_known_by_its_addresses() {
        for (from, status) in [
            (HERE, 202),
            ("127.8.8.8:1", 202),
            ("[::1]:1", 202),
            ("[::ffff:127.0.0.1]:1", 202),
            // The address that the listener itself was reached at.
            ("10.0.0.1:1", 202),
            ("10.0.0.2:1", 403),
            ("[fe80::1]:1", 403),
            ("unknown", 403),
        ] {
            let (told, document, done) = post(DRAIN_PATH, from, &[(COMMAND_HEADER, "drain")]).await;
            assert_eq!(told, status, "{from}");
            assert_eq!(done.is_empty(), status == 403, "{from}");
            if status == 403 {
                let error = document["error"].as_str().unwrap();
                assert!(error.contains("run `shardlet drain` there"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn nothing_but_a_deliberate_request_is_obeyed() {
        let good = (COMMAND_HEADER, "drain");
        for (with, message) in [
            (&[][..], "`X-Shardlet-Command: drain`"),
            (&[(COMMAND_HEADER, "reload")], "`X-Shardlet-Command: drain`"),
            (&[good, good], "`X-Shardlet-Command: drain`"),
            (&[good, ("origin", "http://127.0.0.1:9900")], "web pages"),
            (&[good, ("x-forwarded-for", "127.0.0.1")], "this machine"),
            (&[good, ("forwarded", "for=127.0.0.1")], "this machine"),
            (&[good, ("via", "1.1 proxy")], "this machine"),
        ] {
            let (status, document, done) = post(DRAIN_PATH, HERE, with).await;
            assert_eq!((status, done), (403, vec![]), "{with:?}");
            let error = document["error"].as_str().unwrap();
            assert!(error.contains(message), "{with:?}: {error}");
        }
    }

    #[tokio::test]
    async fn other_methods_and_paths_are_no_commands() {
        let (fixed, headers) = (Fixed::default(), headers(&[(COMMAND_HEADER, "drain")]));
        let caller = Caller {
            from: HERE.parse().ok(),
            to: None,
            headers: &headers,
        };
        for method in ["GET", "HEAD", "PUT", "post"] {
            let answer = obey(&fixed, method, DRAIN_PATH, &caller).await.unwrap();
            assert_eq!((answer.status, answer.allow), (405, "POST"), "{method}");
        }
        for path in ["/", "/api/v1/status", "/api/v1/drain/", "/drain"] {
            assert!(obey(&fixed, "POST", path, &caller).await.is_none());
        }
        assert_eq!(fixed.done(), [""; 0]);
    }
}
