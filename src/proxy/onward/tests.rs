use super::*;
use crate::http::fields::Fields;
use ipnet::IpNet;
use proptest::prelude::*;

use crate::http::head::MAX_HEADER_COUNT;
use crate::shard::{HashKey, Member, Members, Pins, Placement, View, Weight};

/// What was written: its first line, and all its fields in order.
#[derive(Debug)]
pub(in crate::proxy) struct Sent {
    line: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Sent {
    fn read(bytes: &[u8]) -> Self {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
        let mut request = httparse::Request::new(&mut lines);
        let length = request.parse(bytes).unwrap();
        assert_eq!(length, httparse::Status::Complete(bytes.len()));
        let fields = request.headers.iter();
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap();
        Self {
            line: String::from_utf8(line.to_vec()).unwrap(),
            fields: fields
                .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
                .collect(),
        }
    }

    fn bytes(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter().filter(|(found, _)| found == name);
        fields.map(|(_, value)| &**value).collect()
    }

    pub(in crate::proxy) fn all(&self, name: &str) -> Vec<String> {
        let values = self.bytes(name).into_iter();
        values
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// Fields by name, each with its values in order.
    fn sorted(mut self) -> Vec<(String, Vec<u8>)> {
        self.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.fields
    }
}

fn onward(via: &Via) -> Onward<'_> {
    Onward {
        client: None,
        via,
        request_id: b"id-1",
        trace: None,
        hide_cookie: None,
        peer: None,
        without_namespace: false,
        own_address: None,
    }
}

/// What becomes of a head that is sent on so.
pub(in crate::proxy) fn sent(
    bytes: &[u8],
    client: Option<Downstream<'_>>,
    hide_cookie: Option<&str>,
) -> Sent {
    let via = Via::new("zot-1");
    let onward = Onward {
        client,
        hide_cookie,
        ..onward(&via)
    };
    Sent::read(&written(bytes, &onward))
}

fn written(bytes: &[u8], onward: &Onward<'_>) -> Vec<u8> {
    let mut fields = Fields::new();
    let head = RequestHead::parse(bytes, &mut fields).unwrap();
    let mut out = Vec::new();
    write_head(&mut out, &head, onward);
    out
}

const CLIENT: Downstream<'_> = Downstream {
    address: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 20, 255))),
    tls: false,
    trusted_proxies: &[],
};

/// A head of HTTP/1.1 with these lines.
fn head(first: &str, lines: &[&str]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{first} HTTP/1.1\r\nHost: r\r\n{lines}\r\n").into_bytes()
}

#[test]
fn kept_lines_go_on_as_they_are_and_ours_follow() {
    let via = Via::new("zot-1");
    let sent = head(
        "GET /v2/a/tags/list?n=5&ns=docker.io",
        &[
            "User-Agent:  docker/27 ",
            "ACCEPT: a/b\t",
            "x-shardlet-view: forged",
            "Accept:c/d",
            "Connection: x-private",
            "X-Private: 1",
            "X-Empty:",
            "Via: 1.0 a",
            "X-Request-Id: theirs",
            "traceparent: 00-1",
            "X-Forwarded-Port: 1",
            "Last: \u{fc}",
        ],
    );
    let client = Onward {
        client: Some(CLIENT),
        trace: Some(b"00-2"),
        without_namespace: true,
        ..onward(&via)
    };
    let own = String::from_utf8_lossy(via.value(Version::Http11)).into_owned();
    let expected = format!(
        "GET /v2/a/tags/list?n=5 HTTP/1.1\r\nHost: r\r\nUser-Agent:  docker/27 \r\nACCEPT: a/b\t\r\n\
         Accept:c/d\r\nX-Empty:\r\nVia: 1.0 a\r\nLast: \u{fc}\r\n\
         Forwarded: for=10.1.20.255;proto=http;host=\"r\"\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: r\r\nX-Forwarded-For: 10.1.20.255\r\nVia: {own}\r\n\
         x-request-id: id-1\r\ntraceparent: 00-2\r\n\r\n"
    );
    assert_eq!(
        String::from_utf8(written(&sent, &client)).unwrap(),
        expected
    );

    // A peer is told more, and has said itself whom it speaks for.
    let peer = Onward {
        peer: Some(PeerFields {
            view: b"ab",
            member: "zot-1",
            hold_ms: 12_345,
            epoch: Some(7),
            asks: true,
            fallback: true,
        }),
        ..onward(&via)
    };
    let expected = format!(
        "GET /v2/a/tags/list?n=5&ns=docker.io HTTP/1.1\r\nHost: r\r\nUser-Agent:  docker/27 \r\n\
         ACCEPT: a/b\t\r\nAccept:c/d\r\nX-Empty:\r\nVia: 1.0 a\r\ntraceparent: 00-1\r\n\
         X-Forwarded-Port: 1\r\nLast: \u{fc}\r\nVia: {own}\r\nx-request-id: id-1\r\n\
         x-shardlet-view: ab\r\nx-shardlet-member: zot-1\r\nx-shardlet-hold: 12345\r\nx-shardlet-epoch: 7\r\n\
         x-shardlet-invite: 1\r\nx-shardlet-fallback: 1\r\n\r\n"
    );
    assert_eq!(String::from_utf8(written(&sent, &peer)).unwrap(), expected);
}

/// RFC 9112 §3.2 and §3.2.2.
#[test]
fn a_replica_is_always_told_a_host() {
    let via = Via::new("zot-1");
    let cases = [
        ("http://r:1/v2/", None, "r:1", Some("r:1")),
        ("http://r:1/v2/", Some("10.0.0.1:80"), "r:1", Some("r:1")),
        (
            "/v2/",
            Some("10.0.0.1:80"),
            "10.0.0.1:80",
            Some("10.0.0.1:80"),
        ),
        ("/v2/", Some("[::1]:5000"), "[::1]:5000", Some("[::1]:5000")),
        ("/v2/", None, "", None),
    ];
    for (target, own, host, forwarded) in cases {
        let onward = Onward {
            client: Some(CLIENT),
            own_address: own.map(|own| own.parse().unwrap()),
            ..onward(&via)
        };
        let bytes = format!("GET {target} HTTP/1.0\r\n\r\n");
        let sent = Sent::read(&written(bytes.as_bytes(), &onward));
        assert_eq!(sent.line, "GET /v2/ HTTP/1.1");
        assert_eq!(sent.all("host"), [host], "{target}");
        assert_eq!(
            sent.all("x-forwarded-host"),
            Vec::from_iter(forwarded),
            "{target}"
        );
        assert!(sent.all("via")[0].starts_with("1.0 "));
    }
}

/// RFC 9112 §6.3, RFC 9110 §6.6.2: one length or chunks of ours, and no trailers without chunks.
#[test]
fn a_body_is_framed_in_one_way() {
    type Framing = (
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
    );
    let cases: [Framing; 4] = [
        (&["Trailer: x"], &[]),
        (&["Content-Length: 0"], &[("content-length", "0")]),
        (
            &["content-length: 7", "Trailer: x"],
            &[("content-length", "7")],
        ),
        (
            &["Transfer-Encoding: CHUNKED", "Trailer: x"],
            &[("trailer", "x"), ("transfer-encoding", "chunked")],
        ),
    ];
    for (lines, expected) in cases {
        let fields = sent(&head("PUT /v2/", lines), None, None).sorted();
        let framing = fields.iter().filter(|(name, _)| {
            ["content-length", "transfer-encoding", "trailer"].contains(&name.as_str())
        });
        let framing: Vec<(&str, &str)> = framing
            .map(|(name, value)| (name.as_str(), str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(framing, expected, "{lines:?}");
    }
}

/// RFC 9110 §10.1.4: with the option that keeps it to its hop. RFC 9110 §10.1.1: HTTP/1.0 expects nothing.
#[test]
fn what_a_client_takes_is_told_on() {
    let both = head(
        "GET /v2/",
        &[
            "TE: gzip, trailers",
            "Connection: TE, close",
            "Expect: 100-continue",
        ],
    );
    let told = sent(&both, None, None);
    assert_eq!(
        (told.all("te"), told.all("connection")),
        (vec!["trailers".into()], vec!["TE".into()])
    );
    assert_eq!(told.all("expect"), ["100-continue"]);
    let neither = String::from_utf8(both)
        .unwrap()
        .replace("HTTP/1.1", "HTTP/1.0");
    let stray = head("GET /v2/", &["TE: trailers"]);
    for bytes in [neither.as_bytes(), &stray] {
        let told = sent(bytes, None, None);
        for name in ["te", "connection", "expect"] {
            assert!(told.all(name).is_empty(), "{told:?}");
        }
    }
}

/// RFC 9113 §8.2.3: HTTP/1.1 has one line of them.
#[test]
fn cookies_of_http2_are_joined() {
    let cases: [(&[&str], Option<&str>, &[&str]); 5] = [
        (&["a=1", "b=2;c", "d"], None, &["a=1; b=2;c; d"]),
        (&["a=1", "S=2", "d"], Some("S"), &["a=1; d"]),
        (&["S=1; a", "S=2; b", "d"], Some("S"), &["a; b; d"]),
        (&["S=1", "S=2"], Some("S"), &[]),
        (&["a=1;S=1"], Some("S"), &["a=1"]),
    ];
    let via = Via::new("zot-1");
    for (lines, hide_cookie, expected) in cases {
        let lines: Vec<String> = lines.iter().map(|line| format!("Cookie: {line}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (bytes, mut fields) = (head("GET /v2/", &lines), Fields::new());
        let head = RequestHead::parse_http2(&bytes, &mut fields).unwrap();
        let mut out = Vec::new();
        let onward = Onward {
            hide_cookie,
            ..onward(&via)
        };
        write_head(&mut out, &head, &onward);
        assert_eq!(Sent::read(&out).all("cookie"), expected, "{lines:?}");
    }
}

#[test]
fn the_sticky_cookie_stays_between_the_client_and_us() {
    let others = ["Cookie: a=1; SHARDLET=x; b=2", "Cookie: SHARDLET=y"];
    let with_others = sent(&head("GET /v2/", &others), None, Some("SHARDLET"));
    assert_eq!(with_others.all("cookie"), ["a=1; b=2"]);
    let alone = sent(
        &head("GET /v2/", &["Cookie: SHARDLET=x"]),
        None,
        Some("SHARDLET"),
    );
    assert!(alone.all("cookie").is_empty());
}

#[test]
fn other_cookies_stay_as_they_are_byte_for_byte() {
    let cases: [(&[u8], &[u8]); 6] = [
        (
            b"name=J\xfcrgen; SHARDLET=x; b=\"2\"",
            b"name=J\xfcrgen; b=\"2\"",
        ),
        (
            "SHARDLET=x;name=J\u{fc}rgen ;; c".as_bytes(),
            "name=J\u{fc}rgen ;; c".as_bytes(),
        ),
        (b"a=1;SHARDLET=x", b"a=1"),
        (
            b"SHARDLETS=1; XSHARDLET=2;  odd",
            b"SHARDLETS=1; XSHARDLET=2;  odd",
        ),
        (b"a=SHARDLET=x", b"a=SHARDLET=x"),
        (b"SHARDLET", b"SHARDLET"),
    ];
    for (line, kept) in cases {
        let mut bytes = b"GET /v2/ HTTP/1.0\r\n".to_vec();
        write_field(&mut bytes, "cookie", line);
        bytes.extend_from_slice(b"\r\n");
        let sent = sent(&bytes, None, Some("SHARDLET"));
        assert_eq!(sent.bytes("cookie"), [kept], "{}", line.escape_ascii());
    }
}

#[test]
fn the_sticky_cookie_names_a_member_of_the_view() {
    let list = ["zot-0", "zot-1"].map(|id| Member {
        id: id.parse().unwrap(),
        address: format!("{id}:5000").parse().unwrap(),
        weight: Weight::default(),
    });
    let members = Members::new(list.to_vec(), &"zot-0".parse().unwrap()).unwrap();
    let key = HashKey::from([7; 16]);
    let view = View::new(members, Placement::Rendezvous, &key, Pins::default());
    let other = view.members().find(&"zot-1".parse().unwrap()).unwrap();
    let token = view.sticky_token(other).as_str();
    let named = |lines: &[&str]| {
        let (bytes, mut fields) = (head("GET /v2/", lines), Fields::new());
        let head = RequestHead::parse(&bytes, &mut fields).unwrap();
        sticky_member(&head, "S", &view)
    };
    let ours = format!("Cookie: b;S={token} ;c");
    assert_eq!(named(&["Cookie: a=\u{fc}", &ours]), Some(other));
    let theirs = format!("Cookie: a=S={token}; SS={token}; S=x; S={token}");
    assert_eq!(named(&[&theirs]), None);
    assert_eq!(named(&[]), None);
}

/// Lines that something is done about, and others.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let list = "(10\\.[0-9]\\.0\\.1|9\\.9\\.9\\.9|::1|x|\u{e4}|https|HTTP|r:1|, |,|for=|;proto=|;host=|\"){0,5}";
    let known = prop_oneof![
        "Connection: (close|keep-alive|TE|x-a|X-B|via|Upgrade|HTTP2-Settings|traceparent|,|, ){0,4}",
        "(X-Forwarded-(For|Host|Proto|Port)|Forwarded|forwarded): "
            .prop_flat_map(move |name| { list.prop_map(move |value| format!("{name}{value}")) }),
        "(Keep-Alive|Proxy-Connection|Proxy-Authorization|proxy-authenticate|Trailer|HTTP2-Settings): [a-z]{0,3}",
        "(TE|te): (trailers|gzip|, |,){0,3}",
        "(X-Shardlet-|x-shardlet-)[a-z]{1,4}: [a-z]{0,3}",
        "X-Zot-Cluster-Hop-Count: 1",
        "(Via|via|traceparent|X-Request-Id|Expect|X-A|x-b|Accept|Close): [ -~]{0,8}",
        "Cookie: (SHARDLET=x|SHARDLETS=x|a=1|;|; | |\u{fc}){0,5}",
        "[A-Za-z]{1,8}:[ \\t]{0,2}[!-~]{0,8}[ \\t]{0,2}",
    ];
    prop_oneof![
        4 => known.prop_map(String::into_bytes),
        1 => prop::collection::vec(0xa0u8..=0xff, 1..5).prop_map(|value| [b"Cookie: a=".to_vec(), value, b"; SHARDLET=y".to_vec()].concat()),
    ]
}

proptest! {
    /// RFC 9110 §7.6.1: what was meant for us alone stays here, and all else is as it was.
    #[test]
    fn all_that_was_not_for_us_goes_on(
        version in "1\\.[01]",
        absolute in any::<bool>(),
        lines in prop::collection::vec(line(), 0..8),
        body in "(Content-Length: [0-9]\r\n|Transfer-Encoding: chunked\r\n|)",
        (trusted, tls, by_client, traced, hides) in any::<(bool, bool, bool, bool, bool)>(),
    ) {
        let via = Via::new("zot-1");
        let networks: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
        let client = Downstream { tls, trusted_proxies: if trusted { &networks } else { &[] }, ..CLIENT };
        let onward = Onward {
            client: by_client.then_some(client),
            trace: traced.then_some(b"00-1"),
            hide_cookie: hides.then_some("SHARDLET"),
            own_address: Some("10.0.0.9:5000".parse().unwrap()),
            ..onward(&via)
        };
        let target = if absolute { "http://r:1/v2/" } else { "/v2/" };
        let host = if version == "1.1" { "Host: r:1\r\n" } else { "" };
        let mut bytes = format!("PUT {target} HTTP/{version}\r\n{host}{body}").into_bytes();
        for line in lines {
            bytes.extend_from_slice(&line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        let mut fields = Fields::new();
        let Ok(head) = RequestHead::parse(&bytes, &mut fields) else {
            prop_assert!(version == "1.0" && body.starts_with('T'));
            return Ok(());
        };
        let out = written(&bytes, &onward);
        let sent = Sent::read(&out);
        for (name, value) in &sent.fields {
            prop_assert!(!name.starts_with("x-shardlet-") && !name.contains("hop-count"));
            let value = String::from_utf8_lossy(value);
            prop_assert!(name != "connection" || value == "TE");
            prop_assert!(onward.hide_cookie.is_none() || name != "cookie" || !value.split(';').any(|pair| pair.trim().starts_with("SHARDLET=")));
            prop_assert!(!["keep-alive", "upgrade", "http2-settings", "x-zot-cluster-hop-count"].contains(&name.as_str()));
        }
        // All else is as it was, in order.
        let theirs = |field: &&Field| !field.nominated && (field.name == Name::Other || field.name == Name::UserAgent);
        let theirs = head.fields().iter().filter(theirs);
        let theirs: Vec<_> = theirs.map(|field| (field.name(&bytes).to_ascii_lowercase(), field.value(&bytes))).collect();
        let is_theirs = |(name, _): &&(String, Vec<u8>)| matches!(Name::of(name.as_bytes()), Name::Other | Name::UserAgent);
        let kept = sent.fields.iter().filter(is_theirs);
        let kept: Vec<_> = kept.map(|(name, value)| (name.clone().into_bytes(), &**value)).collect();
        prop_assert_eq!(kept, theirs);
        // And whoever reads it next reads the same request.
        let mut again = Fields::new();
        let next = RequestHead::parse(&out, &mut again).unwrap();
        prop_assert_eq!((next.body(), next.path(), next.query()), (head.body(), head.path(), head.query()));
        prop_assert_eq!(next.host(), head.host().or(Some("10.0.0.9:5000")));
    }
}
