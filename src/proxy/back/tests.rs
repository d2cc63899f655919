use proptest::prelude::*;

use super::*;
use crate::http::fields::Fields;
use crate::http::head::MAX_HEADER_COUNT;
use crate::http::request_id::MAX_REQUEST_ID;
use crate::http::response::Scanner;

const BACK: Back<'_> = Back {
    version: Version::Http11,
    request_id: b"id-1",
    date: b"Sun, 06 Nov 1994 08:49:37 GMT",
    cookie: None,
    close: false,
};

fn head_of(lines: &[&str]) -> Vec<u8> {
    let mut text = lines.join("\r\n");
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

fn read<T>(lines: &[&str], to_head: bool, look: impl FnOnce(&ResponseHead<'_>) -> T) -> T {
    let text = head_of(lines);
    let mut fields = Fields::new();
    look(&ResponseHead::parse(&text, &mut fields, to_head).unwrap())
}

/// The lines that a client gets, and how the body goes.
fn written(lines: &[&str], to_head: bool, back: &Back<'_>) -> (Vec<String>, ResponseBody) {
    let mut out = b"before".to_vec();
    let body = read(lines, to_head, |head| write_head(&mut out, head, back));
    (lines_of(&out[6..]), body)
}

fn lines_of(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).unwrap();
    let lines = text
        .strip_suffix("\r\n\r\n")
        .expect("a head ends in an empty line");
    lines.split("\r\n").map(str::to_owned).collect()
}

/// RFC 9110 §7.6.1: fields of the connection, those that it names, and those that members tell each other.
#[test]
fn what_is_not_for_the_client_stays_here_and_all_else_is_the_same_byte_for_byte() {
    let sent = [
        "HTTP/1.1 201 Created as \"asked\"",
        "Date:\tthen",
        "X-One: 1",
        "Connection: keep-alive, X-Named",
        "Keep-Alive: timeout=5",
        "x-two:2  ",
        "X-Named: a",
        "Content-Length: 5",
        "x-named: b",
        "X-Shardlet-View: forged",
        "X-SHARDLET-Anything-Else: forged",
        "X-Request-Id: another",
        "Location:  /v2/a/blobs/uploads/1?_state=x ",
        "Upgrade: h2c",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: X-Sum",
        "connection: content-length",
        "Set-Cookie: a=1",
        "Set-Cookie: b=\"2\"",
        "X-Empty:",
    ];
    let (lines, body) = written(&sent, false, &BACK);
    let expected = [
        "HTTP/1.1 201 Created as \"asked\"",
        "Date:\tthen",
        "X-One: 1",
        "x-two:2  ",
        "Location:  /v2/a/blobs/uploads/1?_state=x ",
        "Set-Cookie: a=1",
        "Set-Cookie: b=\"2\"",
        "X-Empty:",
        "x-request-id: id-1",
        "Content-Length: 5",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, ResponseBody::Length(5));
    let kept: Vec<(String, String)> = read(&sent, false, |head| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        kept(head)
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    });
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "Date",
        "X-One",
        "x-two",
        "Location",
        "Set-Cookie",
        "Set-Cookie",
        "X-Empty",
    ];
    assert_eq!(names, expected);
    assert_eq!(kept[3].1, "/v2/a/blobs/uploads/1?_state=x");
    assert_eq!(kept[6].1, "");
}

#[test]
fn bytes_that_are_no_text_go_on_as_they_are() {
    let text =
        b"HTTP/1.1 200 J\xfcrgen\r\nDate: x\r\nX-Name: J\xfcrgen\r\nContent-Length: 0\r\n\r\n";
    let (mut fields, mut out) = (Fields::new(), Vec::new());
    let head = ResponseHead::parse(text, &mut fields, false).unwrap();
    write_head(&mut out, &head, &BACK);
    let kept = b"HTTP/1.1 200 J\xfcrgen\r\nDate: x\r\nX-Name: J\xfcrgen\r\nx-request-id";
    assert!(out.starts_with(kept), "{}", out.escape_ascii());
}

/// RFC 9112 §4: a space stands where the phrase would.
#[test]
fn an_answer_without_a_phrase_has_none_for_the_client() {
    for line in ["HTTP/1.1 200", "HTTP/1.0 200 "] {
        let (lines, _) = written(&[line, "Content-Length: 0"], false, &BACK);
        assert_eq!(lines[0], "HTTP/1.1 200 ", "{line:?}");
    }
}

/// RFC 9110 §6.6.1 for the date, and what else is ours.
#[test]
fn date_id_and_cookie_are_added_once() {
    let back = Back {
        cookie: Some("SHARDLET=x; Path=/"),
        ..BACK
    };
    let dated = [
        "HTTP/1.1 200 OK",
        "DATE: then",
        "x-request-id: theirs",
        "Content-Length: 12345",
    ];
    let (lines, _) = written(&dated, false, &back);
    let ours = [
        "x-request-id: id-1",
        "set-cookie: SHARDLET=x; Path=/",
        "Content-Length: 12345",
    ];
    assert_eq!(lines[..2], ["HTTP/1.1 200 OK", "DATE: then"]);
    assert_eq!(lines[2..], ours);
    let not_dated = [
        "HTTP/1.1 200 OK",
        "Connection: date",
        "Date: here alone",
        "Content-Length: 0",
    ];
    let (lines, _) = written(&not_dated, false, &BACK);
    assert_eq!(lines[1], "date: Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(lines.len(), 4);
}

/// What a replica says of framing and connection, and what a client of each version is told instead.
struct Told {
    lines: &'static [&'static str],
    to_head: bool,
    to_1_1: (&'static [&'static str], ResponseBody),
    to_1_0: (&'static [&'static str], ResponseBody),
}

const LENGTH: &str = "Content-Length: 5";
const CHUNKED: &str = "Transfer-Encoding: chunked";
const KEEP: &str = "connection: keep-alive";
const CLOSE: &str = "connection: close";

#[rustfmt::skip]
const TOLD: &[Told] = {
    use ResponseBody::{Chunked, Length, None as No, ToClose};
    &[
        Told { lines: &["HTTP/1.1 200 OK", LENGTH], to_head: false,
            to_1_1: (&[LENGTH], Length(5)), to_1_0: (&[LENGTH, KEEP], Length(5)) },
        // RFC 9110 §8.6: said twice.
        Told { lines: &["HTTP/1.1 200 OK", "Content-length: 05", LENGTH], to_head: false,
            to_1_1: (&[LENGTH], Length(5)), to_1_0: (&[LENGTH, KEEP], Length(5)) },
        // RFC 9112 §6.1: HTTP/1.0 knows no chunks, and the end of the connection is the end.
        Told { lines: &["HTTP/1.1 200 OK", "transfer-encoding:chunked"], to_head: false,
            to_1_1: (&[CHUNKED], Chunked), to_1_0: (&[CLOSE], ToClose) },
        // RFC 9112 §6.3: the coding counts.
        Told { lines: &["HTTP/1.1 200 OK", LENGTH, CHUNKED], to_head: false,
            to_1_1: (&[CHUNKED], Chunked), to_1_0: (&[CLOSE], ToClose) },
        // RFC 9112 §8: in chunks a cut is seen.
        Told { lines: &["HTTP/1.1 200 OK"], to_head: false,
            to_1_1: (&[CHUNKED], Chunked), to_1_0: (&[CLOSE], ToClose) },
        Told { lines: &["HTTP/1.0 200 OK"], to_head: false,
            to_1_1: (&[CHUNKED], Chunked), to_1_0: (&[CLOSE], ToClose) },
        // RFC 9112 §6.3: no bodies.
        Told { lines: &["HTTP/1.1 200 OK", LENGTH], to_head: true,
            to_1_1: (&[LENGTH], No), to_1_0: (&[LENGTH, KEEP], No) },
        Told { lines: &["HTTP/1.1 200 OK", CHUNKED], to_head: true,
            to_1_1: (&[], No), to_1_0: (&[KEEP], No) },
        Told { lines: &["HTTP/1.1 200 OK"], to_head: true,
            to_1_1: (&[], No), to_1_0: (&[KEEP], No) },
        Told { lines: &["HTTP/1.1 304 Not Modified", LENGTH, LENGTH], to_head: false,
            to_1_1: (&[LENGTH], No), to_1_0: (&[LENGTH, KEEP], No) },
        Told { lines: &["HTTP/1.1 304 Not Modified", CHUNKED], to_head: false,
            to_1_1: (&[], No), to_1_0: (&[KEEP], No) },
        Told { lines: &["HTTP/1.1 204 No Content", LENGTH], to_head: false,
            to_1_1: (&[], No), to_1_0: (&[KEEP], No) },
        Told { lines: &["HTTP/1.1 204 No Content", CHUNKED], to_head: false,
            to_1_1: (&[], No), to_1_0: (&[KEEP], No) },
        // What the replica does with its own connection is nothing to the client.
        Told { lines: &["HTTP/1.1 200 OK", LENGTH, "Connection: close"], to_head: false,
            to_1_1: (&[LENGTH], Length(5)), to_1_0: (&[LENGTH, KEEP], Length(5)) },
    ]
};

#[test]
fn framing_is_told_anew_for_each_version() {
    for case in TOLD {
        let versions = [
            (Version::Http11, &case.to_1_1),
            (Version::Http10, &case.to_1_0),
        ];
        for (version, (expected, expected_body)) in versions {
            let back = Back { version, ..BACK };
            let (lines, body) = written(case.lines, case.to_head, &back);
            assert!(lines[0].starts_with("HTTP/1.1 "), "{lines:?}");
            assert_eq!(lines[3..], **expected, "{version:?} {:?}", case.lines);
            assert_eq!(body, *expected_body, "{version:?} {:?}", case.lines);
        }
    }
}

/// RFC 9112 §9.3: an answer behind which the connection ends says so, and never that it goes on.
#[test]
fn an_answer_that_will_close_says_so() {
    for case in TOLD {
        for version in [Version::Http11, Version::Http10] {
            let back = Back {
                version,
                close: true,
                ..BACK
            };
            let (lines, _) = written(case.lines, case.to_head, &back);
            assert_eq!(
                lines.last().map(String::as_str),
                Some(CLOSE),
                "{:?}",
                case.lines
            );
            assert!(!lines.iter().any(|line| line == KEEP), "{lines:?}");
        }
    }
}

/// RFC 9110 §6.6.2: trailers are announced where they can follow, and nowhere else.
#[test]
fn trailers_are_announced_where_they_can_follow() {
    let announced = |lines: &[&str], to_head, version| {
        let (lines, _) = written(lines, to_head, &Back { version, ..BACK });
        lines.iter().any(|line| line == "Trailer: X-Sum")
    };
    let chunked = ["HTTP/1.1 200 OK", "Trailer: X-Sum", CHUNKED];
    assert!(announced(&chunked, false, Version::Http11));
    assert!(!announced(&chunked, false, Version::Http10));
    assert!(!announced(&chunked, true, Version::Http11));
    let none: [&[&str]; 4] = [
        &["HTTP/1.1 200 OK", "Trailer: X-Sum", LENGTH],
        &["HTTP/1.1 200 OK", "Trailer: X-Sum"],
        &["HTTP/1.1 304 Not Modified", "Trailer: X-Sum", CHUNKED],
        &[
            "HTTP/1.1 200 OK",
            "Trailer: X-Sum",
            CHUNKED,
            "Connection: x-sum",
        ],
    ];
    for lines in none {
        assert!(!announced(lines, false, Version::Http11), "{lines:?}");
    }
}

/// RFC 9110 §15.2.
#[test]
fn an_interim_answer_goes_to_http_1_1_without_what_is_not_for_the_client() {
    let sent = [
        "HTTP/1.1 103 Early Hints",
        "Link: </a>",
        "Connection: X-Named",
        "X-Named: 1",
        "Content-Length: 5",
        "X-Shardlet-View: forged",
    ];
    let mut out = Vec::new();
    read(&sent, false, |head| {
        write_interim(&mut out, head, Version::Http11)
    });
    assert_eq!(lines_of(&out), ["HTTP/1.1 103 Early Hints", "Link: </a>"]);
    let mut old = Vec::new();
    read(&sent, false, |head| {
        write_interim(&mut old, head, Version::Http10)
    });
    assert!(old.is_empty());
}

/// RFC 9113 §8.2.2.
#[test]
fn an_http2_client_gets_the_same_without_the_connection() {
    let back = Back {
        version: Version::Http2,
        cookie: Some("SHARDLET=x"),
        ..BACK
    };
    let sent = [
        "HTTP/1.1 206 Partial",
        "Connection: close, X-Named",
        "X-Named: 1",
        "Keep-Alive: timeout=5",
        "Set-Cookie: a=1",
        "X-Request-Id: theirs",
        "X-Shardlet-View: forged",
        "Content-Range: bytes 0-4/9",
        LENGTH,
    ];
    let response = read(&sent, false, |head| to_http2(head, &back).unwrap());
    assert_eq!(response.status, 206);
    let fields = response.headers.iter();
    let mut fields: Vec<(&str, &str)> = fields
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    fields.sort_unstable();
    let expected = [
        ("content-length", "5"),
        ("content-range", "bytes 0-4/9"),
        ("set-cookie", "SHARDLET=x"),
        ("set-cookie", "a=1"),
        ("x-request-id", "id-1"),
    ];
    assert_eq!(fields, expected);
    let chunked = ["HTTP/1.1 200 OK", CHUNKED, "Trailer: X-Sum"];
    let response = read(&chunked, false, |head| to_http2(head, &BACK).unwrap());
    let names: Vec<&str> = response.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["trailer", "x-request-id"]);
    let interim = ["HTTP/1.1 103 Early Hints", "Link: </a>", "Connection: x"];
    let response = read(&interim, false, |head| to_http2(head, &BACK).unwrap());
    let names: Vec<&str> = response.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!((response.status.as_u16(), names), (103, vec!["link"]));
}

/// Fields of answers, of which many have a meaning for us.
fn field() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Trailer",
        "Upgrade",
        "X-Shardlet-View",
        "X-Request-Id",
        "Date",
        "Set-Cookie",
        "X-A",
        "x-b",
        "Te",
    ];
    const VALUES: &[&str] = &[
        "5",
        "chunked",
        "close",
        "keep-alive, X-A",
        "x-b",
        "",
        "a b\t\u{e9} ",
    ];
    (
        prop::sample::select(NAMES),
        prop::sample::select(VALUES),
        "[ \t]{0,2}",
    )
        .prop_map(|(name, value, space)| format!("{name}:{space}{value}"))
}

/// Two members pass on what one may get from its replica: the first to a client, the second to the first.
#[test]
fn what_a_member_adds_is_no_more_than_the_next_one_takes() {
    let back = Back {
        request_id: &b"i".repeat(MAX_REQUEST_ID),
        close: true,
        ..BACK
    };
    // To the end of its connection, without a date: nothing of ours stands in the place of another field.
    for filling in ["v".repeat(10), "v".repeat(250)] {
        let field = format!("A: {filling}\r\n");
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        (0..MAX_HEADER_COUNT).for_each(|_| text.extend_from_slice(field.as_bytes()));
        text.extend_from_slice(b"\r\n");
        assert_eq!(Scanner::default().scan(&text), Ok(Some(text.len())));
        let mut fields = Fields::new();
        let head = ResponseHead::parse(&text, &mut fields, false).unwrap();
        let mut out = Vec::new();
        write_head(&mut out, &head, &back);
        assert_eq!(Scanner::of_peer().scan(&out), Ok(Some(out.len())));
        let mut fields = Fields::new();
        let again = ResponseHead::parse(&out, &mut fields, false).unwrap();
        assert_eq!(again.fields().len(), MAX_HEADER_COUNT + 4);
    }
}

proptest! {
    /// Whatever can be read can be read again when it was written, with one framing and one end.
    #[test]
    fn what_is_written_is_an_answer_with_one_end(
        status in prop::sample::select(&["200 OK", "204", "304 ", "404 No", "500 x"][..]),
        lines in prop::collection::vec(field(), 0..12),
        to_head in any::<bool>(),
        close in any::<bool>(),
        old in any::<bool>(),
    ) {
        let first = format!("HTTP/1.1 {status}");
        let lines: Vec<&str> = [&first].into_iter().chain(&lines).map(String::as_str).collect();
        let text = head_of(&lines);
        let mut fields = Fields::new();
        let Ok(head) = ResponseHead::parse(&text, &mut fields, to_head) else {
            return Ok(());
        };
        let version = if old { Version::Http10 } else { Version::Http11 };
        let back = Back { version, close, ..BACK };
        let mut out = Vec::new();
        let body = write_head(&mut out, &head, &back);
        let mut again = Fields::new();
        let again = ResponseHead::parse(&out, &mut again, to_head).unwrap();
        prop_assert_eq!(again.body(), body);
        prop_assert_eq!(again.content_length(), head.content_length());
        prop_assert_eq!(again.keeps_connection(), !close && body != ResponseBody::ToClose);
        prop_assert_eq!(again.internal("x-shardlet-view"), None);
        let id = again.fields().iter().find(|field| field.name == Name::RequestId);
        prop_assert_eq!(id.map(|id| id.value(again.bytes())), Some(&b"id-1"[..]));
        let framing = again.fields().iter().filter(|field| {
            matches!(field.name, Name::ContentLength | Name::TransferEncoding)
        });
        prop_assert!(framing.count() <= 1);
        let ours = [Name::Date, Name::RequestId, Name::Trailer];
        let theirs = |name: &[u8]| !ours.contains(&Name::of(name));
        let sent: Vec<_> = kept(&head).filter(|(name, _)| theirs(name)).collect();
        let got: Vec<_> = kept(&again).filter(|(name, _)| theirs(name)).collect();
        prop_assert_eq!(sent, got);
        prop_assert!(to_http2(&head, &back).is_ok());
    }
}
