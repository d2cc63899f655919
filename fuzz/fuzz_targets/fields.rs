//! Fields that are read and sent on: anybody can send them.
#![no_main]

use std::net::IpAddr;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::{RequestId, TraceParent, sent_on};

const NAMES: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "host",
    "cookie",
    "x-shardlet-view",
    "x-zot-cluster-hop-count",
];

fuzz_target!(|input: (bool, bool, Vec<(u8, &[u8])>)| {
    let (trusted, tls, fields) = input;
    for (_, value) in &fields {
        harmless(RequestId::keep_or_make(Some(value)).as_str().as_bytes());
        if let Some(trace) = TraceParent::keep(value) {
            harmless(trace.as_bytes());
            assert!(trace.trace_id().len() == 32);
        }
    }
    let mut head = b"GET /v2/ HTTP/1.0\r\n".to_vec();
    for (name, value) in fields {
        let name = NAMES[usize::from(name) % NAMES.len()].as_bytes();
        head.extend([name, b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    let networks = ["127.0.0.0/8", "10.0.0.0/8"];
    let trusting = networks.map(|network| network.parse::<IpNet>().expect("a network"));
    let Some(sent) = sent_on(&head, tls, if trusted { &trusting } else { &[] }) else { return };
    let all = |name: &str| {
        let lines = sent.split(|byte| *byte == b'\n').filter_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii().to_vec())
        });
        lines.collect::<Vec<_>>()
    };
    let one = |name: &str| {
        let mut values = all(name);
        assert!(values.len() <= 1, "{name} twice");
        values.pop()
    };
    let proto = one("x-forwarded-proto");
    assert!(matches!(proto.as_deref(), Some(b"http" | b"https")));
    let forwarded = one("forwarded").unwrap_or_default();
    let ours: &[u8] = if trusted { b"for=" } else { b"for=127.0.0.1;proto=http" };
    assert!(forwarded.starts_with(ours));
    assert!(!forwarded.contains(&b','), "one hop: ours");
    let host = one("x-forwarded-host").unwrap_or_default();
    assert!(!host.iter().any(|byte| b"\",; @".contains(byte)));
    let chain = one("x-forwarded-for").unwrap_or_default();
    assert!(chain.ends_with(b"127.0.0.1"));
    assert!(trusted || chain == b"127.0.0.1");
    let chain = String::from_utf8(chain).expect("addresses");
    let hops: Vec<IpAddr> = chain.split(", ").map(|hop| hop.parse().expect("an address")).collect();
    // Only the first may be a stranger.
    let known = |hop: &IpAddr| trusting.iter().any(|network| network.contains(hop));
    assert!(hops.iter().skip(1).all(known), "{chain}");
    for name in ["x-shardlet-view", "x-zot-cluster-hop-count"] {
        assert_eq!(one(name), None);
    }
    for cookies in all("cookie") {
        let mut pairs = cookies.split(|byte| *byte == b';');
        assert!(!pairs.any(|pair| pair.trim_ascii().starts_with(b"SHARDLET=")));
    }
});

/// In a header, a log line, and JSON.
fn harmless(text: &[u8]) {
    assert!(!text.is_empty() && text.len() <= 256);
    assert!(text.iter().all(u8::is_ascii_graphic));
}
