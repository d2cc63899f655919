use super::*;
use crate::http::fields::Fields;
use crate::http::request::RequestHead;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits {
    request_line: 64,
    fields: 512,
    count: 4,
};

/// A head that may go on.
#[derive(Debug, PartialEq)]
struct Head {
    length: usize,
    body: Body,
    target: String,
}

fn read(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let Some(length) = Scanner::default().scan(bytes, &LIMITS)? else {
        return Ok(None);
    };
    let mut fields = Fields::new();
    let head = RequestHead::parse(&bytes[..length], &mut fields)?;
    // So do others read it.
    let target: http::uri::PathAndQuery = head.target().parse().unwrap();
    let query = head.query().map(|query| str::from_utf8(query).unwrap());
    assert_eq!((target.path(), target.query()), (head.path(), query));
    if let Some(host) = head.host() {
        host.parse::<http::uri::Authority>().unwrap();
    }
    Ok(Some(Head {
        length,
        body: head.body(),
        target: head.target().into_owned(),
    }))
}

fn bad(fault: Malformed) -> Result<Option<Head>, Failure> {
    Err(Failure::BadRequest(fault))
}

#[test]
fn heads_that_go_on() {
    let cases: &[(&str, Body)] = &[
        ("GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n", Body::Length(0)),
        ("GET /v2/ HTTP/1.0\r\n\r\n", Body::Length(0)),
        (
            "PUT /v2/ HTTP/1.1\r\nhost: r:5000\r\ncontent-length: 12\r\n\r\n",
            Body::Length(12),
        ),
        (
            "PATCH /v2/ HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: Chunked\r\n\r\n",
            Body::Chunked,
        ),
        (
            "GET /v2/ HTTP/1.1\r\nHost: r\r\nConnection: close, TE, x-forwarded\r\nConnection: \r\n\r\n",
            Body::Length(0),
        ),
        (
            "GET /v2/ HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            Body::Length(0),
        ),
    ];
    for (text, body) in cases {
        let head = read(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.length, head.body), (text.len(), *body), "{text:?}");
        assert_eq!(head.target, "/v2/", "{text:?}");
    }
}

/// Header lines behind a good request line and `Host`.
#[rustfmt::skip]
const FAULTY_FIELDS: &[(&str, Malformed)] = &[
    // RFC 9112 §6.3, §6.1.
    ("Content-Length: 3\r\nTransfer-Encoding: chunked", Malformed::LengthWithEncoding),
    ("Content-Length: 3\r\nContent-Length: 3", Malformed::ContentLength),
    ("Content-Length: 3, 3", Malformed::ContentLength),
    ("Content-Length: +3", Malformed::ContentLength),
    ("Content-Length: 0x3", Malformed::ContentLength),
    ("Content-Length: ", Malformed::ContentLength),
    ("Content-Length: 99999999999999999999", Malformed::ContentLength),
    ("Transfer-Encoding: gzip, chunked", Malformed::TransferEncoding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Malformed::TransferEncoding),
    ("Transfer-Encoding: xchunked", Malformed::TransferEncoding),
    // RFC 9112 §5.1: no white space before the colon.
    ("Transfer-Encoding : chunked", Malformed::HeaderName),
    (": empty name", Malformed::HeaderName),
    // RFC 9112 §5.2.
    ("X: a\r\n b", Malformed::FoldedHeader),
    // RFC 9112 §2.2.
    ("X: a\nY: b", Malformed::BareLineFeed),
    // RFC 9110 §5.5.
    ("Transfer-Encoding: \x0bchunked", Malformed::HeaderValue),
    ("X: a\rY: b", Malformed::HeaderValue),
    ("X: a\0b", Malformed::HeaderValue),
    // RFC 9112 §3.2.
    ("Host: other", Malformed::HostRepeated),
    // RFC 9110 §7.6.1.
    ("Connection: Host", Malformed::Connection),
    ("Connection: keep-alive,\tcontent-LENGTH ,close", Malformed::Connection),
    ("Connection: close\r\nConnection: x, X-Forwarded-Whatever", Malformed::Connection),
];

/// Whole heads without the empty line.
#[rustfmt::skip]
const FAULTY_HEADS: &[(&str, Malformed)] = &[
    // RFC 9112 §3.2.
    ("GET /v2/ HTTP/1.1\r\nAccept: */*", Malformed::HostMissing),
    // RFC 9110 §7.2.
    ("GET /v2/ HTTP/1.1\r\nHost: user@r", Malformed::HostInvalid),
    ("GET /v2/ HTTP/1.1\r\nHost: ", Malformed::HostInvalid),
    ("GET /v2/ HTTP/1.1\r\nHost: a b", Malformed::HostInvalid),
    ("GET /v2/ HTTP/1.1\r\nHost: a,b", Malformed::HostInvalid),
    ("GET /v2/ HTTP/1.1\r\nHost: a;proto=https", Malformed::HostInvalid),
    ("GET /v2/ HTTP/1.1\r\nHost: a%2fb", Malformed::HostInvalid),
    // RFC 9112 §3.2.2.
    ("GET http://x/v2/ HTTP/1.1\r\nHost: r", Malformed::AuthorityDiffers),
    // RFC 9112 §3.
    ("GET /v2/#x HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("GET http://r#x HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("GET ftp://r/v2/ HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("OPTIONS * HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("GET  /v2/ HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("\r\nGET /v2/ HTTP/1.1\r\nHost: r", Malformed::RequestLine),
    ("GET /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked", Malformed::TransferEncoding),
];

#[test]
fn heads_that_two_readers_may_understand_differently_are_refused() {
    for (fields, fault) in FAULTY_FIELDS {
        let text = format!("GET /v2/ HTTP/1.1\r\nHost: r\r\n{fields}\r\n\r\n");
        assert_eq!(read(text.as_bytes()), bad(*fault), "{text:?}");
    }
    for (head, fault) in FAULTY_HEADS {
        let text = format!("{head}\r\n\r\n");
        assert_eq!(read(text.as_bytes()), bad(*fault), "{text:?}");
    }
}

#[test]
fn other_refusals_have_their_own_answer() {
    let cases = [
        (
            "\x16\x03\x01\x02\x00",
            Failure::BadRequest(Malformed::TlsHello),
        ),
        (
            "CONNECT r:443 HTTP/1.1\r\nHost: r:443\r\n\r\n",
            Failure::MethodNotAllowed,
        ),
        (
            "TRACE / HTTP/1.1\r\nHost: r\r\n\r\n",
            Failure::MethodNotAllowed,
        ),
        (
            "get / HTTP/1.1\r\nHost: r\r\n\r\n",
            Failure::MethodNotAllowed,
        ),
        ("GET / HTTP/2.0\r\nHost: r\r\n\r\n", Failure::HttpVersion),
        (
            // RFC 9110 §7.8, as that `h2c` alone goes on.
            "GET / HTTP/1.1\r\nHost: r\r\nUpgrade: websocket\r\n\r\n",
            Failure::UpgradeRefused,
        ),
        (
            "GET / HTTP/1.1\r\nHost: r\r\nUpgrade: h2c, websocket\r\n\r\n",
            Failure::UpgradeRefused,
        ),
        (
            "GET / HTTP/1.1\r\nHost: r\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n",
            Failure::HeadersTooLarge,
        ),
    ];
    for (text, failure) in cases {
        assert_eq!(read(text.as_bytes()), Err(failure), "{text:?}");
    }
}

#[test]
fn limits_hold_before_the_head_is_whole() {
    let long_line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(80));
    assert_eq!(read(long_line.as_bytes()), Err(Failure::UriTooLong));
    assert_eq!(read(&[b'a'; 66]), Err(Failure::UriTooLong));
    let long_head = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(600));
    assert_eq!(read(long_head.as_bytes()), Err(Failure::HeadersTooLarge));
}

#[test]
fn fields_are_bounded_together_however_long_the_request_line_is() {
    for path in ["a".to_owned(), "a".repeat(45)] {
        let first = format!("GET /{path} HTTP/1.1\r\n");
        for (bytes, fits) in [(512, true), (513, false), (514, false), (600, false)] {
            let fields = format!("Host: r\r\nX: {}\r\n", "a".repeat(bytes - 14));
            assert_eq!(fields.len(), bytes);
            let open = [&*first, &*fields].concat();
            let scan = |text: &str| Scanner::default().scan(text.as_bytes(), &LIMITS);
            let refused = Err(Failure::HeadersTooLarge);
            let expected = if fits { Ok(None) } else { refused.clone() };
            assert_eq!(scan(&open), expected, "{bytes}");
            let expected = if fits {
                Ok(Some(open.len() + 2))
            } else {
                refused
            };
            assert_eq!(scan(&[&*open, "\r\n"].concat()), expected, "{bytes}");
        }
    }
}

/// RFC 9112 §3.2.1: a target that names a host alone asks for `/`.
#[test]
fn an_absolute_target_for_our_host_becomes_origin_form() {
    let cases = [
        ("http://R:1/v2/a", "/v2/a"),
        ("HTTPS://r:1?x=1", "/?x=1"),
        ("http://r:1", "/"),
    ];
    for (target, origin) in cases {
        let text = format!("GET {target} HTTP/1.1\r\nHost: r:1\r\n\r\n");
        let head = read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(head.target, origin, "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_host_is_an_authority_of_few_characters(text in "[a-z0-9.:\\[\\]_-]{0,12}|[:\\[\\]a]{0,14}|.{0,5}") {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_authority = text.parse::<http::uri::Authority>().is_ok();
        prop_assert_eq!(is_host(&text), is_authority && text.bytes().all(is_known));
    }

    #[test]
    fn no_bytes_panic_and_a_split_changes_nothing(
        bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), any::<u8>()], 0..600),
        cut in 0usize..600,
    ) {
        let whole = Scanner::default().scan(&bytes, &LIMITS);
        let mut scanner = Scanner::default();
        let cut = cut.min(bytes.len());
        let split = match scanner.scan(&bytes[..cut], &LIMITS) {
            Ok(None) => scanner.scan(&bytes, &LIMITS),
            early => early,
        };
        prop_assert_eq!(&whole, &split);
        let _ = read(&bytes);
    }

    #[test]
    fn what_goes_on_is_read_by_others_as_by_us(
        line in "(GET|PUT|[A-Z]{1,7}) (/v2/[ -~]{0,10}|http://(r|R|r:1|a,b)(/[!-~]{0,8}|\\?x)?|[!-~]{0,8}|/[^ -~]{1,3}) HTTP/1\\.[01]",
        host in "(Host: (r|R|r:1|a,b)\r\n)?",
        fields in prop::collection::vec("[A-Za-z-]{0,18}:[ -~\\x00\\t]{0,20}", 0..5),
    ) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let text = format!("{line}\r\n{host}{fields}\r\n");
        if let Ok(Some(head)) = read(text.as_bytes()) {
            prop_assert_eq!(head.length, text.len());
        }
    }
}
