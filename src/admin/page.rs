//! The status page: one HTML document without scripts, fonts or pictures from elsewhere.

use super::Check;
use super::status::{HealthStatus, MemberStatus, ReplicaStatus, RequestTotals, Status};
use crate::human::{day, duration, percent};
use std::fmt::{self, Write as _};

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
        self.warnings(&status.warnings)?;
        self.requests(&status.requests, &status.replica)?;
        self.members(status)?;
        if !live {
            self.owner_form();
        }
        self.replica(&status.replica, checks)?;
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
             <a href=/healthz>health</a></p></main></html>",
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

    fn warnings(&mut self, warnings: &[String]) -> fmt::Result {
        if warnings.is_empty() {
            return Ok(());
        }
        self.0
            .push_str("<section><h2 class=warn>To look at</h2><ul>");
        for warning in warnings {
            write!(self.0, "<li>{}</li>", Escaped(warning))?;
        }
        self.0.push_str("</ul></section>");
        Ok(())
    }

    fn requests(&mut self, requests: &RequestTotals, replica: &ReplicaStatus) -> fmt::Result {
        let RequestTotals {
            in_flight,
            ended,
            rejected,
            fallbacks,
            retries,
        } = requests;
        self.0.push_str("<section><h2>Requests</h2><dl>");
        let numbers = [
            ("in flight", in_flight),
            ("waiting", &replica.queued),
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
            "<section><h2>Members</h2><table><tr><th>member<th>health<th>share<th>address<th>view</tr>"
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
            same_view,
            resolved,
        } = member;
        let width = percent(*share);
        let here = if *local {
            " <span class=soft>(here)</span>"
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
            "<tr><td><strong>{}</strong>{here}<td>{}\
             <td><span class=bar title=\"weight {weight}\"><i><b style=\"width:{width}\"></b></i>{width}</span>\
             <td><code>{}</code>",
            Escaped(id),
            Dot(*health),
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
            in_flight,
            in_flight_limit,
            queued,
            queue_limit,
        } = replica;
        write!(
            self.0,
            "<section><h2>Replica</h2>{} <code>{}</code> works on {in_flight} of \
             {in_flight_limit} requests, {queued} of {queue_limit} wait</section>\
             <section><h2>Readiness</h2><table>",
            Dot(*health),
            Escaped(address),
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

/// A verdict with its colour, and in words for those who do not see it.
struct Dot(HealthStatus);

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.as_str();
        write!(f, "<span class=\"dot {word}\">{word}</span>")
    }
}

/// Text inside HTML, in elements and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
