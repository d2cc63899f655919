//! HAProxy's timeouts, which are milliseconds unless a unit is written, to ours.

use std::collections::BTreeMap;

use super::model::{Model, Section};
use crate::cli::import::draft::Draft;
use crate::cli::import::notes::Notes;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The default of `timeouts.commit`.
const COMMIT: u64 = 5 * MINUTE;

/// What a timeout becomes: HAProxy's name, section and key, and the range that it may have.
const CARRIED: &[(&str, &str, &str, u64, u64)] = &[
    ("connect", "timeouts", "connect", 10, 5 * MINUTE),
    (
        "http-request",
        "timeouts",
        "request_header",
        100,
        10 * MINUTE,
    ),
    ("http-keep-alive", "timeouts", "keepalive", SECOND, DAY),
    ("check", "probes", "timeout", 10, 5 * MINUTE),
];

/// Milliseconds.
fn parse(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "us" => return Some(number.div_ceil(1000)),
        "" | "ms" => 1,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// In the largest unit that takes no fraction.
fn shown(milliseconds: u64) -> String {
    for (unit, name) in [(HOUR, "h"), (MINUTE, "m"), (SECOND, "s")] {
        if milliseconds >= unit && milliseconds.is_multiple_of(unit) {
            return format!("{}{name}", milliseconds / unit);
        }
    }
    format!("{milliseconds}ms")
}

/// Takes a time of a server's check, if it is one that a probe can have.
pub(super) fn keep(value: &str, key: &'static str, probes: &mut BTreeMap<&'static str, String>) {
    if let Some(time) = parse(value).filter(|time| (100..=HOUR).contains(time)) {
        probes.insert(key, shown(time));
    }
}

/// Carries timeouts over, and notes those that have no like.
pub(super) fn convert(
    model: &Model,
    front: &Section,
    backends: &[&Section],
    draft: &mut Draft,
    notes: &mut Notes,
) {
    let mut found: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for section in model.about(front, backends) {
        if section.kind == "global" {
            continue;
        }
        for line in section.all(&["timeout"]) {
            match parse(line.word(2)) {
                Some(time) => drop(found.insert(line.word(1).to_owned(), (time, line.number))),
                None => notes.at(
                    line.number,
                    format!("timeout {}: {} is no time", line.word(1), line.word(2)),
                ),
            }
        }
    }
    let mut timeouts = Vec::new();
    for (name, section, key, least, most) in CARRIED {
        if let Some((time, line)) = found.remove(*name) {
            let kept = within(time, *least, *most, name, line, notes);
            timeouts.push((*section, *key, shown(kept)));
        }
    }
    if let Some((time, line)) = found.remove("queue") {
        let kept = within(time, 1, 10 * MINUTE, "queue", line, notes);
        queue(draft, &shown(kept));
    }
    let (client, server) = (found.remove("client"), found.remove("server"));
    if let Some((time, line)) = [client, server].into_iter().flatten().max() {
        let kept = within(time, SECOND, DAY, "client and server", line, notes);
        timeouts.push(("timeouts", "idle", shown(kept)));
        if kept > COMMIT {
            timeouts.push(("timeouts", "commit", shown(kept)));
        }
    }
    if let Some((time, line)) = server {
        notes.at(
            line,
            format!(
                "timeout server {} also cut pushes that the replica was slow to answer: the sidecar gives those \
                 `timeouts.commit`, and a HAProxy that stays in front needs as much",
                shown(time)
            ),
        );
    }
    draft.settings.extend(timeouts);
    for (name, (_, line)) in found {
        notes.at(
            line,
            format!("timeout {name} is not carried over: the sidecar has no such limit"),
        );
    }
}

fn within(time: u64, least: u64, most: u64, name: &str, line: usize, notes: &mut Notes) -> u64 {
    let kept = time.clamp(least, most);
    if kept != time {
        notes.at(
            line,
            format!(
                "timeout {name} becomes {}, since {} is out of range",
                shown(kept),
                shown(time)
            ),
        );
    }
    kept
}

/// `registry.queue` is one mapping: its limit may be written already.
fn queue(draft: &mut Draft, timeout: &str) {
    let written = draft
        .settings
        .iter_mut()
        .find(|(section, key, _)| (*section, *key) == ("registry", "queue"));
    match written {
        Some((_, _, value)) => *value = value.replace(" }", &format!(", timeout: {timeout} }}")),
        None => draft
            .settings
            .push(("registry", "queue", format!("{{ timeout: {timeout} }}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_units() {
        for (text, time) in [
            ("5000", Some("5s")),
            ("50s", Some("50s")),
            ("1500us", Some("2ms")),
            ("90s", Some("90s")),
            ("2m", Some("2m")),
            ("1d", Some("24h")),
            ("1500ms", Some("1500ms")),
            ("60000", Some("1m")),
            ("", None),
            ("5x", None),
            ("s", None),
            ("99999999999999999999", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(parse(text).map(shown).as_deref(), time, "{text}");
        }
    }
}
