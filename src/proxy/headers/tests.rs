use super::*;

fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", b"/v2/a/tags/list", None).unwrap();
    for (name, value) in headers {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn values(request: &RequestHeader, name: &str) -> Vec<String> {
    request
        .headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

const DIRECT: Downstream = Downstream {
    address: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3))),
    tls: false,
    trusted: false,
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
    let mut request = request(FORGED);
    drop_internal(&mut request);
    set_forwarded(&mut request, &DIRECT).unwrap();
    let seen: Vec<(String, Vec<String>)> = {
        let mut names: Vec<_> = request
            .headers
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let all = values(&request, &name);
                (name, all)
            })
            .collect()
    };
    let expected = [
        ("forwarded", "for=10.1.2.3;proto=http;host=\"r:5000\""),
        ("host", "r:5000"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-host", "r:5000"),
        ("x-forwarded-proto", "http"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
        .collect();
    assert_eq!(seen, expected);
}

/// What a trusted proxy says, and the protocol, host and chain that follow from it.
struct Believed {
    headers: &'static [(&'static str, &'static str)],
    proto: &'static str,
    host: &'static str,
    chain: &'static str,
}

#[test]
fn a_trusted_proxy_is_believed_about_the_client() {
    let trusted = Downstream {
        trusted: true,
        ..DIRECT
    };
    let cases = [
        Believed {
            headers: &[
                ("host", "r"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "hub.example"),
                ("x-forwarded-for", "9.9.9.9"),
            ],
            proto: "https",
            host: "hub.example",
            chain: "9.9.9.9, 10.1.2.3",
        },
        Believed {
            headers: &[
                ("host", "r"),
                ("forwarded", "for=9.9.9.9; Proto=HTTPS; host=\"hub:8443\""),
            ],
            proto: "https",
            host: "hub:8443",
            chain: "10.1.2.3",
        },
        Believed {
            headers: &[
                ("host", "r"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-proto", "https"),
            ],
            proto: "https",
            host: "r",
            chain: "6.6.6.6, 203.0.113.9, 10.1.2.3",
        },
        Believed {
            headers: &[
                ("host", "r"),
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-host", "a b\""),
            ],
            proto: "http",
            host: "r",
            chain: "10.1.2.3",
        },
    ];
    for case in cases {
        let Believed {
            headers,
            proto,
            host,
            chain,
        } = case;
        let mut request = request(headers);
        set_forwarded(&mut request, &trusted).unwrap();
        assert_eq!(
            values(&request, "x-forwarded-proto"),
            [proto],
            "{headers:?}"
        );
        assert_eq!(values(&request, "x-forwarded-host"), [host], "{headers:?}");
        assert_eq!(values(&request, "x-forwarded-for"), [chain], "{headers:?}");
        let forwarded = format!("for=10.1.2.3;proto={proto};host=\"{host}\"");
        assert_eq!(values(&request, "forwarded"), [forwarded]);
    }
}

#[test]
fn tls_and_ipv6_clients_are_told_as_such() {
    let mut request = request(&[("host", "r")]);
    let downstream = Downstream {
        address: Some("::1".parse().unwrap()),
        tls: true,
        trusted: false,
    };
    set_forwarded(&mut request, &downstream).unwrap();
    assert_eq!(
        values(&request, "forwarded"),
        ["for=\"[::1]\";proto=https;host=\"r\""]
    );
    assert_eq!(values(&request, "x-forwarded-for"), ["::1"]);
}

#[test]
fn the_sticky_cookie_stays_between_the_client_and_us() {
    let mut with_others = request(&[("cookie", "a=1; SHARDLET=x; b=2"), ("cookie", "SHARDLET=y")]);
    drop_cookie(&mut with_others, "SHARDLET").unwrap();
    assert_eq!(values(&with_others, "cookie"), ["a=1; b=2"]);
    let mut alone = request(&[("cookie", "SHARDLET=x")]);
    drop_cookie(&mut alone, "SHARDLET").unwrap();
    assert!(values(&alone, "cookie").is_empty());
}
