use super::*;
use crate::http::fields::Fields;
use crate::proxy::onward::tests::{Sent, sent};

/// A request of these fields, as a client sends it.
fn request<V: AsRef<[u8]>>(fields: &[(&str, V)]) -> Vec<u8> {
    let mut bytes = b"GET /v2/a/tags/list HTTP/1.0\r\n".to_vec();
    for (name, value) in fields {
        write_field(&mut bytes, name, value.as_ref());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn told(fields: &[(&str, &str)], downstream: &Downstream<'_>) -> Sent {
    sent(&request(fields), Some(*downstream), None)
}

const DIRECT: Downstream<'_> = Downstream {
    address: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3))),
    tls: false,
    trusted_proxies: &[],
};

const FORGED: &[(&str, &str)] = &[
    ("host", "r:5000"),
    ("forwarded", "for=6.6.6.6;proto=https;host=evil"),
    ("forwarded", "for=7.7.7.7"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https, http"),
    ("x-forwarded-host", "evil"),
    ("x-forwarded-port", "1"),
    ("x-zot-cluster-hop-count", "1"),
    ("x-shardlet-view", "forged"),
    ("x-shardlet-anything-else", "forged"),
];

#[test]
fn nothing_forged_survives() {
    let sent = told(FORGED, &DIRECT);
    let expected = [
        ("forwarded", "for=10.1.2.3;proto=http;host=\"r:5000\""),
        ("host", "r:5000"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-host", "r:5000"),
        ("x-forwarded-port", ""),
        ("x-forwarded-proto", "http"),
        ("x-zot-cluster-hop-count", ""),
        ("x-shardlet-view", ""),
        ("x-shardlet-anything-else", ""),
    ];
    for (name, value) in expected {
        assert_eq!(sent.all(name).join(" | "), value, "{name}");
    }
}

/// What a trusted proxy says, and the client, protocol, host and chain that follow from it.
struct Believed {
    headers: &'static [(&'static str, &'static str)],
    client: &'static str,
    proto: &'static str,
    host: &'static str,
    chain: &'static str,
}

/// The proxy that we see is 10.1.2.3; another trusted one is 10.9.9.9.
fn check(case: &Believed) {
    let Believed {
        headers,
        client,
        proto,
        host,
        chain,
    } = case;
    let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
    let downstream = Downstream {
        trusted_proxies: &trusted,
        ..DIRECT
    };
    let sent = told(&[&[("host", "r")], *headers].concat(), &downstream);
    let one = |name: &str| sent.all(name).join(" | ");
    assert_eq!(one("x-forwarded-proto"), *proto, "{headers:?}");
    assert_eq!(one("x-forwarded-host"), *host, "{headers:?}");
    assert_eq!(one("x-forwarded-for"), *chain, "{headers:?}");
    let forwarded = format!("for={client};proto={proto};host=\"{host}\"");
    assert_eq!(one("forwarded"), forwarded, "{headers:?}");
}

#[test]
fn a_trusted_proxy_is_believed_about_the_client() {
    let cases = [
        Believed {
            headers: &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "hub.example"),
                ("x-forwarded-for", "9.9.9.9"),
            ],
            client: "9.9.9.9",
            proto: "https",
            host: "hub.example",
            chain: "9.9.9.9, 10.1.2.3",
        },
        Believed {
            headers: &[("forwarded", "for=9.9.9.9; Proto=HTTPS; host=\"hub:8443\"")],
            client: "9.9.9.9",
            proto: "https",
            host: "hub:8443",
            chain: "9.9.9.9, 10.1.2.3",
        },
        Believed {
            headers: &[("forwarded", "for=\"[2001:db8::9]:4711\";by=x;proto=https")],
            client: "\"[2001:db8::9]\"",
            proto: "https",
            host: "r",
            chain: "2001:db8::9, 10.1.2.3",
        },
        // It does not know.
        Believed {
            headers: &[("forwarded", "for=unknown;proto=https")],
            client: "10.1.2.3",
            proto: "https",
            host: "r",
            chain: "10.1.2.3",
        },
        Believed {
            headers: &[("x-forwarded-for", "203.0.113.9:4711")],
            client: "203.0.113.9",
            proto: "http",
            host: "r",
            chain: "203.0.113.9, 10.1.2.3",
        },
        Believed {
            headers: &[
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-host", "a b\""),
            ],
            client: "10.1.2.3",
            proto: "http",
            host: "r",
            chain: "10.1.2.3",
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn what_a_client_says_itself_counts_for_nothing_behind_a_trusted_proxy() {
    let cases = [
        // Appended in one line.
        Believed {
            headers: &[
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
                ("x-forwarded-proto", "http, https"),
                ("x-forwarded-host", "evil, hub.example"),
            ],
            client: "203.0.113.9",
            proto: "https",
            host: "hub.example",
            chain: "203.0.113.9, 10.1.2.3",
        },
        // As lines of their own.
        Believed {
            headers: &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-proto", "https"),
            ],
            client: "203.0.113.9",
            proto: "https",
            host: "r",
            chain: "203.0.113.9, 10.1.2.3",
        },
        // Names of trusted proxies do not help: the last one was not written by them.
        Believed {
            headers: &[("x-forwarded-for", "6.6.6.6, 10.9.9.9, 203.0.113.9")],
            client: "203.0.113.9",
            proto: "http",
            host: "r",
            chain: "203.0.113.9, 10.1.2.3",
        },
        Believed {
            headers: &[("x-forwarded-for", "6.6.6.6, nonsense")],
            client: "10.1.2.3",
            proto: "http",
            host: "r",
            chain: "10.1.2.3",
        },
    ];
    cases.iter().for_each(check);
}

/// RFC 7239 §4.
#[test]
fn the_same_holds_for_forwarded() {
    let cases = [
        Believed {
            headers: &[(
                "forwarded",
                "for=6.6.6.6;proto=http;host=evil, for=203.0.113.9;proto=https;host=hub",
            )],
            client: "203.0.113.9",
            proto: "https",
            host: "hub",
            chain: "203.0.113.9, 10.1.2.3",
        },
        // An open quotation mark hides nothing.
        Believed {
            headers: &[("forwarded", "for=\"6.6.6.6, for=203.0.113.9;proto=https")],
            client: "203.0.113.9",
            proto: "https",
            host: "r",
            chain: "203.0.113.9, 10.1.2.3",
        },
        // The proxy speaks of one kind; the other one is the client's.
        Believed {
            headers: &[
                ("x-forwarded-for", "203.0.113.9"),
                ("forwarded", "for=6.6.6.6;proto=https;host=evil"),
            ],
            client: "203.0.113.9",
            proto: "http",
            host: "r",
            chain: "203.0.113.9, 10.1.2.3",
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn a_trusted_proxy_behind_another_is_believed_too() {
    let cases = [
        Believed {
            headers: &[
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.9.9.9"),
                ("x-forwarded-proto", "gopher, https, http"),
                ("x-forwarded-host", "evil, hub.example, inner"),
            ],
            client: "203.0.113.9",
            proto: "https",
            host: "hub.example",
            chain: "203.0.113.9, 10.9.9.9, 10.1.2.3",
        },
        // One of them has replaced, not appended.
        Believed {
            headers: &[
                ("x-forwarded-for", "203.0.113.9, 10.9.9.9"),
                ("x-forwarded-proto", "https"),
            ],
            client: "203.0.113.9",
            proto: "https",
            host: "r",
            chain: "203.0.113.9, 10.9.9.9, 10.1.2.3",
        },
        Believed {
            headers: &[(
                "forwarded",
                "for=6.6.6.6;host=evil, for=203.0.113.9;host=hub;proto=https, for=10.9.9.9;proto=http",
            )],
            client: "203.0.113.9",
            proto: "https",
            host: "hub",
            chain: "203.0.113.9, 10.9.9.9, 10.1.2.3",
        },
        // The client is a trusted machine itself.
        Believed {
            headers: &[("x-forwarded-for", "10.9.9.9")],
            client: "10.9.9.9",
            proto: "http",
            host: "r",
            chain: "10.9.9.9, 10.1.2.3",
        },
    ];
    cases.iter().for_each(check);
}

/// Lines of one field, the last trusted proxy being 10.1.2.3, and whom the request counts for.
#[test]
fn a_client_behind_trusted_proxies_always_counts_for_somebody() {
    type Lines = &'static [&'static [u8]];
    let cases: [(&str, Lines, Option<&str>); 10] = [
        // Appended to what no text is.
        (
            "x-forwarded-for",
            &[b"\xff, 203.0.113.9"],
            Some("203.0.113.9"),
        ),
        (
            "x-forwarded-for",
            &[b"6.6.6.6", b"\xff,203.0.113.9"],
            Some("203.0.113.9"),
        ),
        (
            "x-forwarded-for",
            &[b"\xff, 203.0.113.9, 10.9.9.9"],
            Some("203.0.113.9"),
        ),
        (
            "forwarded",
            &[b"for=\xff, for=203.0.113.9;proto=https"],
            Some("203.0.113.9"),
        ),
        (
            "forwarded",
            &[b"for=203.0.113.9;host=\xff"],
            Some("203.0.113.9"),
        ),
        // Nothing is passed over on the way to the left.
        (
            "x-forwarded-for",
            &[b"6.6.6.6", b"\xff, 10.9.9.9"],
            Some("10.9.9.9"),
        ),
        ("x-forwarded-for", &[b"6.6.6.6", b"\xff"], None),
        (
            "forwarded",
            &[b"for=6.6.6.6, for=\xff, for=10.9.9.9"],
            Some("10.9.9.9"),
        ),
        // Clients in a trusted network.
        (
            "x-forwarded-for",
            &[b"10.7.7.7, 10.9.9.9"],
            Some("10.7.7.7"),
        ),
        ("x-forwarded-for", &[b"unknown"], None),
    ];
    let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
    let downstream = Downstream {
        trusted_proxies: &trusted,
        ..DIRECT
    };
    let counted = |lines: &[(&str, &[u8])]| {
        let (bytes, mut fields) = (request(lines), Fields::new());
        let head = RequestHead::parse(&bytes, &mut fields).unwrap();
        client(&head, &downstream)
    };
    for (name, lines, expected) in cases {
        let lines: Vec<(&str, &[u8])> = lines.iter().map(|line| (name, *line)).collect();
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(counted(&lines), expected, "{lines:?}");
    }
    assert_eq!(counted(&[]), None);
}

/// Scheme and host of a list end where it is no text, as its addresses do.
#[test]
fn what_is_no_text_ends_a_list() {
    let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
    let downstream = Downstream {
        trusted_proxies: &trusted,
        ..DIRECT
    };
    let lines: [(&str, &[u8]); 4] = [
        ("host", b"r"),
        ("x-forwarded-for", b"203.0.113.9, 10.9.9.9"),
        ("x-forwarded-proto", b"http, \xff, https"),
        ("x-forwarded-host", b"evil, \xff, hub.example"),
    ];
    let sent = sent(&request(&lines), Some(downstream), None);
    assert_eq!(sent.all("x-forwarded-proto"), ["https"]);
    assert_eq!(sent.all("x-forwarded-host"), ["hub.example"]);
}

/// RFC 7239 §6 for the latter.
#[test]
fn tls_and_ipv6_clients_are_told_as_such() {
    let downstream = Downstream {
        address: Some("::1".parse().unwrap()),
        tls: true,
        trusted_proxies: &[],
    };
    let sent = told(&[("host", "r")], &downstream);
    assert_eq!(
        sent.all("forwarded"),
        ["for=\"[::1]\";proto=https;host=\"r\""]
    );
    assert_eq!(sent.all("x-forwarded-for"), ["::1"]);
}
