//! One zot's configuration, sync aside.

use std::time::Duration;

use super::super::facts::{Facts, ReplicaFile};
use super::super::finding::{Finding, Kind};
use super::fleet::bound;
use super::in_file;
use crate::cli::import::tree::{Tree, Value};

/// What zot listens on where nothing is written.
const ADDRESS: &str = "127.0.0.1";
const DRIVER: &[&str] = &["storage", "storageDriver"];

pub(super) fn diagnose(facts: &Facts<'_>, replica: &ReplicaFile) -> Vec<Finding> {
    let tree = &replica.tree;
    let mut found = Vec::new();
    for (kind, key) in [(Kind::ZotGc, "gc"), (Kind::ZotDedupe, "dedupe")] {
        found.extend(not_off(kind, key, replica));
    }
    let remote = tree.at(DRIVER).is_some();
    let local_cache = tree.at(&["storage", "cacheDriver"]).is_none()
        && tree.text(&["storage", "remoteCache"]) != Some("false");
    if remote && local_cache {
        found.push(in_file(
            Kind::ZotCache,
            replica,
            &["storage"],
            "storage.cacheDriver is not set",
        ));
    }
    let address = tree.text(&["http", "address"]).unwrap_or(ADDRESS);
    found.extend(bound(replica, &["http", "address"], address));
    for key in ["readTimeout", "writeTimeout"] {
        found.extend(short(replica, key, facts.config.timeouts.commit));
    }
    if facts.config.may_have_peers() {
        found.extend(sessions(replica));
    }
    let cve = ["extensions", "search", "cve"];
    if remote && tree.is_enabled(&["extensions", "search"]) && tree.at(&cve).is_some() {
        found.push(in_file(
            Kind::ZotScan,
            replica,
            &cve,
            "extensions.search.cve is set",
        ));
    }
    found
}

/// A switch of the storage and of each sub-path that is on by default.
fn not_off(kind: Kind, key: &str, replica: &ReplicaFile) -> Vec<Finding> {
    let tree = &replica.tree;
    let subpaths = tree
        .at(&["storage", "subPaths"])
        .map(Tree::entries)
        .unwrap_or_default();
    let sections = subpaths
        .iter()
        .map(|(name, _)| vec!["storage", "subPaths", name.as_str()]);
    let sections = std::iter::once(vec!["storage"]).chain(sections);
    let fault = |section: Vec<&str>| {
        let path = [section.as_slice(), &[key]].concat();
        let what = match tree.text(&path) {
            Some("false") => return None,
            Some(value) => format!("{} is {value}", path.join(".")),
            None => format!("{} is not set, which is true", path.join(".")),
        };
        Some(in_file(kind, replica, &path, what))
    };
    sections.filter_map(fault).collect()
}

/// A limit on whole requests.
fn short(replica: &ReplicaFile, key: &str, least: Duration) -> Option<Finding> {
    let path = ["http", key];
    let what = match replica.tree.text(&path) {
        None => format!("http.{key} is not set, which is 60s"),
        Some(text) => match duration(text) {
            Some(limit) if limit.is_zero() || limit >= least => return None,
            Some(_) => format!("http.{key} is {text}"),
            None => format!("http.{key} is {text}, which is no duration"),
        },
    };
    Some(in_file(Kind::ZotTimeouts, replica, &path, what))
}

/// A duration as Go reads it: `1h30m`, `0.5s`, or nanoseconds without a unit.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if let Ok(nanos) = text.parse() {
        return Some(Duration::from_nanos(nanos));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Sessions of browsers: kept by name and password, LDAP or OpenID, and signed by keys that each zot makes up.
fn sessions(replica: &ReplicaFile) -> Option<Finding> {
    let auth = replica.tree.at(&["http", "auth"])?;
    let logs_in = ["htpasswd", "ldap", "openid"]
        .iter()
        .find(|key| auth.at(&[key]).is_some())?;
    let browsers = *logs_in == "openid" || replica.tree.is_enabled(&["extensions", "ui"]);
    let shared = auth.text(&["sessionKeysFile"]).is_some()
        || auth
            .text(&["sessionDriver", "name"])
            .is_some_and(|name| name.eq_ignore_ascii_case("redis"));
    if !browsers || shared {
        return None;
    }
    let what = match auth.at(&["sessionDriver"]).map(|driver| &driver.value) {
        Some(Value::Map(_)) => "http.auth.sessionDriver is none that replicas share",
        _ => "neither http.auth.sessionKeysFile nor http.auth.sessionDriver is set",
    };
    Some(in_file(Kind::ZotSessions, replica, &["http", "auth"], what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        for (text, millis) in [
            ("0s", Some(0)),
            ("1h30m", Some(5_400_000)),
            ("0.5s", Some(500)),
            ("250ms", Some(250)),
            ("60000000000", Some(60_000)),
            ("1 h", None),
            ("h", None),
            ("5", Some(0)),
            ("1.s.", None),
        ] {
            let read = duration(text).map(|duration| duration.as_millis());
            assert_eq!(read, millis, "{text}");
        }
    }
}
