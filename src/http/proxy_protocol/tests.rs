use super::*;
use proptest::prelude::*;

fn client(address: &str) -> Source {
    Source::Client(address.parse().unwrap())
}

/// A header of version 2 with these four bytes behind the signature, and this behind them.
fn second(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[version, family], &length, rest].concat()
}

fn v4(tail: &[u8]) -> Vec<u8> {
    [&[203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 0, 80], tail].concat()
}

fn v6(from: Ipv6Addr) -> Vec<u8> {
    let (from, to) = (from.octets(), Ipv6Addr::LOCALHOST.octets());
    [&from[..], &to, &[0x1f, 0x90, 0, 80]].concat()
}

#[test]
fn headers_are_read() {
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(MAX_V1 - 16));
    let mapped = Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped();
    let cases: Vec<(Vec<u8>, Source)> = vec![
        (
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\r\n".into(),
            client("203.0.113.9:8080"),
        ),
        (
            b"PROXY TCP4 203.0.113.9 10.0.0.1 0 65535\r\n".into(),
            client("203.0.113.9:0"),
        ),
        (
            b"PROXY TCP6 2001:db8::9 ::1 8080 80\r\n".into(),
            client("[2001:db8::9]:8080"),
        ),
        (b"PROXY UNKNOWN\r\n".into(), Source::Unknown),
        (b"PROXY UNKNOWN what ever 1 2\r\n".into(), Source::Unknown),
        (long.into(), Source::Unknown),
        (second(0x21, 0x11, &v4(b"")), client("203.0.113.9:8080")),
        (
            second(0x21, 0x11, &v4(b"\x04\x00\x01x\xff\xff")),
            client("203.0.113.9:8080"),
        ),
        (
            second(0x21, 0x21, &v6("2001:db8::9".parse().unwrap())),
            client("[2001:db8::9]:8080"),
        ),
        (second(0x21, 0x21, &v6(mapped)), client("203.0.113.9:8080")),
        (second(0x21, 0x00, b""), Source::Unknown),
        (second(0x21, 0x00, b"tlv"), Source::Unknown),
        (second(0x21, 0x31, &[b'/'; 216]), Source::Unknown),
        (second(0x20, 0x00, b""), Source::Proxy),
        // Whatever a LOCAL one carries is passed over.
        (second(0x20, 0x11, &v4(b"")), Source::Proxy),
        (second(0x20, 0xff, b"x"), Source::Proxy),
        (second(0x20, 0x00, &[0; MAX_V2_REST]), Source::Proxy),
    ];
    for (bytes, source) in cases {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let length = bytes.len();
        let whole = Ok(Progress::Whole { length, source });
        assert_eq!(read(&bytes), whole, "{shown}");
        let more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(read(&more), whole, "{shown}, and what follows it");
        assert_eq!(by_pieces(&bytes), (whole, length), "{shown}, by pieces");
    }
}

#[test]
fn lines_that_are_no_header_are_refused() {
    let line = |text: &str| text.as_bytes().to_vec();
    let cases: Vec<(Vec<u8>, Wrong)> = vec![
        (line("GET / HTTP/1.1\r\n"), Wrong::Missing),
        (line("G"), Wrong::Missing),
        (line("proxy TCP4 "), Wrong::Missing),
        (line("PROXY\tTCP4 1.2.3.4"), Wrong::Missing),
        (line("\r\n\r\n\0\r\nQUIT\r"), Wrong::Missing),
        (b"\x16\x03\x01".into(), Wrong::Missing),
        (
            line(&format!("PROXY UNKNOWN {}", "f".repeat(200))),
            Wrong::TooLong,
        ),
        (line("PROXY UNKNOWN x\n"), Wrong::Address),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 8080\r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 8080 80 \r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4  203.0.113.9 10.0.0.1 8080 80\r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 08080 80\r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 +8080 80\r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.9 10.0.0.1 8080 65536\r\n"),
            Wrong::Address,
        ),
        (
            line("PROXY TCP4 203.0.113.09 10.0.0.1 8080 80\r\n"),
            Wrong::Address,
        ),
        (line("PROXY TCP4 ::1 ::1 8080 80\r\n"), Wrong::Address),
        (line("PROXY TCP6 1.2.3.4 ::1 8080 80\r\n"), Wrong::Address),
        (
            line("PROXY TCP4 203.0.113.9\r 10.0.0.1 1 2\r\n"),
            Wrong::Address,
        ),
        (
            b"PROXY TCP4 \xff\xff.0.0.1 1.2.3.4 1 2\r\n".into(),
            Wrong::Address,
        ),
        (
            line("PROXY UDP4 203.0.113.9 10.0.0.1 8080 80\r\n"),
            Wrong::Family,
        ),
        (line("PROXY UNKNOWNS\r\n"), Wrong::Family),
        (line("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), Wrong::Family),
    ];
    cases.iter().for_each(refused);
}

#[test]
fn binary_headers_that_are_wrong_are_refused() {
    let cases: Vec<(Vec<u8>, Wrong)> = vec![
        (second(0x11, 0x11, &v4(b"")), Wrong::Version),
        (second(0x22, 0x11, &v4(b"")), Wrong::Version),
        (second(0x21, 0x12, &v4(b"")), Wrong::Family),
        (second(0x21, 0x10, &v4(b"")), Wrong::Family),
        (second(0x21, 0x41, &v4(b"")), Wrong::Family),
        (second(0x21, 0x11, &v4(b"")[..11]), Wrong::Address),
        (
            second(0x21, 0x21, &v6(Ipv6Addr::LOCALHOST)[..35]),
            Wrong::Address,
        ),
        (second(0x21, 0x31, &[0; 215]), Wrong::Address),
        (second(0x21, 0x11, &[0; MAX_V2_REST + 1]), Wrong::TooLong),
    ];
    cases.iter().for_each(refused);
}

fn refused((bytes, wrong): &(Vec<u8>, Wrong)) {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(read(bytes), Err(*wrong), "{shown}");
    assert_eq!(by_pieces(bytes).0, Err(*wrong), "{shown}, by pieces");
}

/// Reads as the listener does: only what is asked for. Says how much that was.
fn by_pieces(bytes: &[u8]) -> (Result<Progress, Wrong>, usize) {
    let mut taken = 0;
    loop {
        match read(&bytes[..taken]) {
            Ok(Progress::More(more)) => {
                assert!(more > 0);
                if taken == bytes.len() {
                    return (Ok(Progress::More(more)), taken);
                }
                taken = bytes.len().min(taken + more);
            }
            verdict => return (verdict, taken),
        }
    }
}

fn like_a_header() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN) [0-9a-f.: ]{0,120}(\r\n)?.{0,9}";
    let binary = (
        any::<(u8, u8)>(),
        0u8..2,
        prop::collection::vec(any::<u8>(), 0..300),
    );
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        line.prop_map(String::into_bytes),
        binary.prop_map(|((family, cut), command, rest)| {
            let mut bytes = second(0x20 | command, family & 0x31, &rest);
            bytes.truncate(bytes.len() - usize::from(cut).min(rest.len()));
            bytes
        }),
    ]
}

/// Wherever a line ends, and whatever the listener had to ask for on the way to that.
#[test]
fn a_wrong_end_near_the_limit_is_the_same_by_pieces() {
    for length in MAX_V1 - 6..=MAX_V1 + 3 {
        for end in ["\n", "x\n", "\r\n", "\r\r\n", "\rx\n", "\rx\rx\n"] {
            let mut line = format!("PROXY TCP4 {}", "x".repeat(length));
            line.truncate(length - end.len());
            line += end;
            let expected = if length > MAX_V1 {
                Wrong::TooLong
            } else {
                Wrong::Address
            };
            assert_eq!(read(line.as_bytes()), Err(expected), "{length}: {end:?}");
            let (pieces, _) = by_pieces(line.as_bytes());
            assert_eq!(pieces, Err(expected), "{length}: {end:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_byte_behind_a_header_is_ever_taken(bytes in like_a_header()) {
        let whole = read(&bytes);
        let (pieces, taken) = by_pieces(&bytes);
        // By pieces a fault may show before the end does, and never the other way round.
        prop_assert_eq!(whole, pieces);
        if let Ok(Progress::Whole { length, .. }) = whole {
            prop_assert_eq!(length, taken);
            prop_assert!(length <= V2_START + MAX_V2_REST);
        }
    }
}
