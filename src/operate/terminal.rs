//! The status document for terminals: what `shardlet status` prints.

mod leases;

use super::status::{CircuitStatus, HealthStatus, MemberStatus, Status, WritesStatus};
use super::verdict::{Sentence, Severity, verdict};
use crate::observe::human::{columns, day, duration, percent};
use crate::shard::text::printable;
use std::fmt;

/// Where the status document is, under the address of an admin listener.
pub(crate) const STATUS_PATH: &str = "/api/v1/status";

/// Why there is no status to show.
#[derive(Debug)]
pub(crate) enum StatusError<E> {
    /// The member did not answer.
    Fetch(E),
    /// What answered is not an admin listener of shardlet.
    Document(serde_json::Error),
}

impl<E: fmt::Display> fmt::Display for StatusError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => write!(f, "the member does not answer: {error}"),
            Self::Document(error) => {
                write!(f, "this is no answer of a shardlet admin listener: {error}")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for StatusError<E> {}

/// Asks a member for its status; `fetch` gets [`STATUS_PATH`] and gives the body.
///
/// # Errors
/// See [`StatusError`].
pub(crate) fn ask<E>(
    fetch: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Status, StatusError<E>> {
    let document = fetch(STATUS_PATH).map_err(StatusError::Fetch)?;
    serde_json::from_str(&document).map_err(StatusError::Document)
}

/// Renders a status as text: what is to be said first, then the members, then the rest.
pub(crate) fn render(status: &Status) -> String {
    let state = match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "NOT READY",
    };
    let uptime = duration(status.uptime_seconds);
    let mut out = format!(
        "{}: {state}, up {uptime}, shardlet {}\n",
        status.member, status.version
    );
    for Sentence { severity, text } in verdict(status).sentences {
        let mark = match severity {
            Severity::Good => "",
            Severity::Warning => "! ",
            Severity::Bad => "!! ",
        };
        out.push_str(&format!("{mark}{text}\n"));
    }
    out.push_str(&problems(status));
    out.push('\n');
    out.push_str(&columns(&members(status)));
    let view = &status.view;
    out.push_str(&format!(
        "{} placement, view {}\n\n",
        view.placement, view.fingerprint
    ));
    out.push_str(&columns(&details(status)));
    // The document comes from the network: no control character of it may reach the terminal.
    out.lines().map(|line| printable(line) + "\n").collect()
}

/// All that is wrong with a configuration that was refused; the verdict tells the first line.
fn problems(status: &Status) -> String {
    let Some(refused) = status.configuration.refused() else {
        return String::new();
    };
    let lines = refused.problems.iter().flat_map(|problem| problem.lines());
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    format!("\nthe changed configuration:\n{lines}")
}

fn members(status: &Status) -> Vec<Vec<String>> {
    let heading = [
        "MEMBER", "STATE", "SHARE", "REQ/S", "ERR/S", "P50", "P99", "NOW", "ADDRESS",
    ];
    let rows = status.view.members.iter().map(|member| {
        let MemberStatus {
            id,
            address,
            share,
            local,
            resolved,
            in_flight,
            queued,
            lease,
            traffic,
            ..
        } = member;
        let resolved = if resolved.is_empty() || resolved == std::slice::from_ref(address) {
            String::new()
        } else {
            format!(" ({})", resolved.join(", "))
        };
        let here = if *local { " (here)" } else { "" };
        let now = match queued {
            0 => in_flight.to_string(),
            queued => format!("{in_flight}, {queued} WAIT"),
        };
        let cells = [
            format!("{id}{here}"),
            state(member),
            percent(*share),
            format!("{:.1}", traffic.requests_per_second),
            format!("{:.1}", traffic.errors_per_second),
            millis(traffic.p50_ms),
            millis(traffic.p99_ms),
            now,
            format!("{address}{resolved}"),
        ];
        let mut cells = Vec::from(cells);
        if let Some(leases) = &status.leases {
            cells.insert(2, leases::of_member(lease.as_ref(), leases));
        }
        cells
    });
    let mut heading = Vec::from(heading.map(str::to_owned));
    if status.leases.is_some() {
        heading.insert(2, "LEASE".to_owned());
    }
    std::iter::once(heading).chain(rows).collect()
}

/// How a member is, and for how long; nothing of what a dead one told.
fn state(member: &MemberStatus) -> String {
    let word = match (member.health, member.circuit) {
        (HealthStatus::Down, _) => "DOWN",
        (_, CircuitStatus::Open) => "LEFT ALONE",
        (_, CircuitStatus::HalfOpen) => "ON TRIAL",
        (HealthStatus::Unknown, _) => "unknown",
        (HealthStatus::Draining, _) => "draining",
        (HealthStatus::Up, _) if member.draining => "draining",
        (HealthStatus::Up, _) => "up",
    };
    let since = member.since_seconds.map(duration);
    let since = since.map_or_else(String::new, |since| format!(" {since}"));
    let differs = member.same_view == Some(false) && member.health != HealthStatus::Down;
    let view = if differs && !member.local {
        ", ANOTHER VIEW"
    } else {
        ""
    };
    format!("{word}{since}{view}")
}

fn millis(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0} ms"))
}

fn writes(writes: &WritesStatus) -> String {
    let WritesStatus {
        ready,
        held,
        held_limit,
        hold_seconds,
    } = writes;
    let taken = if *ready {
        "taken"
    } else {
        "WAIT: it is not known yet what others may be writing"
    };
    format!("{taken}; {held} of {held_limit} wait for their owner, each up to {hold_seconds} s")
}

fn details(status: &Status) -> Vec<[String; 2]> {
    let (replica, requests) = (&status.replica, &status.requests);
    let mut rows = vec![
        (
            "replica".to_owned(),
            format!(
                "{} {}, circuit {}, works on {} of {} ({} reads, {} writes), {} of {} wait",
                replica.address,
                replica.health.as_str(),
                replica.circuit.as_str(),
                replica.in_flight,
                replica.in_flight_limit,
                replica.reads_in_flight,
                replica.writes_in_flight,
                replica.queued,
                replica.queue_limit
            ),
        ),
        ("writes".to_owned(), writes(&status.writes)),
        (
            "requests".to_owned(),
            format!(
                "{} in flight, {} of {} transfers, {} ended, {} rejected, {} fallbacks, {} retries",
                requests.in_flight,
                requests.transfers,
                requests.transfers_limit,
                requests.ended,
                requests.rejected,
                requests.fallbacks,
                requests.retries
            ),
        ),
    ];
    rows.extend(status.leases.iter().flat_map(leases::rows));
    let configuration = &status.configuration;
    // A member of an earlier version does not tell.
    if !configuration.source.is_empty() {
        let (source, since) = (&configuration.source, &configuration.loaded_at);
        let text = format!("{source}, in force since {since}");
        rows.push(("configuration".to_owned(), text));
    }
    for listener in &status.listeners {
        let (address, security) = (&listener.address, &listener.security);
        let text = format!(
            "{address}, {security}, {} connections",
            listener.connections
        );
        rows.push((listener.name.clone(), text));
    }
    for certificate in &status.certificates {
        let expires = format!("expires {}", day(certificate.expires_unix));
        rows.push((format!("certificate {}", certificate.name), expires));
    }
    for pin in &status.view.pins {
        rows.push((format!("pin {}", pin.prefix), pin.member.clone()));
    }
    rows.into_iter().map(|(name, text)| [name, text]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::{leased, sample};

    #[test]
    fn the_text_is_pinned() {
        insta::assert_snapshot!(render(&sample()));
    }

    #[test]
    fn the_text_of_a_fleet_with_leases_is_pinned() {
        insta::assert_snapshot!(render(&leased()));
    }

    #[test]
    fn the_document_of_the_admin_listener_is_understood() {
        let document = serde_json::to_string(&sample()).unwrap();
        let asked = ask(|path| {
            assert_eq!(path, STATUS_PATH);
            Ok::<_, String>(document)
        });
        assert_eq!(asked.unwrap(), sample());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = ask(|_| Err::<String, _>("connection refused")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the member does not answer: connection refused"
        );
        let other = ask(|_| Ok::<_, String>("<html>".to_owned())).unwrap_err();
        assert!(
            other
                .to_string()
                .starts_with("this is no answer of a shardlet admin listener")
        );
    }

    #[test]
    fn a_hostile_document_cannot_steer_the_terminal() {
        let mut status = sample();
        status.member = "zot\u{1b}[2J".into();
        status.warnings = vec!["a\r\u{7}b".into()];
        let text = render(&status);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
    }
}
