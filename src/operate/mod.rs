//! What an operator sees, and may tell a member to do: health, metrics, status; reload, drain.
//!
//! [`handle`] is a pure function from a request to an answer; what it shows comes through
//! [`Observed`], so that this room knows nothing of sockets and tasks. Nothing that is shown is
//! secret; still, the listener is on the loopback address by default. [`command`] is all that
//! changes anything, through [`Operated`].

pub(crate) mod activity;
pub(crate) mod command;
mod page;
mod query;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod terminal;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

pub(crate) use activity::Activity;
pub(crate) use command::Operated;
pub use command::Reloaded;
pub(crate) use status::{OwnerAnswer, Status};

use crate::shard::repository::NameError;
use std::fmt::Write as _;

/// The server, as far as the admin listener looks into it.
pub(crate) trait Observed: Send + Sync {
    /// Everything about this member.
    fn status(&self) -> Status;

    /// What happened lately.
    fn activity(&self) -> Activity;

    /// Who owns a repository.
    ///
    /// # Errors
    /// If that is no repository name.
    fn owner(&self, repository: &str) -> Result<OwnerAnswer, NameError>;

    /// What has to hold before clients are sent here.
    fn readiness(&self) -> Vec<Check>;

    /// The metrics in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// One condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// A short name: `listeners`, `view`, `replica`, `peers` (with leases `lease`), `draining`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Why it does not; shown to operators only.
    pub detail: String,
}

/// An answer of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body; left out for a `HEAD` by the one who writes it.
    pub body: String,
    /// Methods that are served at this path; what a 405 answer lists.
    pub allow: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is served.
const PATHS: &[&str] = &[
    "/",
    page::STYLE_PATH,
    page::SCRIPT_PATH,
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/status",
    "/api/v1/verdict",
    "/api/v1/activity",
    "/api/v1/owner",
];

/// Methods of the admin listener; what a 405 answer lists.
pub(crate) const ALLOWED_METHODS: &str = "GET, HEAD";

/// Answers one request.
pub(crate) fn handle(
    observed: &dyn Observed,
    method: &str,
    path: &str,
    query: Option<&str>,
) -> AdminResponse {
    let query = query.unwrap_or_default();
    if !PATHS.contains(&path) {
        return refusal(404, path, "no such page; see / for what there is");
    }
    if !matches!(method, "GET" | "HEAD") {
        return refusal(405, path, "only GET and HEAD are served here");
    }
    match path {
        "/healthz" => shown(TEXT, "ok\n".into()),
        "/readyz" => readyz(&observed.readiness(), query::has(query, "verbose")),
        "/metrics" => shown(METRICS, observed.metrics()),
        "/api/v1/status" => json(200, &observed.status()),
        "/api/v1/verdict" => json(200, &verdict::verdict(&observed.status())),
        "/api/v1/activity" => json(200, &observed.activity()),
        "/api/v1/owner" => owner(observed, query),
        page::STYLE_PATH => shown(STYLE, page::STYLE.into()),
        page::SCRIPT_PATH => shown(SCRIPT, page::SCRIPT.into()),
        _ => shown(HTML, status_page(observed, query)),
    }
}

fn status_page(observed: &dyn Observed, query: &str) -> String {
    let repository = query::value(query, "repo");
    let repository = repository.as_deref().map(str::trim);
    let asked = repository.filter(|name| !name.is_empty()).map(|name| {
        let owner = observed.owner(name);
        (name, owner.map_err(|error| not_a_name(&error)))
    });
    page::render(&page::Shown {
        status: &observed.status(),
        activity: &observed.activity(),
        checks: &observed.readiness(),
        asked,
        live: query::has(query, "live"),
    })
}

fn shown(content_type: &'static str, body: String) -> AdminResponse {
    AdminResponse {
        status: 200,
        content_type,
        body,
        allow: ALLOWED_METHODS,
    }
}

/// As Kubernetes' own servers answer: `ok`, or one line for each check.
fn readyz(checks: &[Check], verbose: bool) -> AdminResponse {
    let ready = checks.iter().all(|check| check.ok);
    let mut body = String::new();
    if ready && !verbose {
        body.push_str("ok\n");
    } else {
        for Check { name, ok, detail } in checks {
            let _ = match ok {
                true => writeln!(body, "[+]{name} ok"),
                false => writeln!(body, "[-]{name} failed: {detail}"),
            };
        }
        let _ = writeln!(
            body,
            "readyz check {}",
            if ready { "passed" } else { "failed" }
        );
    }
    AdminResponse {
        status: if ready { 200 } else { 503 },
        ..shown(TEXT, body)
    }
}

fn owner(observed: &dyn Observed, query: &str) -> AdminResponse {
    let Some(repository) = query::value(query, "repo") else {
        return problem(400, "say which repository: /api/v1/owner?repo=NAME");
    };
    match observed.owner(&repository) {
        Ok(answer) => json(200, &answer),
        Err(error) => problem(400, &not_a_name(&error)),
    }
}

fn not_a_name(error: &NameError) -> String {
    format!("not a repository name: {error}")
}

/// A refusal in the language of the caller: JSON under `/api/`, text elsewhere.
fn refusal(status: u16, path: &str, message: &str) -> AdminResponse {
    if path.starts_with("/api/") {
        return problem(status, message);
    }
    AdminResponse {
        status,
        ..shown(TEXT, format!("{message}\n"))
    }
}

fn problem(status: u16, message: &str) -> AdminResponse {
    json(status, &serde_json::json!({ "error": message }))
}

fn json(status: u16, value: &impl serde::Serialize) -> AdminResponse {
    // Structs of strings and numbers always serialise.
    let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
    body.push('\n');
    AdminResponse {
        status,
        ..shown(JSON, body)
    }
}
