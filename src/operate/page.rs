//! The status page: one HTML document without scripts, fonts or pictures from elsewhere.

mod words;

use super::Check;
use super::status::{
    ConfigurationStatus, MemberStatus, ReloadStatus, ReplicaStatus, RequestTotals, Status,
};
use crate::observe::human::{day, duration, percent};
use std::fmt::{self, Write as _};
use words::{Circuit, Dot, Escaped};

const STYLE: &str = include_str!("page.css");
/// How often a page that was asked for with `?live` asks again, in seconds.
const REFRESH: u32 = 5;

/// Renders the page; a live one reloads itself, so it has no form to type into.
pub(super) fn render(status: &Status, checks: &[Check], live: bool) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    // Writing to a string cannot fail.
    let _ = page.document(status, checks, live);
    page.0
}

struct Page(String);

impl Page {
    fn document(&mut self, status: &Status, checks: &[Check], live: bool) -> fmt::Result {
        let member = Escaped(&status.member);
        write!(
            self.0,
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\">\
             <title>{member} · shardlet</title><style>{STYLE}</style>"
        )?;
        if live {
            write!(self.0, "<meta http-equiv=refresh content={REFRESH}>")?;
        }
        self.0.push_str("<main>");
        self.header(status)?;
        self.refused(&status.configuration)?;
        self.warnings(status)?;
        self.requests(&status.requests, &status.replica, &status.writes.held)?;
        self.members(status)?;
        if !live {
            self.owner_form();
        }
        self.replica(&status.replica, checks)?;
        self.configuration(&status.configuration)?;
        self.listeners(status)?;
        self.certificates(status)?;
        self.pins(status)?;
        let toggle = if live {
            "<a href=/>stand still</a>"
        } else {
            "<a href=\"/?live\">live</a>"
        };
        writeln!(
            self.0,
            "<p class=soft>{toggle} · <a href=/api/v1/status>status as JSON</a> · \
             <a href=/metrics>metrics</a> · <a href=\"/readyz?verbose\">readiness</a> · \
             <a href=/healthz>health</a></p>\
             <p class=soft>commands, on that machine: <code>shardlet reload</code> · \
             <code>shardlet drain</code></p></main></html>",
        )
    }

    fn header(&mut self, status: &Status) -> fmt::Result {
        let (class, word) = match (status.draining, status.ready) {
            (true, _) => ("warn", "draining"),
            (false, true) => ("up", "ready"),
            (false, false) => ("down", "not ready"),
        };
        write!(
            self.0,
            "<header><h1>{}</h1><span class=\"pill {class}\">{word}</span>\
             <span class=soft>shardlet {} · up {}</span></header>",
            Escaped(&status.member),
            Escaped(&status.version),
            duration(status.uptime_seconds),
        )
    }

    fn refused(&mut self, configuration: &ConfigurationStatus) -> fmt::Result {
        let Some(ReloadStatus { at, problems, .. }) = configuration.refused() else {
            return Ok(());
        };
        write!(
            self.0,
            "<section class=alert><h2 class=down>The changed configuration is not in force</h2>\
             <p>It was refused at {}; the one of {} goes on.</p>",
            Escaped(at),
            Escaped(&configuration.loaded_at)
        )?;
        for problem in problems {
            write!(self.0, "<pre>{}</pre>", Escaped(problem.trim_end()))?;
        }
        self.0.push_str("</section>");
        Ok(())
    }

    fn warnings(&mut self, status: &Status) -> fmt::Result {
        let restart = &status.configuration.needs_restart;
        if status.warnings.is_empty() && restart.is_empty() {
            return Ok(());
        }
        self.0
            .push_str("<section><h2 class=warn>To look at</h2><ul>");
        for warning in &status.warnings {
            write!(self.0, "<li>{}</li>", Escaped(warning))?;
        }
        for key in restart {
            write!(
                self.0,
                "<li><code>{}</code> has changed and waits for a restart</li>",
                Escaped(key)
            )?;
        }
        self.0.push_str("</ul></section>");
        Ok(())
    }

    fn requests(
        &mut self,
        requests: &RequestTotals,
        replica: &ReplicaStatus,
        held: &u64,
    ) -> fmt::Result {
        let RequestTotals {
            in_flight,
            transfers,
            transfers_limit: _,
            ended,
            rejected,
            fallbacks,
            retries,
        } = requests;
        self.0.push_str("<section><h2>Requests</h2><dl>");
        let numbers = [
            ("in flight", in_flight),
            ("transfers", transfers),
            ("waiting", &replica.queued),
            ("held", held),
            ("ended", ended),
            ("rejected", rejected),
            ("fallbacks", fallbacks),
            ("retries", retries),
        ];
        for (name, number) in numbers {
            write!(self.0, "<div><dt>{name}</dt><dd>{number}</dd></div>")?;
        }
        self.0.push_str("</dl></section>");
        Ok(())
    }

    fn members(&mut self, status: &Status) -> fmt::Result {
        let view = &status.view;
        write!(
            self.0,
            "<section><h2>Members</h2><table><tr><th>member<th>health<th>circuit<th>share<th>address<th>view</tr>"
        )?;
        for member in &view.members {
            self.member(member)?;
        }
        write!(
            self.0,
            "</table><p class=soft>{} placement, view <code>{}</code></p></section>",
            Escaped(&view.placement),
            Escaped(&view.fingerprint)
        )
    }

    fn member(&mut self, member: &MemberStatus) -> fmt::Result {
        let MemberStatus {
            id,
            address,
            weight,
            share,
            local,
            health,
            circuit,
            draining,
            same_view,
            resolved,
        } = member;
        let width = percent(*share);
        let here = if *local {
            " <span class=soft>(here)</span>"
        } else {
            ""
        };
        let drains = if *draining {
            "<br><span class=warn>draining</span>"
        } else {
            ""
        };
        let (class, sees) = match (local, same_view) {
            (true, _) | (false, Some(true)) => ("up", "same"),
            (false, Some(false)) => ("down", "differs"),
            (false, None) => ("soft", "not told"),
        };
        write!(
            self.0,
            "<tr><td><strong>{}</strong>{here}<td>{}{drains}<td>{}\
             <td><span class=bar title=\"weight {weight}\"><i><b style=\"width:{width}\"></b></i>{width}</span>\
             <td><code>{}</code>",
            Escaped(id),
            Dot(*health),
            Circuit(*circuit),
            Escaped(address),
        )?;
        if !resolved.is_empty() {
            write!(
                self.0,
                "<br><code class=soft>{}</code>",
                Escaped(&resolved.join(", "))
            )?;
        }
        write!(self.0, "<td class={class}>{sees}</tr>")
    }

    fn owner_form(&mut self) {
        self.0.push_str(
            "<section><h2>Who owns a repository?</h2><form action=/api/v1/owner>\
             <input name=repo placeholder=library/alpine aria-label=repository required>\
             <button>Show owner</button></form></section>",
        );
    }

    fn replica(&mut self, replica: &ReplicaStatus, checks: &[Check]) -> fmt::Result {
        let ReplicaStatus {
            address,
            health,
            circuit,
            in_flight,
            reads_in_flight,
            writes_in_flight,
            in_flight_limit,
            queued,
            queue_limit,
        } = replica;
        write!(
            self.0,
            "<section><h2>Replica</h2>{} <code>{}</code> works on {in_flight} of \
             {in_flight_limit} requests ({reads_in_flight} reads, {writes_in_flight} writes), \
             {queued} of {queue_limit} wait; circuit {}</section>\
             <section><h2>Readiness</h2><table>",
            Dot(*health),
            Escaped(address),
            Circuit(*circuit),
        )?;
        for Check { name, ok, detail } in checks {
            let (class, word) = if *ok {
                ("up", "ok")
            } else {
                ("down", "failed")
            };
            let detail = if *ok { "" } else { detail };
            write!(
                self.0,
                "<tr><td>{name}<td class=\"dot {class}\">{word}<td>{}</tr>",
                Escaped(detail)
            )?;
        }
        self.0.push_str("</table></section>");
        Ok(())
    }

    fn configuration(&mut self, configuration: &ConfigurationStatus) -> fmt::Result {
        let ConfigurationStatus {
            source,
            loaded_at,
            last_reload,
            needs_restart: _,
        } = configuration;
        // A member of an earlier version does not tell.
        if source.is_empty() {
            return Ok(());
        }
        let last = match last_reload {
            None => String::new(),
            Some(ReloadStatus { at, taken, .. }) => {
                let (class, word) = match taken {
                    true => ("up", "taken"),
                    false => ("down", "refused"),
                };
                format!(
                    "; last reload <span class={class}>{word}</span> at {}",
                    Escaped(at)
                )
            }
        };
        write!(
            self.0,
            "<section><h2>Configuration</h2><code>{}</code> in force since {}{last}</section>",
            Escaped(source),
            Escaped(loaded_at)
        )
    }

    fn listeners(&mut self, status: &Status) -> fmt::Result {
        self.0.push_str(
            "<section><h2>Listeners</h2><table><tr><th>for<th>address<th>security<th>open connections</tr>",
        );
        for listener in &status.listeners {
            let security = match listener.security.as_str() {
                "tls" => "TLS",
                "mtls" => "mutual TLS",
                _ => "none",
            };
            write!(
                self.0,
                "<tr><td>{}<td><code>{}</code><td>{security}<td>{}</tr>",
                Escaped(&listener.name),
                Escaped(&listener.address),
                listener.connections
            )?;
        }
        self.0.push_str("</table></section>");
        Ok(())
    }

    fn certificates(&mut self, status: &Status) -> fmt::Result {
        if status.certificates.is_empty() {
            return Ok(());
        }
        self.0
            .push_str("<section><h2>Certificates</h2><table><tr><th>for<th>expires</tr>");
        for certificate in &status.certificates {
            let (name, expires) = (Escaped(&certificate.name), day(certificate.expires_unix));
            write!(self.0, "<tr><td>{name}<td>{expires}</tr>")?;
        }
        self.0.push_str("</table></section>");
        Ok(())
    }

    fn pins(&mut self, status: &Status) -> fmt::Result {
        let pins = &status.view.pins;
        if pins.is_empty() {
            return Ok(());
        }
        self.0
            .push_str("<section><h2>Pins</h2><table><tr><th>prefix<th>owner</tr>");
        for pin in pins {
            let (prefix, member) = (Escaped(&pin.prefix), Escaped(&pin.member));
            write!(self.0, "<tr><td><code>{prefix}</code><td>{member}</tr>")?;
        }
        self.0.push_str("</table></section>");
        Ok(())
    }
}
