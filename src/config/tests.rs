//! Tables of what is read; what is refused is in the submodules.

mod coordination;
mod hash_key;
mod identity;
mod problems;
mod properties;
mod reference;
mod sections;
mod statefulset;
mod values;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::shard::{BlobReads, OwnerDown, Placement, Repository};

/// A file system in memory.
#[derive(Default)]
struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Memory {
    fn with(files: &[(&str, &[u8])]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, content)| (PathBuf::from(path), content.to_vec()))
                .collect(),
        )
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let content = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        if content.len() > limit {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(content.clone())
        }
    }
}

fn offline(files: &dyn Files) -> Environment<'_> {
    Environment {
        member_flag: None,
        member_variable: None,
        address: None,
        hash_key: None,
        files,
        surroundings: None,
        elsewhere: false,
    }
}

fn source() -> SourceName {
    SourceName::File(PathBuf::from("etc/proxy.yaml"))
}

fn read(text: &str) -> Result<Config, Problems> {
    load(text, &source(), &offline(&Memory::default()))
}

/// What is said of a cluster without certificates, as [`minimal`] is one.
const INSECURE: &str =
    "members are not asked for certificates: whoever reaches the peer listener is believed";

/// A whole configuration, with `more` at its top level.
fn minimal(more: &str) -> String {
    format!(
        "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members:\n    \
         - {{ id: zot-1, address: zot-1:5443 }}\n    - {{ id: zot-2, address: zot-2:5443 }}\n{more}"
    )
}

fn good(more: &str) -> Config {
    let text = minimal(more);
    read(&text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

/// What is wrong, a line each, without what is only odd.
fn told(problems: &Problems) -> String {
    let wrong = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Problem);
    wrong
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The messages of all problems of a configuration that has some.
fn messages(text: &str) -> Vec<String> {
    let problems = read(text).expect_err("a configuration that is wrong");
    problems
        .iter()
        .filter(|problem| problem.severity == Severity::Problem)
        .map(|problem| problem.message.clone())
        .collect()
}

#[test]
fn defaults_are_those_of_the_shipped_example() {
    let Config {
        listen,
        threads,
        registry,
        cluster: _,
        view: _,
        coordination,
        key_known: _,
        identified,
        peer_limits,
        state,
        hold,
        reads,
        sticky,
        timeouts,
        limits,
        circuit,
        trusted_proxies,
        log,
        telemetry,
        probes,
        resolve,
        reload,
        files: _,
        remarks,
    } = good("");
    let example = read(include_str!("../../proxy.yaml")).expect("the shipped example");
    assert_eq!(listen, example.listen);
    assert_eq!((threads, example.threads), (Threads::Auto, Threads::Auto));
    assert_eq!(registry, example.registry);
    assert_eq!((hold, state), (example.hold, example.state));
    assert_eq!((coordination, example.coordination), (None, None));
    assert_eq!(identified, example.identified);
    assert_eq!(peer_limits, example.peer_limits);
    assert_eq!(reads, example.reads);
    assert_eq!(sticky, example.sticky);
    assert_eq!(timeouts, example.timeouts);
    assert_eq!(limits, example.limits);
    assert_eq!(circuit, example.circuit);
    assert_eq!(trusted_proxies, example.trusted_proxies);
    assert_eq!(log, example.log);
    assert_eq!(telemetry, example.telemetry);
    assert_eq!(probes, example.probes);
    assert_eq!(resolve, example.resolve);
    assert_eq!(reload, example.reload);
    let remarks: Vec<&str> = remarks
        .iter()
        .map(|remark| remark.message.as_str())
        .collect();
    assert_eq!(remarks, [INSECURE]);
}

#[test]
fn one_member_and_any_number_of_members_are_fine() {
    for count in [1, 2, 3, 4, 300, 1024] {
        let members: String = (0..count)
            .map(|i| format!("    - {{ id: m{i}, address: 'm{i}:5443' }}\n"))
            .collect();
        let text = format!(
            "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members:\n{members}"
        );
        let config = read(&text).expect("any number up to the limit");
        assert_eq!(config.view.members().len(), count);
    }
}

#[test]
fn zot_placement_and_pins_reach_the_view() {
    let text = minimal("").replace(
        "insecure: true",
        "insecure: true\n  placement: zot\n  pins: [{ prefix: zot-test, member: zot-1 }]",
    );
    let pinned = read(&text).expect("pins");
    assert_eq!(pinned.view.placement(), Placement::Zot);
    let repository = Repository::parse("zot-test").expect("a name");
    assert_eq!(pinned.view.owner(&repository).get(), 0);
    // zot's own golden value for two members.
    let free = read(&text.replace("prefix: zot-test", "prefix: other")).expect("pins");
    assert_eq!(free.view.owner(&repository).get(), 1);
}

#[test]
fn anchors_stand_for_their_values() {
    let config = good("timeouts: { connect: &t 3s, idle: *t }\n");
    assert_eq!(config.timeouts.idle, Duration::from_secs(3));
}

#[test]
fn sections_without_keys_are_defaults_but_tls_is_meant() {
    assert_eq!(
        good("timeouts:\nlimits:\nlisten:\n").timeouts,
        good("").timeouts
    );
    assert_eq!(
        messages(&minimal("listen:\n  clients:\n    tls:\n")),
        [
            "missing key `listen.clients.tls.cert`",
            "missing key `listen.clients.tls.key`"
        ]
    );
}

#[test]
fn spans_go_to_a_collector_that_is_named() {
    assert_eq!(good("telemetry:\n").telemetry, Telemetry { traces: None });
    for (written, address, path) in [
        ("http://otel:4318", "otel:4318", "/v1/traces"),
        ("http://[::1]:80/", "[::1]:80", "/v1/traces"),
        (
            "http://10.0.0.1:4318/in/otlp/",
            "10.0.0.1:4318",
            "/in/otlp/v1/traces",
        ),
    ] {
        let config = good(&format!(
            "telemetry: {{ traces: {{ endpoint: '{written}' }} }}\n"
        ));
        let traces = config.telemetry.traces.unwrap();
        let collector = traces.endpoint;
        assert_eq!(
            (&*collector.address.to_string(), &*collector.path),
            (address, path)
        );
        assert_eq!(traces.sample, Sample::default());
    }
    for wrong in [
        "otel:4318",
        "http://otel",
        "https://otel:4318",
        "http://otel:4318/?a",
        "http://a b:1",
    ] {
        let text = minimal(&format!(
            "telemetry: {{ traces: {{ endpoint: '{wrong}' }} }}\n"
        ));
        let expected = format!(
            "bad value `{wrong}` for `telemetry.traces.endpoint`: expected the base of a URL such as `http://collector:4318`"
        );
        assert_eq!(messages(&text), [expected]);
    }
    for (share, is_fine) in [
        ("0", true),
        ("1", true),
        ("0.5", true),
        ("1.1", false),
        ("-0", false),
        ("NaN", false),
        ("1e-3", false),
    ] {
        let text = minimal(&format!(
            "telemetry: {{ traces: {{ endpoint: 'http://a:1', sample: {share} }} }}\n"
        ));
        assert_eq!(read(&text).is_ok(), is_fine, "{share}");
    }
    assert_eq!(
        messages(&minimal("telemetry: { traces: }\n")),
        ["missing key `telemetry.traces.endpoint`"]
    );
}

#[test]
fn what_is_odd_but_legal_is_remarked() {
    let remarks = |more: &str| {
        good(more)
            .remarks
            .iter()
            .filter(|remark| remark.message != INSECURE)
            .map(|remark| remark.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        remarks("trusted_proxies: [0.0.0.0/0]\n"),
        [
            "etc/proxy.yaml:7:19: remark: 0.0.0.0/0 trusts everybody's forwarding headers \
          (any client can then forge its address and the scheme in `Location`)"
        ]
    );
    assert_eq!(
        remarks("listen: { peers: { address: 127.0.0.1:5443 } }\n"),
        ["etc/proxy.yaml:7:29: remark: peers on other machines cannot reach a loopback address"]
    );
    let commit = "(a large layer's write is then given up sooner than a silent connection)";
    for (more, column, idle, commit_of) in [
        ("timeouts: { commit: 59s }\n", 21, "1m", "59s"),
        ("timeouts: { idle: 10m }\n", 19, "10m", "5m"),
        ("timeouts: { idle: 10m, commit: 9m }\n", 32, "10m", "9m"),
    ] {
        let expected = format!(
            "etc/proxy.yaml:7:{column}: remark: `commit` ({commit_of}) is shorter than `idle` ({idle}) {commit}"
        );
        assert_eq!(remarks(more), [expected]);
    }
}
