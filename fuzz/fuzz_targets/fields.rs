//! Fields that are read and sent on: anybody can send them.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use pingora::http::RequestHeader;
use shardlet::proxy::headers::{Downstream, drop_cookie, drop_internal, set_forwarded};
use shardlet::http::request_id::{RequestId, TraceParent};

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
        harmless(RequestId::keep_or_make(Some(value)).as_str());
        if let Some(trace) = TraceParent::keep(value) {
            harmless(trace.as_str());
            assert!(trace.trace_id().len() == 32);
        }
    }
    let Ok(mut request) = RequestHeader::build("GET", b"/v2/", None) else { return };
    for (name, value) in fields {
        let name = NAMES[usize::from(name) % NAMES.len()];
        // What is no value never comes this far.
        let _ = request.append_header(name, value);
    }
    let networks = ["127.0.0.0/8", "10.0.0.0/8"];
    let trusting = networks.map(|network| network.parse::<IpNet>().expect("a network"));
    let downstream = Downstream {
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        tls,
        trusted_proxies: if trusted { &trusting } else { &[] },
    };
    drop_internal(&mut request);
    let _ = drop_cookie(&mut request, "SHARDLET");
    if set_forwarded(&mut request, &downstream).is_err() {
        return;
    }
    let one = |name: &str| {
        let mut values = request.headers.get_all(name).iter();
        let value = values.next().map(|value| value.as_bytes().to_vec());
        assert!(values.next().is_none(), "{name} twice");
        value
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
    let cookies = request.headers.get_all("cookie").iter();
    for cookies in cookies.filter_map(|cookies| cookies.to_str().ok()) {
        assert!(!cookies.split(';').any(|pair| pair.trim().starts_with("SHARDLET=")));
    }
});

/// In a header, a log line, and JSON.
fn harmless(text: &str) {
    assert!(!text.is_empty() && text.len() <= 256);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
}
