//! Everything but the members: the answer about a repository, what happened lately, and what is set up.

use super::Page;
use super::members::rate;
use super::words::Escaped;
use crate::observe::human::{Bytes, day};
use crate::operate::Check;
use crate::operate::activity::{Activity, ChangeEntry, ErrorEntry, RepositoryActivity};
use crate::operate::status::{
    ConfigurationStatus, OwnerAnswer, ReloadStatus, ReplicaStatus, RequestTotals, Status,
};
use std::fmt::{self, Write as _};

/// What was asked for, and what came of it.
type Asked<'a> = (&'a str, Result<OwnerAnswer, String>);

impl Page {
    pub(super) fn refused(&mut self, configuration: &ConfigurationStatus) -> fmt::Result {
        let Some(ReloadStatus { problems, .. }) = configuration.refused() else {
            self.0.push_str("<section id=refused hidden></section>");
            return Ok(());
        };
        self.0
            .push_str("<section id=refused><h2>What is wrong with the changed configuration</h2>");
        for problem in problems {
            write!(self.0, "<pre>{}</pre>", Escaped(problem.trim_end()))?;
        }
        self.0.push_str("</section>");
        Ok(())
    }

    pub(super) fn answer(&mut self, asked: Option<&Asked<'_>>) -> fmt::Result {
        let owner = match asked {
            None => {
                self.0.push_str("<section id=answer hidden></section>");
                return Ok(());
            }
            Some((name, Err(problem))) => {
                return write!(
                    self.0,
                    "<section id=answer class=\"answer bad\" aria-live=polite><h2><code>{}</code></h2><p>{}</p></section>",
                    Escaped(name),
                    Escaped(problem)
                );
            }
            Some((_, Ok(owner))) => owner,
        };
        let here = if owner.local { " (here)" } else { "" };
        let chosen = match &owner.pin {
            Some(prefix) => format!("by the pin <code>{}</code>", Escaped(prefix)),
            None => "by the placement".to_owned(),
        };
        let class = match owner.health.as_str() {
            "up" => "good",
            "down" => "bad",
            _ => "warning",
        };
        write!(
            self.0,
            "<section id=answer class=answer aria-live=polite><h2><code>{}</code></h2><dl>\
             <div><dt>owner</dt><dd><span class=name>{}</span>{here} <span class=\"dot {class}\">{}</span></dd></div>\
             <div><dt>chosen</dt><dd>{chosen}</dd></div>\
             <div><dt>read from</dt><dd>{}</dd></div>\
             <div><dt>a read here</dt><dd>{}</dd></div>\
             <div><dt>a write here</dt><dd>{}</dd></div></dl></section>",
            Escaped(&owner.repository),
            Escaped(&owner.owner),
            owner.health.as_str(),
            Escaped(&owner.readers.join(", then ")),
            Escaped(&owner.reads_here),
            Escaped(&owner.writes_here),
        )
    }

    pub(super) fn requests(&mut self, status: &Status) -> fmt::Result {
        let RequestTotals {
            in_flight,
            transfers,
            transfers_limit: _,
            ended,
            rejected,
            fallbacks,
            retries,
        } = status.requests;
        self.0
            .push_str("<section id=requests><h2>Requests to this member</h2><dl class=numbers>");
        for (name, number) in [
            ("in flight", in_flight),
            ("transfers", transfers),
            ("in the queue", status.replica.queued),
            ("held", status.writes.held),
            ("ended", ended),
            ("rejected", rejected),
            ("fallbacks", fallbacks),
            ("retries", retries),
        ] {
            write!(self.0, "<div><dt>{name}</dt><dd>{number}</dd></div>")?;
        }
        self.0.push_str("</dl></section>");
        Ok(())
    }

    /// Repositories, errors and changes, side by side where there is room.
    pub(super) fn activity(&mut self, activity: &Activity) -> fmt::Result {
        self.0.push_str("<div class=columns>");
        self.repositories(&activity.repositories)?;
        self.changes(&activity.changes)?;
        self.0.push_str("</div>");
        self.errors(&activity.errors)
    }

    fn repositories(&mut self, repositories: &[RepositoryActivity]) -> fmt::Result {
        self.0
            .push_str("<section id=repositories><h2>Busiest repositories</h2>");
        if repositories.is_empty() {
            self.0
                .push_str("<p class=soft>Nothing was asked for in the last minutes.</p></section>");
            return Ok(());
        }
        self.0.push_str(
            "<table><thead><tr><th>repository<th>owner<th>requests<th>errors<th>bytes</tr></thead><tbody>",
        );
        for one in repositories {
            let name = Escaped(&one.repository);
            let errors = if one.errors_per_second >= 0.005 {
                "class=bad"
            } else {
                "class=soft"
            };
            write!(
                self.0,
                "<tr><td><code>{name}</code><td>{}<td>{}<td {errors}>{}<td>{}/s</tr>",
                Escaped(&one.owner),
                rate(one.requests_per_second),
                rate(one.errors_per_second),
                Bytes(one.bytes_per_second as u64)
            )?;
        }
        self.0
            .push_str("</tbody></table><p class=soft>Estimates, of the last minute.</p></section>");
        Ok(())
    }

    fn changes(&mut self, changes: &[ChangeEntry]) -> fmt::Result {
        self.0.push_str("<section id=changes><h2>Last changes</h2>");
        if changes.is_empty() {
            self.0
                .push_str("<p class=soft>Nothing has changed since the start.</p></section>");
            return Ok(());
        }
        self.0.push_str("<ol class=log>");
        for ChangeEntry { at, kind, text } in changes {
            write!(
                self.0,
                "<li><time class=soft datetime=\"{}\">{}</time> <span class=tag>{}</span> {}</li>",
                Escaped(at),
                Escaped(clock(at)),
                Escaped(kind),
                Escaped(text)
            )?;
        }
        self.0.push_str("</ol></section>");
        Ok(())
    }

    fn errors(&mut self, errors: &[ErrorEntry]) -> fmt::Result {
        self.0.push_str("<section id=errors><h2>Last errors</h2>");
        if errors.is_empty() {
            self.0
                .push_str("<p class=soft>No request has failed since the start.</p></section>");
            return Ok(());
        }
        self.0.push_str(
            "<div class=scroll><table><thead><tr><th>time<th>status<th>reason<th>member<th>operation<th>repository\
             <th>request id</tr></thead><tbody>",
        );
        for error in errors {
            write!(
                self.0,
                "<tr><td><time class=soft datetime=\"{}\">{}</time><td class=bad>{}<td>{}<td>{}<td>{}\
                 <td><code>{}</code><td><code class=soft>{}</code></tr>",
                Escaped(&error.at),
                Escaped(clock(&error.at)),
                error.status,
                Escaped(&error.reason),
                Escaped(&error.member),
                Escaped(&error.operation),
                Escaped(error.repository.as_deref().unwrap_or("–")),
                Escaped(&error.request_id),
            )?;
        }
        self.0.push_str("</tbody></table></div></section>");
        Ok(())
    }

    /// What is set up, for those who look closer.
    pub(super) fn details(&mut self, status: &Status, checks: &[Check]) -> fmt::Result {
        self.0.push_str("<div class=columns>");
        self.replica(&status.replica, checks)?;
        self.configuration(status)?;
        self.0.push_str("</div>");
        self.pins(status)
    }

    fn replica(&mut self, replica: &ReplicaStatus, checks: &[Check]) -> fmt::Result {
        let ReplicaStatus {
            address,
            health,
            circuit: _,
            in_flight,
            reads_in_flight,
            writes_in_flight,
            in_flight_limit,
            queued,
            queue_limit,
        } = replica;
        write!(
            self.0,
            "<section id=replica><h2>Replica</h2><p><code>{}</code> is {}. It works on {in_flight} of \
             {in_flight_limit} requests ({reads_in_flight} reads, {writes_in_flight} writes); \
             {queued} of {queue_limit} wait.</p><h2>Readiness</h2><table><tbody>",
            Escaped(address),
            health.as_str(),
        )?;
        for Check { name, ok, detail } in checks {
            let name = match *name {
                "draining" => "not draining",
                name => name,
            };
            let (class, word, detail) = match ok {
                true => ("good", "holds", ""),
                false => ("bad", "fails", detail.as_str()),
            };
            write!(
                self.0,
                "<tr><td>{name}<td><span class=\"dot {class}\">{word}</span><td>{}</tr>",
                Escaped(detail)
            )?;
        }
        self.0.push_str("</tbody></table></section>");
        Ok(())
    }

    fn configuration(&mut self, status: &Status) -> fmt::Result {
        self.0
            .push_str("<section id=configuration><h2>Set-up</h2><dl>");
        let configuration = &status.configuration;
        // A member of an earlier version does not tell.
        if !configuration.source.is_empty() {
            let (source, since) = (&configuration.source, &configuration.loaded_at);
            write!(
                self.0,
                "<div><dt>configuration</dt><dd><code>{}</code> in force since {}{}</dd></div>",
                Escaped(source),
                Escaped(since),
                last_reload(configuration)
            )?;
        }
        for listener in &status.listeners {
            let security = match listener.security.as_str() {
                "tls" => "TLS",
                "mtls" => "mutual TLS",
                _ => "plain HTTP",
            };
            write!(
                self.0,
                "<div><dt>{}</dt><dd><code>{}</code>, {security}, {} connections</dd></div>",
                Escaped(&listener.name),
                Escaped(&listener.address),
                listener.connections
            )?;
        }
        if let Some(socket) = &status.commands.socket {
            let socket = Escaped(socket);
            write!(
                self.0,
                "<div><dt>commands</dt><dd><code>{socket}</code></dd></div>"
            )?;
        }
        for certificate in &status.certificates {
            let (name, expires) = (Escaped(&certificate.name), day(certificate.expires_unix));
            write!(
                self.0,
                "<div><dt>certificate, {name}</dt><dd>expires {expires}</dd></div>"
            )?;
        }
        self.0.push_str("</dl></section>");
        Ok(())
    }

    fn pins(&mut self, status: &Status) -> fmt::Result {
        let pins = &status.view.pins;
        if pins.is_empty() {
            self.0.push_str("<section id=pins hidden></section>");
            return Ok(());
        }
        self.0.push_str(
            "<section id=pins><h2>Pins</h2><table><thead><tr><th>prefix<th>owner</tr></thead><tbody>",
        );
        for pin in pins {
            let (prefix, member) = (Escaped(&pin.prefix), Escaped(&pin.member));
            write!(self.0, "<tr><td><code>{prefix}</code><td>{member}</tr>")?;
        }
        self.0.push_str("</tbody></table></section>");
        Ok(())
    }
}

fn last_reload(configuration: &ConfigurationStatus) -> String {
    let Some(ReloadStatus { at, taken, .. }) = &configuration.last_reload else {
        return String::new();
    };
    let (class, word) = match taken {
        true => ("good", "taken"),
        false => ("bad", "refused"),
    };
    let at = Escaped(at);
    format!("; last reload <span class={class}>{word}</span> at {at}")
}

/// The time of day of an RFC 3339 time, which is UTC.
fn clock(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}
