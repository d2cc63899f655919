//! The status page: one HTML document, whole without a script. The script only fetches it again and
//! swaps what has changed, so that everything is said in one place.

mod leases;
mod members;
mod panels;
mod words;

use super::Check;
use super::activity::Activity;
use super::status::{OwnerAnswer, Status};
use super::verdict::{Sentence, Verdict, verdict};
use crate::observe::human::duration;
use std::fmt::{self, Write as _};
use words::Escaped;

/// Where the style and the script are; nothing is inline, so that nothing inline is ever run.
pub(super) const STYLE_PATH: &str = "/page.css";
pub(super) const SCRIPT_PATH: &str = "/page.js";
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
/// How often a page that was asked for with `?live` asks again without a script, in seconds.
const REFRESH: u32 = 5;
/// A browser asks for an icon anyway.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 16 16%22%3E\
%3Cpath fill=%22%232f6fde%22 d=%22M2 2h5v12H2zM9 2h5v5H9zM9 9h5v5H9z%22/%3E%3C/svg%3E";

/// All that the page shows.
pub(super) struct Shown<'a> {
    pub(super) status: &'a Status,
    pub(super) activity: &'a Activity,
    pub(super) checks: &'a [Check],
    /// The repository that was asked for, and its owner or what is wrong with the name.
    pub(super) asked: Option<(&'a str, Result<OwnerAnswer, String>)>,
    /// Reloads itself without a script, and so has no form to type into.
    pub(super) live: bool,
}

/// Renders the page.
pub(super) fn render(shown: &Shown<'_>) -> String {
    let mut page = Page(String::with_capacity(32 * 1024));
    // Writing to a string cannot fail.
    let _ = page.document(shown);
    page.0
}

struct Page(String);

impl Page {
    fn document(&mut self, shown: &Shown<'_>) -> fmt::Result {
        let Shown {
            status,
            activity,
            checks,
            asked,
            live,
        } = shown;
        let verdict = verdict(status);
        self.head(status, &verdict, *live)?;
        self.verdict(&verdict)?;
        self.refused(&status.configuration)?;
        // Beside what is swapped: somebody may be typing.
        if !live {
            self.owner_form(asked.as_ref().map(|(name, _)| *name))?;
        }
        self.answer(asked.as_ref())?;
        // Before the members, of which there may be many.
        self.leases(status.leases.as_ref())?;
        self.members(status, activity)?;
        self.requests(status)?;
        self.activity(activity)?;
        self.details(status, checks)?;
        self.foot(*live)
    }

    fn head(&mut self, status: &Status, verdict: &Verdict, live: bool) -> fmt::Result {
        let member = Escaped(&status.member);
        let mark = match verdict.severity {
            super::verdict::Severity::Good => "",
            super::verdict::Severity::Warning => "! ",
            super::verdict::Severity::Bad => "✗ ",
        };
        write!(
            self.0,
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width,initial-scale=1\">\
             <meta name=color-scheme content=\"light dark\">\
             <title>{mark}{member} · shardlet</title><link rel=icon href=\"{ICON}\">\
             <link rel=stylesheet href={STYLE_PATH}><script src={SCRIPT_PATH} defer></script>"
        )?;
        if live {
            write!(self.0, "<meta http-equiv=refresh content={REFRESH}>")?;
        }
        // Not green: that this member takes clients says nothing of the others.
        let (class, word) = match (status.draining, status.ready) {
            (true, _) => ("warning", "draining"),
            (false, true) => ("soft", "ready"),
            (false, false) => ("bad", "not ready"),
        };
        write!(
            self.0,
            "<main><header id=head><h1>{member}</h1><span class=\"pill {class}\">{word}</span>\
             <span class=soft>shardlet {} · up {}</span></header>\
             <p id=contact class=\"alert bad\" role=alert hidden></p>",
            Escaped(&status.version),
            duration(status.uptime_seconds),
        )
    }

    fn verdict(&mut self, verdict: &Verdict) -> fmt::Result {
        let class = verdict.severity.as_str();
        write!(
            self.0,
            "<section id=verdict class=\"verdict {class}\" aria-live=polite><h2 class=hidden>Verdict</h2><ul>"
        )?;
        for Sentence { severity, text } in &verdict.sentences {
            let class = severity.as_str();
            write!(
                self.0,
                "<li class={class}><span class=hidden>{class}: </span>{}</li>",
                Escaped(text)
            )?;
        }
        self.0.push_str("</ul></section>");
        Ok(())
    }

    fn owner_form(&mut self, asked: Option<&str>) -> fmt::Result {
        write!(
            self.0,
            "<form id=search role=search action=/ method=get><label for=repo>Who owns a repository?</label>\
             <input id=repo name=repo type=search placeholder=library/alpine autocomplete=off \
             autocapitalize=none spellcheck=false required value=\"{}\"><button>Show owner</button></form>",
            Escaped(asked.unwrap_or_default())
        )
    }

    fn foot(&mut self, live: bool) -> fmt::Result {
        let toggle = if live {
            "<a href=/>stand still</a>"
        } else {
            "<a href=\"/?live\">live</a>"
        };
        writeln!(
            self.0,
            "<footer class=soft><p><noscript>{toggle} · </noscript>\
             <a href=/api/v1/status>status</a> · <a href=/api/v1/verdict>verdict</a> · \
             <a href=/api/v1/activity>activity</a> as JSON · <a href=/metrics>metrics</a> · \
             <a href=\"/readyz?verbose\">readiness</a></p>\
             <p>On that machine: <code>shardlet status</code> · <code>shardlet reload</code> · \
             <code>shardlet drain</code></p></footer></main></html>",
        )
    }
}
