//! Messages that two readers may understand differently: the corpus of tests/corpus/smuggling, at
//! every listener, with a replica behind it that keeps every byte.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::cluster::replica::Record;
use crate::cluster::{Cluster, Connection, End, Plan, Step};
use frames::Told;

mod frames;

/// What must never be seen behind us.
const SMUGGLED: &str = "smuggled";
/// Behind every message that is refused or cut.
const BEHIND: &str = "GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: r\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One case of a corpus.
struct Case {
    title: String,
    expected: Vec<Expected>,
    /// The length of the last body that the replica sees, where that is of interest.
    body: Option<u64>,
    lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Served,
    /// By an answer of ours, if it is known which.
    Refused(Option<(u16, String)>),
    Cut,
    /// Refused, but perhaps after the head has gone on.
    One,
    /// Waited for until the client goes away.
    Starved,
}

fn corpus(folder: &str, extension: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let cases = text.split("\n\n").filter(|case| !case.trim().is_empty());
        cases
            .map(|case| Case::parse(&name, case))
            .collect::<Vec<_>>()
    };
    files.iter().flat_map(read).collect()
}

impl Case {
    fn parse(file: &str, text: &str) -> Self {
        let mut lines = text.trim_matches('\n').lines();
        let mut marked = |mark: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(mark));
            line.unwrap_or_else(|| panic!("no `{mark}` in {text:?}"))
                .to_owned()
        };
        let title = format!("{file}: {}", marked("# "));
        let mut case = Self {
            title,
            expected: Vec::new(),
            body: None,
            lines: Vec::new(),
        };
        let expected = marked("> ");
        let mut words = expected.split(' ');
        while let Some(word) = words.next() {
            match word {
                "200" => case.expected.push(Expected::Served),
                "starved" => case.expected.push(Expected::Starved),
                "one" => case.expected.push(Expected::One),
                "cut" => case.expected.push(Expected::Cut),
                "refused" => case.expected.push(Expected::Refused(None)),
                _ if word.starts_with("body=") => case.body = Some(word[5..].parse().unwrap()),
                status => {
                    let refusal = (status.parse().unwrap(), words.next().unwrap().to_owned());
                    case.expected.push(Expected::Refused(Some(refusal)));
                }
            }
        }
        case.lines = lines.map(str::to_owned).collect();
        case
    }

    fn served(&self) -> usize {
        self.expected
            .iter()
            .filter(|one| **one == Expected::Served)
            .count()
    }

    /// The bytes of an HTTP/1 case, and what stands behind it.
    fn bytes(&self, target: &str, peer: &str) -> Vec<u8> {
        let text = self.lines.concat();
        let mut bytes = unescaped(&text.replace("{target}", target).replace("{peer}", peer));
        if !matches!(
            self.expected.last(),
            Some(Expected::Served | Expected::Starved)
        ) {
            bytes.extend_from_slice(BEHIND.as_bytes());
        }
        bytes
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("an escape nobody knows: {other:?} in {text}"),
        });
    }
    bytes
}

/// A place where messages are sent.
struct Door {
    name: &'static str,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// The fields that one member sends to another.
    peer: String,
}

impl Door {
    async fn open(&self) -> Connection {
        match &self.tls {
            None => Connection::open(self.address).await,
            Some(tls) => Connection::open_tls(self.address, tls.clone())
                .await
                .unwrap(),
        }
    }
}

/// The listeners of a cluster with TLS, or those without.
fn doors(cluster: &Cluster) -> [Door; 2] {
    let addresses = cluster.at(0).addresses();
    let authority = &cluster.authority;
    let door = |name, address| Door {
        name,
        address,
        tls: None,
        peer: String::new(),
    };
    let (clients, admin) = (
        door("clients", addresses.clients),
        door("admin", addresses.admin),
    );
    if !cluster.plan().speaks_client_tls() {
        return [clients, admin];
    }
    let member = authority.sign(&["zot-1".into()]);
    let view = cluster.at(0).generation().view.fingerprint().to_string();
    let peers = Door {
        tls: Some(authority.client(Some(&member), &["http/1.1"])),
        peer: format!("X-Shardlet-View: {view}\\r\\nX-Shardlet-Member: zot-2\\r\\n"),
        ..door("peers", addresses.peers)
    };
    let clients = Door {
        tls: Some(authority.client(None, &["http/1.1"])),
        ..door("clients, TLS", addresses.clients)
    };
    [clients, peers]
}

async fn watched(plan: Plan) -> (Cluster, String) {
    let cluster = Cluster::start(plan).await;
    cluster.replica(0).steps([Step::ReadBody, Step::say(OK)]);
    cluster.replica(0).keep_bytes();
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    (cluster, target)
}

/// The replica saw as many requests with this target as it should.
fn check_replica(cluster: &Cluster, case: &Case, target: &str, what: &str) {
    let mut seen = cluster.replica(0).requests();
    seen.retain(|seen| seen.target == target);
    let most = match case.expected.last() {
        Some(Expected::Cut | Expected::One | Expected::Starved) => case.served() + 1,
        _ => case.served(),
    };
    assert!(
        (case.served()..=most).contains(&seen.len()),
        "{what}: {seen:?}"
    );
    if matches!(
        case.expected.last(),
        Some(Expected::Cut | Expected::Starved)
    ) {
        for cut in seen.iter().skip(case.served()) {
            let whole = cut.body.as_ref().is_some_and(|body| body.whole);
            assert!(!whole, "{what}: {cut:?}");
        }
    }
    if let Some(length) = case.body {
        let body = seen.last().and_then(|seen| seen.body.as_ref());
        let body = body.map(|body| (body.length, body.whole));
        assert_eq!(body, Some((length, true)), "{what}");
    }
    nothing_smuggled(cluster, what);
}

fn nothing_smuggled(cluster: &Cluster, what: &str) {
    let bytes = cluster.replica(0).bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains(SMUGGLED), "{what}: {text}");
}

async fn drive(cluster: &Cluster, door: &Door, case: &Case, target: &str) {
    let what = format!("{} at {}", case.title, door.name);
    let mut connection = door.open().await;
    connection.send(case.bytes(target, &door.peer)).await;
    for expected in &case.expected {
        match expected {
            Expected::Served => {
                let answer = connection.answer().await;
                assert_eq!((answer.status, answer.end), (200, End::Whole), "{what}");
            }
            Expected::Refused(refusal) => {
                let answer = connection.answer().await;
                let (status, reason) = answer.refused();
                match refusal {
                    Some(expected) => assert_eq!((status, reason), *expected, "{what}"),
                    None => assert_eq!(status, 400, "{what}"),
                }
                assert_eq!(answer.field("connection"), Some("close"), "{what}");
                assert_eq!(connection.until_closed().await, b"", "{what}");
            }
            Expected::Starved => {
                let begun =
                    |record: &Record| record.requests.iter().any(|seen| seen.target == target);
                cluster.replica(0).until("its head", begun).await;
            }
            Expected::Cut | Expected::One => {
                // All is sent. Once there is an answer, a client that stays is only waited for.
                if connection.speaks().await {
                    connection.finish().await;
                }
                let rest = connection.until_closed().await;
                let answers = String::from_utf8_lossy(&rest);
                let refused = answers.starts_with("HTTP/1.1 400");
                assert!(answers.is_empty() || refused, "{what}: {answers}");
                assert!(answers.matches("HTTP/1.").count() <= 1, "{what}: {answers}");
            }
        }
    }
    if case.expected.last() == Some(&Expected::Starved) {
        drop(connection);
        let cut = |record: &Record| {
            let mut requests = record.requests.iter();
            requests.any(|seen| seen.target == target && seen.body.is_some())
        };
        cluster.replica(0).until("the cut", cut).await;
    }
    check_replica(cluster, case, target, &what);
}

/// The admin listener has its own answers, but no more of them than there are requests.
async fn drive_admin(cluster: &Cluster, door: &Door, case: &Case, target: &str) {
    if matches!(case.expected[..], [Expected::Refused(_)]) {
        return drive(cluster, door, case, target).await;
    }
    let mut connection = door.open().await;
    connection.send(case.bytes(target, "")).await;
    connection.finish().await;
    let rest = connection.until_closed().await;
    let answers = String::from_utf8_lossy(&rest);
    let lower = answers.to_lowercase();
    let count = lower.matches("\r\ncontent-length: ").count();
    assert!(count <= case.expected.len(), "{}: {answers}", case.title);
    let mut seen = cluster.replica(0).requests();
    seen.retain(|seen| seen.target == target);
    assert_eq!(seen.len(), 0, "{}", case.title);
}

#[tokio::test]
async fn a_replica_never_sees_what_hides_in_another_message() {
    let cases = corpus("smuggling", "http");
    assert!(cases.len() > 120, "{} cases", cases.len());
    for plan in [Plan::of(1), Plan::of(1).client_tls()] {
        let (cluster, target) = watched(plan).await;
        let mut number = 0;
        for door in doors(&cluster) {
            for case in &cases {
                // Whatever comes late is known by it.
                number += 1;
                let target = format!("{target}-{number}");
                match door.name {
                    "admin" => drive_admin(&cluster, &door, case, &target).await,
                    _ => drive(&cluster, &door, case, &target).await,
                }
            }
        }
        all_are_known(&cluster, &target);
    }
}

#[tokio::test]
async fn an_http2_request_stays_one_in_http1() {
    let (cluster, target) = watched(Plan::of(1).client_tls()).await;
    let cases = corpus("smuggling", "frames");
    assert!(cases.len() > 25, "{} cases", cases.len());
    for (number, case) in cases.iter().enumerate() {
        let target = format!("{target}-{number}");
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(frames::request(&case.lines, &target)).await;
        let told = frames::told(&mut connection).await;
        let expected = match &case.expected[..] {
            [Expected::Served] => Told::Served,
            _ => Told::Refused,
        };
        assert_eq!(told, expected, "{}", case.title);
        check_replica(&cluster, case, &target, &case.title);
    }
    all_are_known(&cluster, &target);
}

/// Every request that the replica saw is one that was sent.
fn all_are_known(cluster: &Cluster, target: &str) {
    for seen in cluster.replica(0).requests() {
        assert!(seen.target.starts_with(target), "{seen:?}");
    }
    nothing_smuggled(cluster, "in the end");
}
