//! Members: how each is, since when and why, and what it did lately.

use super::Page;
use super::words::{Bar, Curve, Escaped, Since};
use crate::observe::human::{Bytes, percent};
use crate::operate::activity::{Activity, MemberActivity};
use crate::operate::status::{
    CircuitStatus, HealthStatus, LeasesStatus, MemberStatus, Status, TrafficStatus,
};
use std::fmt::{self, Write as _};

impl Page {
    pub(super) fn members(&mut self, status: &Status, activity: &Activity) -> fmt::Result {
        let view = &status.view;
        let lease = match &status.leases {
            Some(_) => "<th>lease",
            None => "",
        };
        write!(
            self.0,
            "<section id=members><h2>Members</h2><table class=members><thead><tr><th>member<th>state{lease}\
             <th>share<th>requests<th>errors<th>p50<th>p99<th>bytes<th>now<th>five minutes</tr></thead><tbody>",
        )?;
        // Who needs help first; the rest as configured.
        let mut members: Vec<&MemberStatus> = view.members.iter().collect();
        members.sort_by_key(|member| !member.is_away());
        for member in members {
            let mut all = activity.members.iter();
            let curve = all.find(|activity| activity.id == member.id);
            self.member(member, status.leases.as_ref(), curve)?;
        }
        write!(
            self.0,
            "</tbody></table><p class=soft>As this member sees them. Rates and times are of the last minute. \
             {} placement, view <code>{}</code></p></section>",
            Escaped(&view.placement),
            Escaped(&view.fingerprint)
        )
    }

    fn member(
        &mut self,
        member: &MemberStatus,
        leases: Option<&LeasesStatus>,
        curve: Option<&MemberActivity>,
    ) -> fmt::Result {
        let MemberStatus {
            id,
            address,
            weight,
            share,
            local,
            health: _,
            circuit: _,
            draining: _,
            same_view: _,
            resolved,
            since: _,
            since_seconds: _,
            silent_seconds: _,
            why: _,
            in_flight,
            queued,
            lease,
            traffic,
        } = member;
        // On a small screen there is no room for what did not happen.
        let is_quiet = traffic.requests_per_second <= 0.0;
        let class = match (member.is_away(), is_quiet) {
            (true, true) => " class=\"away quiet\"",
            (true, false) => " class=away",
            (false, true) => " class=quiet",
            (false, false) => "",
        };
        let here = if *local {
            " <span class=soft>(here)</span>"
        } else {
            ""
        };
        write!(
            self.0,
            "<tr{class}><th scope=row><span class=name>{}</span>{here}<br><code class=soft>{}</code>",
            Escaped(id),
            Escaped(address)
        )?;
        if !resolved.is_empty() && resolved != std::slice::from_ref(address) {
            let resolved = resolved.join(", ");
            write!(self.0, "<br><code class=soft>{}</code>", Escaped(&resolved))?;
        }
        self.state(member)?;
        if let Some(leases) = leases {
            self.lease(lease.as_ref(), leases)?;
        }
        write!(
            self.0,
            "<td data-label=share><span class=share title=\"weight {weight}\">{}{}</span>",
            Bar(*share),
            percent(*share)
        )?;
        self.traffic(traffic)?;
        self.load(*in_flight, *queued, curve)
    }

    fn load(&mut self, in_flight: u64, queued: u64, curve: Option<&MemberActivity>) -> fmt::Result {
        let waiting = match queued {
            0 => String::new(),
            queued => format!(", <span class=warning>{queued} wait</span>"),
        };
        write!(
            self.0,
            "<td data-label=now>{in_flight} in flight{waiting}<td data-label=\"five minutes\">"
        )?;
        match curve {
            Some(curve) => write!(self.0, "{}</tr>", Curve(curve)),
            None => write!(self.0, "</tr>"),
        }
    }

    /// The state in a word, since when, and why; of one that is away nothing else.
    fn state(&mut self, member: &MemberStatus) -> fmt::Result {
        let (class, word) = match (member.health, member.circuit) {
            (HealthStatus::Down, _) => ("bad", "down"),
            (_, CircuitStatus::Open) => ("bad", "left alone"),
            (_, CircuitStatus::HalfOpen) => ("warning", "on trial"),
            (HealthStatus::Unknown, _) => ("warning", "unknown"),
            (HealthStatus::Draining, _) => ("warning", "draining"),
            (HealthStatus::Up, _) if member.draining => ("warning", "draining"),
            (HealthStatus::Up, _) => ("good", "up"),
        };
        write!(
            self.0,
            "<td data-label=state><span><span class=\"dot {class}\">{word}</span>{}",
            Since(member.since_seconds)
        )?;
        if let (Some(why), true) = (&member.why, class != "good") {
            write!(self.0, "<br><span class=why>{}</span>", Escaped(why))?;
        }
        let differs = member.same_view == Some(false) && member.health != HealthStatus::Down;
        if differs && !member.local {
            self.0
                .push_str("<br><span class=warning>another view</span>");
        }
        self.0.push_str("</span>");
        Ok(())
    }

    fn traffic(&mut self, traffic: &TrafficStatus) -> fmt::Result {
        let TrafficStatus {
            requests_per_second,
            errors_per_second,
            bytes_per_second,
            p50_ms,
            p99_ms,
        } = traffic;
        let errors = if *errors_per_second > 0.0 {
            " class=bad"
        } else {
            ""
        };
        let bytes = Bytes(*bytes_per_second as u64);
        write!(
            self.0,
            "<td data-label=requests>{}<td data-label=errors{errors}>{}<td data-label=p50>{}\
             <td data-label=p99>{}<td data-label=bytes>{bytes}/s",
            rate(*requests_per_second),
            rate(*errors_per_second),
            millis(*p50_ms),
            millis(*p99_ms),
        )
    }
}

/// Requests in a second, as exact as it is of use.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0/s".to_owned(),
        rate if rate < 0.1 => format!("{rate:.2}/s"),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{rate:.0}/s"),
    }
}

fn millis(millis: Option<f64>) -> String {
    match millis {
        None => "–".to_owned(),
        Some(millis) if millis < 1.0 => "&lt; 1 ms".to_owned(),
        Some(millis) if millis < 1000.0 => format!("{millis:.0} ms"),
        Some(millis) => format!("{:.1} s", millis / 1000.0),
    }
}
