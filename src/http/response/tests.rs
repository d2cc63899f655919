use proptest::prelude::*;

use super::*;

/// Reads a head that a scanner has found whole, and looks at it.
fn read<T>(
    text: &[u8],
    to_head: bool,
    look: impl FnOnce(&ResponseHead<'_>) -> T,
) -> Result<T, Broken> {
    let end = Scanner::default().scan(text)?;
    assert_eq!(end, Some(text.len()), "{}", text.escape_ascii());
    let mut fields = Fields::new();
    ResponseHead::parse(text, &mut fields, to_head).map(|head| look(&head))
}

fn head_of(lines: &[&str]) -> Vec<u8> {
    let mut text = lines.join("\r\n");
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

const GO: &[&str] = &[
    "HTTP/1.1 200 OK",
    "Content-Type: application/vnd.oci.image.manifest.v1+json",
    "Docker-Content-Digest: sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b",
    "Date: Sun, 06 Nov 1994 08:49:37 GMT",
    "Content-Length: 5",
];

/// RFC 9112 §2.2: the end of a head, whatever follows it.
#[test]
fn the_end_is_found_however_the_bytes_are_cut() {
    let head = head_of(GO);
    let followed = [&head[..], b"hello\n\nHTTP/1.1 200 OK\r\n\r\n"].concat();
    for piece in [1, 2, 3, 7, 100, followed.len()] {
        let mut scanner = Scanner::default();
        let ends = (1..=followed.len().div_ceil(piece))
            .map(|pieces| &followed[..followed.len().min(pieces * piece)]);
        let end = ends
            .into_iter()
            .find_map(|buffer| scanner.scan(buffer).unwrap());
        assert_eq!(end, Some(head.len()), "{piece} bytes at a time");
    }
    assert_eq!(Scanner::default().scan(b"").unwrap(), None);
}

#[test]
fn what_is_no_head_is_seen_early() {
    let cases: [(&[u8], Broken); 9] = [
        (b"\x15\x03", Broken::StatusLine),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Broken::StatusLine),
        (b"H\n", Broken::StatusLine),
        (b"HTTP/2 200\r\n", Broken::StatusLine),
        (b"http/1.1 200 OK\r\n", Broken::StatusLine),
        (b"HTTP/1.1 200 OK\n", Broken::LineEnd),
        (b"HTTP/1.1 200 OK\r\nA: 1\n", Broken::LineEnd),
        (b"HTTP/1.1 200 OK\r\n\n", Broken::LineEnd),
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n\n", Broken::LineEnd),
    ];
    for (text, broken) in cases {
        let scanned = Scanner::default().scan(text);
        assert_eq!(scanned, Err(broken), "{}", text.escape_ascii());
    }
}

#[test]
fn a_head_has_limits() {
    let fields = |count: usize| {
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        (0..count).for_each(|_| text.extend_from_slice(b"A: 1\r\n"));
        text.extend_from_slice(b"\r\n");
        text
    };
    assert_eq!(
        read(&fields(MAX_HEADER_COUNT), false, |head| head.fields().len()),
        Ok(256)
    );
    let many = Scanner::default().scan(&fields(MAX_HEADER_COUNT + 1));
    assert_eq!(many, Err(Broken::TooManyFields));
    let by_peer = MAX_HEADER_COUNT + ADDED_FIELDS;
    let head = fields(by_peer);
    assert_eq!(Scanner::of_peer().scan(&head), Ok(Some(head.len())));
    let mut room = Fields::new();
    let parsed = ResponseHead::parse(&head, &mut room, false).unwrap();
    assert_eq!(parsed.fields().len(), by_peer);
    let many = Scanner::of_peer().scan(&fields(by_peer + 1));
    assert_eq!(many, Err(Broken::TooManyFields));
    let long = |length: usize| {
        let rest = length - b"HTTP/1.1 200 OK\r\nA: \r\n\r\n".len();
        head_of(&["HTTP/1.1 200 OK", &format!("A: {}", "v".repeat(rest))])
    };
    assert_eq!(
        read(&long(HEAD_LIMIT), false, |head| head.bytes().len()),
        Ok(HEAD_LIMIT)
    );
    let longer = long(HEAD_LIMIT + 1);
    assert_eq!(Scanner::default().scan(&longer), Err(Broken::TooLong));
    assert_eq!(
        Scanner::default().scan(&longer[..HEAD_LIMIT]),
        Err(Broken::TooLong)
    );
    assert_eq!(Scanner::default().scan(&longer[..HEAD_LIMIT - 1]), Ok(None));
    let by_peer = long(HEAD_LIMIT + ADDED_BYTES);
    let end = Scanner::of_peer().scan(&by_peer);
    assert_eq!(end, Ok(Some(by_peer.len())));
    let longer = long(HEAD_LIMIT + ADDED_BYTES + 1);
    assert_eq!(Scanner::of_peer().scan(&longer), Err(Broken::TooLong));
}

/// RFC 9112 §4 and §5, RFC 9110 §15.
#[test]
fn what_is_no_status_line_or_field_is_refused() {
    let cases: [(&[u8], Broken); 15] = [
        (b"HTTP/1.2 200 OK\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1 099 Low\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1 20 OK\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1  200 OK\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", Broken::StatusLine),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\n A: 1\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA(b): 1\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n", Broken::Field),
        (b"HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n", Broken::Field),
    ];
    for (text, broken) in cases {
        let refused = read(text, false, |_| ());
        assert_eq!(refused, Err(broken), "{}", text.escape_ascii());
    }
}

/// The parser is more lenient than the scanner, and must not be alone in what it takes.
#[test]
fn what_no_scanner_has_found_is_refused() {
    let cases: [&[u8]; 6] = [
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nA: 1\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nbody",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    ];
    for text in cases {
        let mut fields = Fields::new();
        let read = ResponseHead::parse(text, &mut fields, false);
        assert!(read.is_err(), "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_said_is_found() {
    let text = head_of(&[
        "HTTP/1.1 404 Not  Found, sorry \u{e9}",
        "X-Shardlet-Reject: misdirected",
        "x-shardlet-view:  a\tb ",
        "X-Empty:",
        "Date: one",
        "date: two",
    ]);
    read(&text, false, |head| {
        assert_eq!(head.status(), 404);
        assert_eq!(head.reason(), " Not  Found, sorry \u{e9}".as_bytes());
        assert_eq!(
            head.internal("x-shardlet-reject"),
            Some(&b"misdirected"[..])
        );
        assert_eq!(head.internal("x-shardlet-view"), Some(&b"a\tb"[..]));
        assert_eq!(head.internal("x-empty"), None);
        let date = head.fields().iter().find(|field| field.name == Name::Date);
        assert_eq!(date.unwrap().value(head.bytes()), b"one");
        assert_eq!(head.fields().len(), 5);
    })
    .unwrap();
    for (line, reason) in [("HTTP/1.1 200", ""), ("HTTP/1.1 200 ", " ")] {
        let said = read(&head_of(&[line]), false, |head| head.reason().to_vec());
        assert_eq!(said, Ok(reason.into()), "{line:?}");
    }
}

/// How an answer is framed.
struct Framed {
    lines: &'static [&'static str],
    to_head: bool,
    body: ResponseBody,
    length: Option<u64>,
    keeps: bool,
}

const fn framed(
    lines: &'static [&'static str],
    to_head: bool,
    body: ResponseBody,
    length: Option<u64>,
    keeps: bool,
) -> Framed {
    Framed {
        lines,
        to_head,
        body,
        length,
        keeps,
    }
}

// The columns line up, so that rows can be compared.
#[rustfmt::skip]
const FRAMED: &[Framed] = {
    use ResponseBody::{Chunked, Length, None as No, ToClose};
    &[
        framed(GO, false, Length(5), Some(5), true),
        // nginx
        framed(&["HTTP/1.1 200 OK", "Server: nginx", "Content-Length: 0", "Connection: keep-alive"], false, Length(0), Some(0), true),
        framed(&["HTTP/1.1 502 Bad Gateway", "Transfer-Encoding: chunked", "Connection: close"], false, Chunked, None, false),
        framed(&["HTTP/1.1 200 OK", "Transfer-Encoding: Chunked"], false, Chunked, None, true),
        framed(&["HTTP/1.1 200 OK"], false, ToClose, None, false),
        framed(&["HTTP/1.0 200 OK", "Connection: keep-alive"], false, ToClose, None, false),
        // RFC 9112 §6.3: no body, whatever is said of one.
        framed(GO, true, No, Some(5), true),
        framed(&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], true, No, None, true),
        framed(&["HTTP/1.1 200 OK"], true, No, None, true),
        framed(&["HTTP/1.1 304 Not Modified", "Content-Length: 5"], false, No, Some(5), true),
        framed(&["HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"], false, No, None, true),
        framed(&["HTTP/1.1 304 Not Modified"], false, No, None, true),
        framed(&["HTTP/1.1 204 No Content"], false, No, None, true),
        framed(&["HTTP/1.1 100 Continue"], false, No, None, true),
        // RFC 9110 §8.6, RFC 9112 §6.1: fields that have no place there.
        framed(&["HTTP/1.1 204 No Content", "Content-Length: 0"], false, No, None, true),
        framed(&["HTTP/1.1 204 No Content", "Content-Length: 5"], false, No, None, false),
        framed(&["HTTP/1.1 204 No Content", "Content-Length: 5", "Content-Length: x"], true, No, None, false),
        framed(&["HTTP/1.1 204 No Content", "Transfer-Encoding: chunked"], false, No, None, false),
        framed(&["HTTP/1.1 103 Early Hints", "Content-Length: 5"], false, No, None, false),
        // RFC 9110 §8.6: said twice, and the same.
        framed(&["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"], false, Length(5), Some(5), true),
        framed(&["HTTP/1.1 200 OK", "Content-Length: 5, 5 ,05"], false, Length(5), Some(5), true),
        framed(&["HTTP/1.1 304 Not Modified", "Content-Length: 5", "Content-Length: 5"], false, No, Some(5), true),
        framed(&["HTTP/1.1 200 OK", "Content-Length: 9223372036854775807"], false, Length(u64::MAX >> 1), Some(u64::MAX >> 1), true),
        // RFC 9112 §6.3: the coding counts, and the connection with it ends.
        framed(&["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"], false, Chunked, None, false),
        framed(&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: x"], false, Chunked, None, false),
        framed(&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: 5"], true, No, None, false),
        // RFC 9112 §9.3.
        framed(&["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: X-A", "Connection: Close"], false, Length(0), Some(0), false),
        framed(&["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: x-a ,\tclose"], false, Length(0), Some(0), false),
        framed(&["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: closed"], false, Length(0), Some(0), true),
        framed(&["HTTP/1.0 200 OK", "Content-Length: 0"], false, Length(0), Some(0), false),
        framed(&["HTTP/1.0 200 OK", "Content-Length: 0", "Connection: Keep-Alive"], false, Length(0), Some(0), true),
        framed(&["HTTP/1.0 200 OK", "Content-Length: 0", "Connection: keep-alive", "Connection: close"], false, Length(0), Some(0), false),
    ]
};

#[test]
fn an_answer_has_one_end() {
    for case in FRAMED {
        let shown = case.lines;
        read(&head_of(shown), case.to_head, |head| {
            assert_eq!(head.body(), case.body, "{shown:?}");
            assert_eq!(head.content_length(), case.length, "{shown:?}");
            assert_eq!(head.keeps_connection(), case.keeps, "{shown:?}");
            // RFC 9110 §15.2.
            assert_eq!(head.is_informational(), head.status() < 200, "{shown:?}");
        })
        .unwrap();
    }
}

/// RFC 9112 §6.1, §6.3 and §7, RFC 9110 §8.6.
#[test]
fn framing_with_two_readings_is_refused() {
    let length = |said: &'static [&str]| (said, Broken::ContentLength);
    let coding = |said: &'static [&str]| (said, Broken::TransferEncoding);
    let cases = [
        length(&["Content-Length: 5", "Content-Length: 6"]),
        length(&["Content-Length: 5", "X-A: 1", "content-length: 05x"]),
        length(&["Content-Length: 5, 6"]),
        length(&["Content-Length: 5,"]),
        length(&["Content-Length:"]),
        length(&["Content-Length: +5"]),
        length(&["Content-Length: -5"]),
        length(&["Content-Length: 0x5"]),
        length(&["Content-Length: 5 5"]),
        length(&["Content-Length: 9223372036854775808"]),
        length(&["Content-Length: 99999999999999999999"]),
        coding(&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
        coding(&["Transfer-Encoding: chunked, chunked"]),
        coding(&["Transfer-Encoding: gzip, chunked"]),
        coding(&["Transfer-Encoding: identity"]),
        coding(&["Transfer-Encoding: xchunked"]),
        coding(&["Transfer-Encoding:"]),
        coding(&["Transfer-Encoding: gzip", "Content-Length: 5"]),
    ];
    for (said, broken) in cases {
        for (status, to_head) in [
            ("200 OK", false),
            ("200 OK", true),
            ("304 Not Modified", false),
        ] {
            let line = format!("HTTP/1.1 {status}");
            let text = head_of(&[&[line.as_str()], said].concat());
            assert_eq!(
                read(&text, to_head, |_| ()),
                Err(broken),
                "{status} {said:?}"
            );
        }
    }
    let old = head_of(&["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"]);
    assert_eq!(read(&old, false, |_| ()), Err(Broken::TransferEncoding));
}

/// RFC 9110 §7.6.1.
#[test]
fn what_connection_names_is_marked_and_holds_trailers_back() {
    let cases: [(&[&str], &[&str], bool); 5] = [
        (&["Connection: close, keep-alive, ,Upgrade"], &[], true),
        (
            &["Connection: X-A, close", "Connection: x-b"],
            &["X-A", "x-a", "X-B"],
            false,
        ),
        (&["Connection: x-absent"], &[], false),
        (
            &["Connection: Content-Length, transfer-encoding"],
            &[],
            true,
        ),
        (&[], &[], true),
    ];
    for (connection, nominated, trailers) in cases {
        let rest = [
            "X-A: 1",
            "x-a: 2",
            "X-B: 3",
            "X-AA: 4",
            "Transfer-Encoding: chunked",
        ];
        let text = head_of(&[&["HTTP/1.1 200 OK"], connection, &rest].concat());
        read(&text, false, |head| {
            let marked = head.fields().iter().filter(|field| field.nominated);
            let marked: Vec<&[u8]> = marked.map(|field| field.name(head.bytes())).collect();
            let expected: Vec<&[u8]> = nominated.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(marked, expected, "{connection:?}");
            assert_eq!(head.passes_trailers(), trailers, "{connection:?}");
        })
        .unwrap();
    }
    let by_length = read(&head_of(GO), false, |head| head.passes_trailers());
    assert_eq!(by_length, Ok(false));
}

#[test]
fn messages_name_the_limits() {
    let many = Broken::TooManyFields.to_string();
    assert!(many.contains(&MAX_HEADER_COUNT.to_string()), "{many}");
    let long = Broken::TooLong.to_string();
    assert!(
        long.contains(&format!("{} KiB", HEAD_LIMIT / 1024)),
        "{long}"
    );
}

proptest! {
    /// Whatever comes, the two agree on where a head ends, and nothing panics.
    #[test]
    fn scanner_and_parser_agree(
        start in prop::sample::select(&["HTTP/1.1 200 OK\r\n", "HTTP/1.0 304\r\n", "HTTP/1.1 ", ""][..]),
        parts in prop::collection::vec(part(), 0..12),
        to_head in any::<bool>(),
    ) {
        let text = [start.as_bytes(), &parts.concat()].concat();
        let scanned = Scanner::default().scan(&text);
        let mut fields = Fields::new();
        match scanned {
            Ok(Some(end)) => {
                let _ = ResponseHead::parse(&text[..end], &mut fields, to_head);
                if end < text.len() {
                    prop_assert!(ResponseHead::parse(&text, &mut Fields::new(), to_head).is_err());
                }
            }
            Ok(None) | Err(_) => {
                prop_assert!(ResponseHead::parse(&text, &mut fields, to_head).is_err());
            }
        }
    }
}

/// Bytes that heads are made of, and others.
fn part() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: x-a\r\n",
        "X-A: 1\r\n",
        "A:\r\n",
        "\r\n",
        "\n",
        " ",
        ":",
        "204 No\r\n",
        "Date: x \t\r\n",
        "\r",
    ];
    prop_oneof![
        6 => prop::sample::select(KNOWN).prop_map(|known| known.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ]
}
