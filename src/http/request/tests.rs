use super::*;
use crate::http::respond::Malformed;

/// A head of these lines.
fn head(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn parsed<R>(bytes: &[u8], look: impl FnOnce(RequestHead<'_>) -> R) -> R {
    look(RequestHead::parse(bytes, &mut Fields::new()).unwrap())
}

fn refused(bytes: &[u8]) -> Failure {
    RequestHead::parse(bytes, &mut Fields::new()).unwrap_err()
}

#[test]
fn a_head_is_taken_apart() {
    let bytes = head(&[
        "PATCH /v2/a/blobs/uploads/x?_state=1?2 HTTP/1.1",
        "Host: r:5000",
        "accept: a/b",
        "X-Shardlet-Hold: 7",
        "Via: 1.0 a",
        "VIA:1.1 b , 1.1 c",
        "x-zot-cluster-hop-count: 1",
        "Transfer-Encoding: Chunked",
        "User-Agent:",
    ]);
    parsed(&bytes, |head| {
        assert_eq!(
            (head.method(), head.version()),
            (Method::Patch, Version::Http11)
        );
        assert_eq!(head.path(), "/v2/a/blobs/uploads/x");
        assert_eq!(head.query(), Some(&b"_state=1?2"[..]));
        assert_eq!(head.target(), "/v2/a/blobs/uploads/x?_state=1?2");
        assert_eq!((head.host(), head.body()), (Some("r:5000"), Body::Chunked));
        assert_eq!(
            head.all(Name::Via).collect::<Vec<_>>(),
            [&b"1.0 a"[..], b"1.1 b , 1.1 c"]
        );
        assert_eq!(head.first(Name::UserAgent), Some(&b""[..]));
        assert_eq!(head.first(Name::Range), None);
        assert!(head.has(Name::Internal) && !head.has(Name::Cookie));
        assert_eq!(head.internal("x-shardlet-hold"), Some(&b"7"[..]));
        assert_eq!(head.internal("x-zot-cluster-hop-count"), Some(&b"1"[..]));
        assert_eq!(head.internal("x-shardlet-view"), None);
        assert_eq!((head.fields().len(), head.bytes()), (8, &*bytes));
        assert!(!head.wants_close() && !head.expects_continue());
    });
}

/// RFC 9112 §3.2.2: with HTTP/1.0 too, the target says which host is meant.
#[test]
fn an_absolute_target_names_the_host() {
    let cases = [
        ("http://R:1/v2/a", "1.0", None, "/v2/a", "R:1"),
        ("http://R:1/v2/a", "1.1", Some("r:1"), "/v2/a", "r:1"),
        ("HTTPS://r:1?x=1", "1.1", Some("r:1"), "/?x=1", "r:1"),
        ("http://[::1]", "1.0", None, "/", "[::1]"),
    ];
    for (target, version, named, path, host) in cases {
        let named = named
            .map(|host| format!("Host: {host}\r\n"))
            .unwrap_or_default();
        let bytes = format!("GET {target} HTTP/{version}\r\n{named}\r\n").into_bytes();
        parsed(&bytes, |head| {
            assert_eq!(
                (&*head.target(), head.host()),
                (path, Some(host)),
                "{target}"
            );
        });
    }
    for target in [
        "http://user@r/v2/",
        "http://a,b/",
        "http://a;b/v2/",
        "http://:1:2/",
    ] {
        let bytes = head(&[&format!("GET {target} HTTP/1.0")]);
        assert_eq!(
            refused(&bytes),
            Failure::BadRequest(Malformed::HostInvalid),
            "{target}"
        );
    }
    assert_eq!(
        refused(&head(&["GET http:///v2/ HTTP/1.0"])),
        Failure::BadRequest(Malformed::AuthorityDiffers)
    );
}

/// RFC 9112 §9.3: in any of its lines, and in HTTP/1.0 unless it says otherwise. RFC 9110 §5.6.1: among empty
/// members, too.
#[test]
fn a_connection_closes_when_its_client_says_so() {
    let cases: [(&str, &[&str], bool); 9] = [
        ("1.1", &[], false),
        ("1.1", &["keep-alive"], false),
        ("1.1", &["close"], true),
        ("1.1", &["keep-alive", "Close"], true),
        ("1.1", &["x", "", ", y ,\tCLOSE"], true),
        ("1.0", &[], true),
        ("1.0", &["x"], true),
        ("1.0", &["x", "Keep-Alive"], false),
        ("1.0", &["keep-alive", "close"], true),
    ];
    for (version, lines, closes) in cases {
        let mut text = format!("GET /v2/ HTTP/{version}\r\nHost: r\r\n");
        for line in lines {
            text += &format!("Connection: {line}\r\n");
        }
        text += "\r\n";
        parsed(text.as_bytes(), |head| {
            assert_eq!(head.wants_close(), closes, "{text}")
        });
        let mut fields = Fields::new();
        let by_http2 = RequestHead::parse_http2(text.as_bytes(), &mut fields).unwrap();
        assert!(!by_http2.wants_close());
    }
}

/// RFC 9110 §8.6: no reader behind us takes a longer one for a shorter one.
#[test]
fn a_length_fits_into_what_others_count_with() {
    let length = |text: &str| {
        head(&[
            "PUT /v2/ HTTP/1.1",
            "Host: r",
            &format!("Content-Length: {text}"),
        ])
    };
    let most = i64::MAX as u64;
    for (text, expected) in [("0", 0), ("007", 7), (&most.to_string(), most)] {
        parsed(&length(text), |head| {
            assert_eq!(head.body(), Body::Length(expected))
        });
    }
    for text in [
        &(most + 1).to_string(),
        &u64::MAX.to_string(),
        "99999999999999999999",
        "",
        "-1",
    ] {
        assert_eq!(
            refused(&length(text)),
            Failure::BadRequest(Malformed::ContentLength),
            "{text}"
        );
    }
}

/// RFC 9110 §7.6.1, §5.6.2: names of fields, as many as can be looked for.
#[test]
fn connection_names_fields_and_nothing_else() {
    let with = |value: &str| {
        head(&[
            "GET /v2/ HTTP/1.1",
            "Host: r",
            "X-Private: 1",
            &format!("Connection: {value}"),
        ])
    };
    parsed(&with("close,x-PRIVATE"), |head| {
        let nominated: Vec<bool> = head.fields().iter().map(|field| field.nominated).collect();
        assert_eq!(nominated, [false, true, false]);
    });
    // What it names might be among the trailers.
    for (value, passes) in [
        ("close, TE", true),
        ("X-Private", false),
        ("x-later", false),
    ] {
        let mut chunked = with(value);
        chunked.truncate(chunked.len() - 2);
        chunked.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        parsed(&chunked, |head| {
            assert_eq!(head.passes_trailers(), passes, "{value}");
        });
        // Those of HTTP/2 end here.
        let mut fields = Fields::new();
        let by_http2 = RequestHead::parse_http2(&chunked, &mut fields).unwrap();
        assert!(!by_http2.passes_trailers());
    }
    let many = vec!["x"; 17].join(",");
    for value in ["\"Host\"", ":authority", "a b", "x\u{e4}", &many] {
        assert_eq!(
            refused(&with(value)),
            Failure::BadRequest(Malformed::Connection),
            "{value}"
        );
    }
    parsed(&with(&many[2..]), |_| {});
}

/// RFC 9110 §10.1.1 and §10.1.4: what HTTP/1.0 says of either is not believed.
#[test]
fn a_client_may_wait_for_100_and_take_trailers() {
    let cases: [(&[&str], bool, bool, bool); 6] = [
        (&["Expect: 100-Continue"], true, false, false),
        (
            &["Expect: x", "Expect: y, 100-continue"],
            true,
            false,
            false,
        ),
        (&["Expect: 100-continued"], false, false, false),
        (&["TE: trailers"], false, false, true),
        (
            &["TE: gzip;q=0.5, Trailers", "Connection: close, te"],
            false,
            true,
            true,
        ),
        (&["TE: trailersx", "Connection: TE"], false, false, false),
    ];
    for (lines, waits, takes, takes_by_http2) in cases {
        let whole = |version: &str| {
            let first = format!("PUT /v2/ HTTP/{version}");
            head(&[&[&*first, "Host: r"], lines].concat())
        };
        let bytes = whole("1.1");
        parsed(&bytes, |head| {
            assert_eq!(
                (head.expects_continue(), head.takes_trailers()),
                (waits, takes),
                "{lines:?}"
            );
        });
        let mut fields = Fields::new();
        let by_http2 = RequestHead::parse_http2(&bytes, &mut fields).unwrap();
        assert_eq!(by_http2.takes_trailers(), takes_by_http2, "{lines:?}");
        parsed(&whole("1.0"), |head| {
            assert!(
                !head.expects_continue() && !head.takes_trailers(),
                "{lines:?}"
            );
        });
    }
}

/// RFC 9113 §8.3.1: an authority may be missing.
#[test]
fn http2_may_name_no_host() {
    let bytes = head(&["GET /v2/ HTTP/1.1"]);
    let mut fields = Fields::new();
    let by_http2 = RequestHead::parse_http2(&bytes, &mut fields).unwrap();
    assert_eq!(
        (by_http2.host(), by_http2.version()),
        (None, Version::Http2)
    );
    assert_eq!(refused(&bytes), Failure::BadRequest(Malformed::HostMissing));
}
