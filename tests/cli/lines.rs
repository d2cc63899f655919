//! Every line that a member prints keeps to docs/log.md.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{shardlet, write};

/// Within this time a process that is well says what it has to say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody listens at the replica's port, nor at the peer's.
const CONFIG: &str = "member: a\nlisten:\n  clients: { address: '127.0.0.1:0' }\n  \
     peers: { address: '127.0.0.1:0' }\n  admin: { address: '127.0.0.1:0' }\n\
     registry: { address: '127.0.0.1:1' }\n\
     cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  \
     members: [{ id: a, address: '127.0.0.1:5443' }, { id: b, address: '127.0.0.1:2' }]\n  \
     pins: [{ prefix: of-a/, member: a }, { prefix: of-b/, member: b }]\n\
     writes: { hold: 0s }\nreload: { watch: false }\ntimeouts: { aftermath: 0s, drain_delay: 0s, drain: 1s }\n\
     log: { level: debug }\n";

/// Ends with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The keys of one table of the page, with their types.
fn documented(heading: &str) -> Vec<(String, String)> {
    let page = include_str!("../../docs/log.md");
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let (key, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((key.to_owned(), rest.split(" | ").next()?.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "text" => value.is_string(),
        "number" => value.is_number(),
        "text or null" => value.is_string() || value.is_null(),
        other => unreachable!("a type that is not known: {other}"),
    }
}

fn check(line: &str) -> Map<String, Value> {
    let fields = serde_json::from_str::<Map<String, Value>>(line);
    assert!(fields.is_ok(), "no object: {line}");
    let fields = fields.unwrap();
    assert_eq!(
        fields.len(),
        line.matches("\":").count(),
        "a key twice: {line}"
    );
    let is_request = fields["kind"] == "request";
    let own = if is_request {
        "\n## A request\n"
    } else {
        assert_eq!(fields["kind"], "event", "{line}");
        "\n## An event\n"
    };
    let mut known = BTreeSet::new();
    for (key, kind) in [documented("\n## Every line\n"), documented(own)].concat() {
        assert!(fields.contains_key(&key), "no {key}: {line}");
        assert!(fits(&fields[&key], &kind), "{key} is no {kind}: {line}");
        known.insert(key);
    }
    for (key, value) in fields.iter().filter(|(key, _)| !known.contains(*key)) {
        assert!(!is_request, "{key} is not documented: {line}");
        let scalar = value.is_string() || value.is_number() || value.is_boolean();
        assert!(scalar, "{key}: {line}");
    }
    assert_eq!(fields["member"], "a", "{line}");
    fields
}

/// Says this on a connection of its own, and reads to its end.
fn say(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
}

#[test]
fn every_line_of_a_process_keeps_to_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "proxy.yaml", CONFIG);
    let mut child = shardlet(&["run", "--config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, lines) = mpsc::channel();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    for output in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
        let tell = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let _ = tell.send(line.unwrap());
            }
        });
    }
    drop(tell);
    let mut child = Ended(child);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    // The two outputs do not wait for each other, so neither does what is waited for.
    let mut until = |messages: &[&str]| {
        let mut missing = messages.to_vec();
        loop {
            let line = lines.recv_timeout(PATIENCE);
            assert!(line.is_ok(), "not said: {missing:?}");
            let fields = check(&line.unwrap());
            let said = fields["message"].as_str().unwrap().to_owned();
            missing.retain(|message| !said.contains(message));
            *seen.entry(said).or_default() += 1;
            if missing.is_empty() {
                return fields;
            }
        }
    };
    let serving = until(&["serving"]);
    let clients = serving["clients"].as_str().unwrap();
    let clients = clients.strip_prefix("http://").unwrap();
    for target in [
        "/v2/",
        "/v2/of-a/x/tags/list",
        "/v2/of-b/x/tags/list?_state=S3CRET",
        "//",
        "/metrics",
    ] {
        let get = format!("GET {target} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n");
        say(clients, get.as_bytes());
    }
    say(clients, b"POST /v2/of-b/x/blobs/uploads/ HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    say(clients, b"GET /v2/ HTTP/1.1\r\n\r\n");
    say(clients, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    until(&[
        "the request has no Host",
        "a TLS client spoke to the plain listener",
    ]);
    write(folder.path(), "proxy.yaml", "clutser: {}\n");
    let pid = child.0.id().to_string();
    let signal = |name| Command::new("kill").args(["-s", name, &pid]).status();
    assert!(signal("HUP").unwrap().success());
    until(&["the changed configuration is not taken"]);
    assert!(signal("TERM").unwrap().success());
    until(&["draining"]);
    for line in lines.iter() {
        let said = check(&line)["message"].as_str().unwrap().to_owned();
        *seen.entry(said).or_default() += 1;
    }
    assert!(child.0.wait().unwrap().success());
    assert!(seen.len() > 8, "{seen:?}");
}
