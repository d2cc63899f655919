//! One good fleet, of which each case spoils one thing: exactly that is found.

mod leases;
mod sync;

use super::super::facts::{Certificate, Peer, Told};
use super::super::finding::Meaning;
use super::*;
use crate::cli::import::tree;
use crate::cli::machine::{Identity, load};
use crate::config::{Config, SourceName};
use crate::operate::Status;
use crate::operate::status::{HealthStatus, ReloadStatus};
use crate::operate::tests::sample;
use crate::shard::Description;
use std::collections::BTreeSet;

const DAY: i64 = 24 * 3600;
const PROXY: &str = "member: zot-1\n\
    registry: { address: 127.0.0.1:5001 }\n\
    cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  placement: zot\n  members:\n    \
    - { id: zot-1, address: 10.0.0.1:5443 }\n    - { id: zot-2, address: 10.0.0.2:5443 }\n  \
    pins: [{ prefix: mirror, member: zot-1 }]\n";
const ZOT: &str = r#"{
  "distSpecVersion": "1.1.1",
  "storage": { "dedupe": false, "gc": false, "storageDriver": { "name": "s3", "bucket": "one" }, "cacheDriver": { "name": "redis" } },
  "http": { "address": "127.0.0.1", "port": "5001", "readTimeout": "0s", "writeTimeout": "1h" }
}"#;
const DISTRIBUTION: &str = "version: 0.1\nstorage:\n  s3:\n    bucket: one\nhttp:\n  addr: 127.0.0.1:5001\n  secret: one for all\n";

fn configured(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.yaml");
    std::fs::write(&file, text).unwrap();
    load(&SourceName::File(file), None, Identity::Needed).unwrap()
}

fn replica(member: &str, text: &str) -> ReplicaFile {
    ReplicaFile {
        member: member.to_owned(),
        file: format!("{member}.json"),
        reached_over_network: false,
        tree: tree::parse(text).unwrap(),
    }
}

fn status(config: &Config) -> Status {
    let mut status = sample();
    status.view.fingerprint = config.view.fingerprint().to_string();
    status.configuration.last_reload = None;
    status.replica.health = HealthStatus::Up;
    status
}

fn told(config: &Config) -> Told {
    Told {
        member: "zot-2".to_owned(),
        replica_up: true,
        lease: None,
        view: config.view.fingerprint().to_string(),
        description: Some(config.view.describe()),
        clock_ahead: Some(4.9),
    }
}

fn good(config: &Config) -> Facts<'_> {
    Facts {
        config,
        local: "zot-1".to_owned(),
        now: 20_000 * DAY,
        sidecar: Ok(status(config)),
        replica_fault: None,
        exposed_at: Vec::new(),
        peers: vec![Peer {
            id: "zot-2".to_owned(),
            address: "10.0.0.2:5443".to_owned(),
            answer: Ok(told(config)),
        }],
        certificates: vec![Certificate {
            name: "member".to_owned(),
            expires: 20_014 * DAY,
        }],
        stored: None,
        replicas: vec![replica("zot-1", ZOT), replica("zot-2", ZOT)],
        stores_elsewhere: Vec::new(),
        not_checked: Vec::new(),
    }
}

/// Exactly this is found, at this place, and the text says so.
fn found(facts: &Facts<'_>, kind: Kind, place: &str, says: &str) {
    let findings = diagnose(facts);
    let [finding] = findings.as_slice() else {
        panic!("{says}: {findings:?}");
    };
    assert_eq!(
        (finding.kind, finding.place.as_str()),
        (kind, place),
        "{finding:?}"
    );
    assert!(finding.what.contains(says), "{says}: {finding:?}");
}

/// The good fleet with one thing spoilt.
fn spoilt(kind: Kind, place: &str, says: &str, spoil: impl FnOnce(&mut Facts<'_>)) {
    let config = configured(PROXY);
    let mut facts = good(&config);
    spoil(&mut facts);
    found(&facts, kind, place, says);
}

/// One zot's configuration, in which one thing is written otherwise, beside this proxy.yaml.
fn zot_says(proxy: &str, from: &str, to: &str) -> Vec<Finding> {
    let config = configured(proxy);
    let mut facts = good(&config);
    assert!(ZOT.contains(from), "{from}");
    facts.replicas = vec![replica("zot-1", &ZOT.replace(from, to))];
    diagnose(&facts)
}

fn kinds(findings: &[Finding]) -> Vec<Kind> {
    findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let config = configured(PROXY);
    let mut facts = good(&config);
    assert_eq!(diagnose(&facts), []);
    facts.replicas = vec![
        replica("zot-1", DISTRIBUTION),
        replica("zot-2", DISTRIBUTION),
    ];
    assert_eq!(diagnose(&facts), []);
    // In a container, a replica listens on every address of a network that is its own.
    let mut inside = replica("zot-1", &ZOT.replace("127.0.0.1", "0.0.0.0"));
    inside.reached_over_network = true;
    facts.replicas = vec![inside];
    assert_eq!(diagnose(&facts), []);
}

#[test]
fn the_sidecar_and_its_file() {
    spoilt(
        Kind::SidecarUnreachable,
        "zot-1",
        "nobody listens there",
        |facts| {
            facts.sidecar = Err("127.0.0.1:9900: nobody listens there".to_owned());
        },
    );
    spoilt(
        Kind::ConfigurationNotLoaded,
        "zot-1",
        "was refused: line 3",
        |facts| {
            let reload = ReloadStatus {
                at: "2026-11-28T14:00:00Z".to_owned(),
                taken: false,
                problems: vec!["line 3\nmore".to_owned()],
            };
            let Ok(status) = &mut facts.sidecar else {
                return;
            };
            status.configuration.last_reload = Some(reload);
        },
    );
    spoilt(
        Kind::ConfigurationNotLoaded,
        "zot-1",
        "it runs with view",
        |facts| {
            let Ok(status) = &mut facts.sidecar else {
                return;
            };
            status.view.fingerprint = "00".repeat(16);
            facts.peers.clear();
        },
    );
}

#[test]
fn replicas_that_are_down() {
    spoilt(
        Kind::ReplicaDown,
        "zot-1",
        "it refuses connections",
        |facts| {
            facts.replica_fault = Some("it refuses connections".to_owned());
        },
    );
    spoilt(Kind::ReplicaDown, "zot-1", "probes.path", |facts| {
        let Ok(status) = &mut facts.sidecar else {
            return;
        };
        status.replica.health = HealthStatus::Down;
    });
    spoilt(Kind::ReplicaDown, "zot-2", "its replica is down", |facts| {
        let Ok(told) = &mut facts.peers[0].answer else {
            return;
        };
        told.replica_up = false;
    });
}

#[test]
fn peers_that_are_not_reached() {
    spoilt(
        Kind::MemberUnreachable,
        "zot-2",
        "at 10.0.0.2:5443: it refuses",
        |facts| {
            facts.peers[0].answer = Err("it refuses connections".to_owned());
        },
    );
    spoilt(
        Kind::MemberUnreachable,
        "zot-2",
        "zot-3 answers at its address",
        |facts| {
            let Ok(told) = &mut facts.peers[0].answer else {
                return;
            };
            told.member = "zot-3".to_owned();
        },
    );
}

#[test]
fn other_views_and_keys() {
    let other = |change: fn(String) -> String| {
        let config = configured(&change(PROXY.to_owned()));
        (
            config.view.fingerprint().to_string(),
            config.view.describe(),
        )
    };
    let tell = |facts: &mut Facts<'_>, (view, description): (String, Description)| {
        let Ok(told) = &mut facts.peers[0].answer else {
            return;
        };
        (told.view, told.description) = (view, Some(description));
    };
    let key = other(|text| text.replace("loremipsumdolors", "dolorsloremipsum"));
    spoilt(Kind::HashKeyDiffers, "zot-2", "another hash key", |facts| {
        tell(facts, key)
    });
    let placement = other(|text| text.replace("placement: zot", "placement: rendezvous"));
    spoilt(Kind::ViewDiffers, "zot-2", "placement", |facts| {
        tell(facts, placement)
    });
    let pins = other(|text| text.replace("mirror", "team"));
    spoilt(Kind::ViewDiffers, "zot-2", "it has", |facts| {
        tell(facts, pins)
    });
    // Without words, or beside a sidecar that runs with another file, the fingerprint has to do.
    spoilt(Kind::ViewDiffers, "zot-2", "its view is 0000", |facts| {
        let Ok(told) = &mut facts.peers[0].answer else {
            return;
        };
        (told.view, told.description) = ("0".repeat(32), None);
    });
}

#[test]
fn clocks_and_certificates() {
    for (ahead, says) in [(5.1, "5 s ahead of"), (-90.0, "90 s behind")] {
        spoilt(Kind::ClockSkew, "zot-2", says, |facts| {
            let Ok(told) = &mut facts.peers[0].answer else {
                return;
            };
            told.clock_ahead = Some(ahead);
        });
    }
    for (days, says) in [
        (13, "it expires on 2024-10-17"),
        (-1, "it expired on 2024-10-03"),
    ] {
        spoilt(Kind::CertificateExpires, "member", says, |facts| {
            facts.certificates[0].expires = facts.now + days * DAY;
        });
    }
}

#[test]
fn replicas_that_others_reach() {
    spoilt(
        Kind::ReplicaReachable,
        "zot-1",
        "at 10.0.0.1:5001 and 10.1.0.1:5001",
        |facts| {
            facts.exposed_at = vec!["10.0.0.1:5001".to_owned(), "10.1.0.1:5001".to_owned()];
        },
    );
    spoilt(
        Kind::ReplicaReachable,
        "zot-1.json:4",
        "http.address is 0.0.0.0",
        |facts| {
            facts.replicas = vec![replica("zot-1", &ZOT.replace("127.0.0.1", "0.0.0.0"))];
        },
    );
    for address in [":5001", "[::]:5001"] {
        spoilt(
            Kind::ReplicaReachable,
            "zot-1.json:6",
            "http.addr is",
            |facts| {
                let text = DISTRIBUTION.replace("127.0.0.1:5001", &format!("'{address}'"));
                facts.replicas = vec![replica("zot-1", &text)];
            },
        );
    }
}

#[test]
fn storage_that_is_not_shared() {
    spoilt(Kind::StorageDiffers, "zot-2", "is not in", |facts| {
        let what = "a blob is not in the replica of zot-1".to_owned();
        facts.stores_elsewhere = vec![("zot-2".to_owned(), what)];
    });
    spoilt(
        Kind::StorageDiffers,
        "zot-2.json:3",
        "bucket two",
        |facts| {
            facts.replicas[1] = replica("zot-2", &ZOT.replace("\"one\"", "\"two\""));
        },
    );
    spoilt(
        Kind::StorageDiffers,
        "zot-2.json:2",
        "bucket two",
        |facts| {
            let other = DISTRIBUTION.replace("bucket: one", "bucket: two");
            facts.replicas = vec![replica("zot-1", DISTRIBUTION), replica("zot-2", &other)];
        },
    );
}

#[test]
fn distribution() {
    for (to, place, says) in [
        ("", "zot-2.json:5", "is not set"),
        ("  secret: other\n", "zot-2.json:7", "not that of"),
    ] {
        spoilt(Kind::DistributionSecret, place, says, |facts| {
            let other = DISTRIBUTION.replace("  secret: one for all\n", to);
            facts.replicas = vec![replica("zot-1", DISTRIBUTION), replica("zot-2", &other)];
        });
    }
    for key in ["blobdescriptor", "layerinfo"] {
        spoilt(
            Kind::DistributionCache,
            "zot-1.json:3",
            "is inmemory",
            |facts| {
                let cache = format!("storage:\n  cache: {{ {key}: inmemory }}\n");
                let text = DISTRIBUTION.replace("storage:\n", &cache);
                facts.replicas = vec![replica("zot-1", &text)];
            },
        );
    }
}

#[test]
fn what_zot_does_by_itself_and_for_how_long() {
    for (from, to, kind) in [
        ("\"gc\": false", "\"gc\": true", Kind::ZotGc),
        ("\"gc\": false, ", "", Kind::ZotGc),
        (
            "\"gc\": false",
            "\"gc\": false, \"subPaths\": { \"/a\": { \"dedupe\": false } }",
            Kind::ZotGc,
        ),
        ("\"dedupe\": false, ", "", Kind::ZotDedupe),
        (
            ", \"cacheDriver\": { \"name\": \"redis\" }",
            "",
            Kind::ZotCache,
        ),
        ("\"readTimeout\": \"0s\", ", "", Kind::ZotTimeouts),
        (
            "\"readTimeout\": \"0s\"",
            "\"readTimeout\": \"299s\"",
            Kind::ZotTimeouts,
        ),
        (", \"writeTimeout\": \"1h\"", "", Kind::ZotTimeouts),
        (
            "\n}",
            ", \"extensions\": { \"search\": { \"cve\": {} } }\n}",
            Kind::ZotScan,
        ),
    ] {
        assert_eq!(kinds(&zot_says(PROXY, from, to)), [kind], "{to}");
    }
    let cached = (
        "\"cacheDriver\": { \"name\": \"redis\" }",
        "\"remoteCache\": false",
    );
    assert_eq!(zot_says(PROXY, cached.0, cached.1), []);
    let several = zot_says(
        PROXY,
        "\"readTimeout\": \"0s\", \"writeTimeout\": \"1h\"",
        "\"x\": 1",
    );
    assert_eq!(kinds(&several), [Kind::ZotTimeouts, Kind::ZotTimeouts]);
}

#[test]
fn sessions_of_browsers() {
    let with = |auth: &str| {
        let auth = format!(
            "\"writeTimeout\": \"1h\", \"auth\": {{ {auth} }} }}, \"extensions\": {{ \"ui\": {{ \"enable\": true }}"
        );
        kinds(&zot_says(PROXY, "\"writeTimeout\": \"1h\"", &auth))
    };
    assert_eq!(
        with("\"htpasswd\": { \"path\": \"p\" }"),
        [Kind::ZotSessions]
    );
    assert_eq!(
        with("\"openid\": {}, \"sessionDriver\": { \"name\": \"local\" }"),
        [Kind::ZotSessions]
    );
    assert_eq!(
        with("\"htpasswd\": {}, \"sessionDriver\": { \"name\": \"redis\" }"),
        []
    );
    assert_eq!(
        with("\"htpasswd\": {}, \"sessionKeysFile\": \"keys.json\""),
        []
    );
    assert_eq!(with("\"bearer\": {}"), []);
}

#[test]
fn the_documentation_is_the_table() {
    let row = |kind: &Kind| {
        let Meaning {
            id,
            when,
            why,
            remedy,
        } = kind.meaning();
        format!("| `{id}` | {when} | {why} | {remedy} |\n")
    };
    let table: String = Kind::ALL.iter().map(row).collect();
    let head = "| id | found when | why it matters | what to do |\n|---|---|---|---|\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(head).unwrap();
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let wanted = format!("{before}{head}{table}\n{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page, wanted, "run the tests once with UPDATE_DOCS=1");
    let ids: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.meaning().id).collect();
    assert_eq!(ids.len(), Kind::ALL.len(), "an id stands twice");
}
