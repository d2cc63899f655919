//! How a member and its cluster are, in sentences: the same words on the page and in the terminal.
//!
//! Derived from the status document alone, which is also how a member of another version is judged.

use super::status::{
    CertificateStatus, CircuitStatus, HealthStatus, MemberStatus, ReloadStatus, Status,
};
use crate::observe::human::{self, NAMED, day, duration};
use serde::Serialize;

/// A certificate is worth a word so long before its end, in seconds.
const CERTIFICATE_NOTICE: i64 = 14 * 86_400;

/// What is to be said first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// The worst of its sentences.
    pub severity: Severity,
    /// At least one, worst first.
    pub sentences: Vec<Sentence>,
}

/// One thing that is to be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sentence {
    pub severity: Severity,
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing to do.
    Good,
    /// To be looked at.
    Warning,
    /// Clients notice.
    Bad,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

impl MemberStatus {
    /// Whether its repositories cannot be written: it does not answer, or its circuit is open.
    pub(crate) fn is_away(&self) -> bool {
        self.health == HealthStatus::Down || self.circuit == CircuitStatus::Open
    }
}

/// What is to be said about a member and its cluster.
pub(crate) fn verdict(status: &Status) -> Verdict {
    let mut said = Said(Vec::new());
    said.members(status);
    said.share(status);
    said.reload(status);
    said.certificates(status);
    said.writes(status);
    said.going(status);
    said.rest(status);
    let Said(mut sentences) = said;
    if sentences.is_empty() {
        sentences.push(all_is_well(status));
    }
    // Stable: what was said first of one severity stays first.
    sentences.sort_by_key(|sentence| std::cmp::Reverse(sentence.severity));
    let severity = sentences
        .first()
        .map_or(Severity::Good, |worst| worst.severity);
    Verdict {
        severity,
        sentences,
    }
}

struct Said(Vec<Sentence>);

impl Said {
    fn bad(&mut self, text: String) {
        self.say(Severity::Bad, text);
    }

    fn warn(&mut self, text: String) {
        self.say(Severity::Warning, text);
    }

    fn say(&mut self, severity: Severity, text: String) {
        self.0.push(Sentence { severity, text });
    }

    /// Who does not answer, for how long and why.
    fn members(&mut self, status: &Status) {
        let members = &status.view.members;
        let down: Vec<&MemberStatus> = members
            .iter()
            .filter(|member| member.health == HealthStatus::Down)
            .collect();
        if down.len() > NAMED {
            let names = names(&down);
            self.bad(format!(
                "{} of {} members do not answer: {names}.",
                down.len(),
                members.len()
            ));
        } else {
            down.into_iter().for_each(|member| self.bad(silent(member)));
        }
        let opened: Vec<&MemberStatus> = members
            .iter()
            .filter(|member| {
                member.circuit == CircuitStatus::Open && member.health != HealthStatus::Down
            })
            .collect();
        if !opened.is_empty() {
            let names = names(&opened);
            self.bad(format!(
                "Requests to {names} failed again and again: none is sent there for now."
            ));
        }
        let trials = members.iter().filter(|member| {
            member.circuit == CircuitStatus::HalfOpen && member.health != HealthStatus::Down
        });
        let trials: Vec<&MemberStatus> = trials.collect();
        if !trials.is_empty() {
            let names = names(&trials);
            self.warn(format!(
                "Requests to {names} failed: the next one is a trial."
            ));
        }
    }

    /// What that means for clients.
    fn share(&mut self, status: &Status) {
        let away = status.view.members.iter().filter(|member| member.is_away());
        let share: f64 = away.map(|member| member.share).sum();
        if share > 0.0 {
            let what = match status.owner_down.as_str() {
                "reject" => "can be neither read nor written",
                _ => "are read-only",
            };
            // Never "0 %" of something, nor all of it while a part is left.
            let percent = (share * 100.0).round().clamp(1.0, 100.0);
            let percent = if share < 0.999 {
                percent.min(99.0)
            } else {
                percent
            };
            self.bad(format!("{percent} % of repositories {what}."));
        }
    }

    fn reload(&mut self, status: &Status) {
        let configuration = &status.configuration;
        if let Some(ReloadStatus { at, problems, .. }) = configuration.refused() {
            let first = problems.iter().find_map(|problem| problem.lines().next());
            let first = first.unwrap_or("no reason was told");
            let since = &configuration.loaded_at;
            self.bad(format!(
                "The changed configuration is not in force. It was refused at {at}: {first}. \
                 The one of {since} goes on."
            ));
        }
        for key in &configuration.needs_restart {
            self.warn(format!("{key} has changed and waits for a restart."));
        }
    }

    fn certificates(&mut self, status: &Status) {
        // A member of an earlier version does not tell its time.
        if status.now_unix == 0 {
            return;
        }
        for CertificateStatus { name, expires_unix } in &status.certificates {
            let left = expires_unix.saturating_sub(status.now_unix);
            let (name, at) = (certificate_name(name), day(*expires_unix));
            if left <= 0 {
                self.bad(format!("{name} has expired on {at}."));
            } else if left < CERTIFICATE_NOTICE {
                let left = duration(left.unsigned_abs());
                self.warn(format!("{name} expires in {left}, on {at}."));
            }
        }
    }

    fn writes(&mut self, status: &Status) {
        // A warning that says so already may name several members.
        let told = |words: [&str; 2]| {
            let mut warnings = status.warnings.iter();
            warnings.any(|warning| words.iter().all(|word| warning.contains(word)))
        };
        // What a dead member had as its view is no news.
        let differs = status.view.members.iter().filter(|member| {
            member.health != HealthStatus::Down && member.same_view == Some(false)
        });
        for MemberStatus { id, .. } in differs.filter(|member| !told([&member.id, "view"])) {
            self.warn(format!(
                "{id} has another view: writes on which the two disagree wait, then are refused."
            ));
        }
        if !status.writes.ready && !told(["it is not known yet", "writes wait"]) {
            self.warn(
                "It is not known yet what other members may be writing: writes wait.".to_owned(),
            );
        }
        match status.writes.held {
            0 => {}
            1 => self.warn("1 request waits for its owner.".to_owned()),
            held => self.warn(format!("{held} requests wait for their owner.")),
        }
        let replica = &status.replica;
        if replica.queued > 0 {
            self.warn(format!(
                "The replica works on {} of {} requests, and {} wait for a place.",
                replica.in_flight, replica.in_flight_limit, replica.queued
            ));
        }
    }

    fn going(&mut self, status: &Status) {
        if status.draining {
            self.warn("This member drains: it takes no new work.".to_owned());
        }
        let peers = status.view.members.iter().filter(|member| {
            member.draining && !member.local && member.health != HealthStatus::Down
        });
        for MemberStatus { id, .. } in peers {
            self.warn(format!("{id} drains: it takes no new work."));
        }
        let unknown = status
            .view
            .members
            .iter()
            .filter(|member| member.health == HealthStatus::Unknown);
        let unknown: Vec<&MemberStatus> = unknown.collect();
        if !unknown.is_empty() {
            let names = names(&unknown);
            self.warn(format!("It is not known yet whether {names} answers."));
        }
    }

    fn rest(&mut self, status: &Status) {
        for warning in &status.warnings {
            self.warn(sentence(warning));
        }
        if !status.ready && self.0.is_empty() {
            self.bad("This member is not ready for clients; /readyz?verbose says why.".to_owned());
        }
    }
}

fn all_is_well(status: &Status) -> Sentence {
    let text = match status.view.members.len() {
        1 => "The only member answers, and every repository can be read and written.".to_owned(),
        2 => "Both members answer, and every repository can be read and written.".to_owned(),
        all => format!("All {all} members answer, and every repository can be read and written."),
    };
    Sentence {
        severity: Severity::Good,
        text,
    }
}

/// "zot-2 has not answered for 4m 10s: connection refused."
fn silent(member: &MemberStatus) -> String {
    let MemberStatus { id, local, .. } = member;
    let what = match (local, member.why.as_deref()) {
        (true, _) => format!("The replica of {id}, this member,"),
        (false, Some("its replica is down")) => {
            return match member.since_seconds {
                Some(seconds) => format!("The replica of {id} is down for {}.", duration(seconds)),
                None => format!("The replica of {id} is down."),
            };
        }
        (false, _) => id.clone(),
    };
    let why = match member.why.as_deref() {
        Some(why) => format!(": {}.", why.trim_end_matches('.')),
        None => ".".to_owned(),
    };
    match member.silent_seconds {
        Some(seconds) => format!("{what} has not answered for {}{why}", duration(seconds)),
        None => format!("{what} has not answered yet{why}"),
    }
}

fn names(members: &[&MemberStatus]) -> String {
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    human::names(&ids)
}

fn certificate_name(name: &str) -> String {
    match name {
        "clients" => "The certificate for clients".to_owned(),
        "member" => "The certificate for peers".to_owned(),
        other => format!("The certificate {other}"),
    }
}

/// A warning with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::{healthy, sample};

    fn said(status: &Status) -> Vec<String> {
        let said = verdict(status).sentences;
        said.into_iter().map(|sentence| sentence.text).collect()
    }

    fn down(status: &mut Status, at: usize, why: &str, seconds: u64) {
        let member = &mut status.view.members[at];
        member.health = HealthStatus::Down;
        member.why = Some(why.to_owned());
        (member.since_seconds, member.silent_seconds) = (Some(seconds), Some(seconds));
    }

    #[test]
    fn a_healthy_cluster_is_said_to_be_one() {
        let status = healthy();
        assert_eq!(verdict(&status).severity, Severity::Good);
        assert_eq!(
            said(&status),
            ["All 3 members answer, and every repository can be read and written."]
        );
    }

    #[test]
    fn a_dead_member_comes_first_with_its_reason_and_what_it_means() {
        let mut status = healthy();
        down(&mut status, 1, "connection refused", 250);
        status.writes.held = 2;
        assert_eq!(verdict(&status).severity, Severity::Bad);
        assert_eq!(
            said(&status),
            [
                "zot-2 has not answered for 4m 10s: connection refused.",
                "25 % of repositories are read-only.",
                "2 requests wait for their owner."
            ]
        );
        status.owner_down = "reject".to_owned();
        let means = &said(&status)[1];
        assert_eq!(
            means,
            "25 % of repositories can be neither read nor written."
        );
    }

    #[test]
    fn nothing_that_a_dead_member_told_is_taken_for_news() {
        let mut status = healthy();
        status.view.members[1].same_view = Some(false);
        status.view.members[1].draining = true;
        assert_eq!(said(&status).len(), 2);
        down(&mut status, 1, "no answer in time", 9);
        assert_eq!(
            said(&status),
            [
                "zot-2 has not answered for 9s: no answer in time.",
                "25 % of repositories are read-only."
            ]
        );
    }

    #[test]
    fn replicas_are_told_apart_from_members() {
        let mut status = healthy();
        down(&mut status, 0, "it answered 500", 61);
        down(&mut status, 1, "its replica is down", 30);
        assert_eq!(
            said(&status)[..2],
            [
                "The replica of zot-1, this member, has not answered for 1m 1s: it answered 500.",
                "The replica of zot-2 is down for 30s."
            ]
        );
    }

    #[test]
    fn many_are_counted_and_some_named() {
        let mut status = healthy();
        let one = status.view.members[1].clone();
        status.view.members = (1..=100)
            .map(|n| MemberStatus {
                id: format!("zot-{n}"),
                share: 0.01,
                local: n == 1,
                ..one.clone()
            })
            .collect();
        (1..100).for_each(|at| down(&mut status, at, "connection refused", 5));
        assert_eq!(
            said(&status),
            [
                "99 of 100 members do not answer: zot-2, zot-3, zot-4 and 96 more.",
                "99 % of repositories are read-only."
            ]
        );
    }

    #[test]
    fn certificates_are_told_before_their_end_and_after() {
        let mut status = healthy();
        let expires = status.certificates[0].expires_unix;
        status.now_unix = expires - 3 * 86_400;
        assert_eq!(
            said(&status),
            ["The certificate for peers expires in 3d 0h, on 2030-03-17."]
        );
        status.now_unix = expires;
        assert_eq!(verdict(&status).severity, Severity::Bad);
        status.now_unix = expires - CERTIFICATE_NOTICE;
        assert_eq!(verdict(&status).severity, Severity::Good);
    }

    #[test]
    fn everything_at_once_is_pinned() {
        let told = verdict(&sample());
        insta::assert_snapshot!(
            told.sentences
                .iter()
                .map(|sentence| format!("{}: {}\n", sentence.severity.as_str(), sentence.text))
                .collect::<String>()
        );
    }
}
