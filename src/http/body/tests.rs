use proptest::prelude::*;

use super::*;

/// Decodes `body` in pieces of the given lengths, the last of them as often as needed: the data, how
/// many bytes belonged to the body, and the decoder at its end.
fn decode(body: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, Option<usize>, Decoder), NotChunks> {
    let mut decoder = Decoder::default();
    let (mut data, mut passed) = (Vec::new(), 0);
    let mut pieces = pieces.iter();
    let mut piece = body.len().max(1);
    while passed < body.len() {
        piece = pieces.next().map_or(piece, |piece| (*piece).max(1));
        let end = body.len().min(passed + piece);
        let mut bytes = body[passed..end].to_vec();
        let decoded = decoder.decode(&mut bytes)?;
        assert!(decoded.data <= decoded.used && decoded.used <= bytes.len());
        data.extend_from_slice(&bytes[..decoded.data]);
        if decoded.ended {
            return Ok((data, Some(passed + decoded.used), decoder));
        }
        assert_eq!(decoded.used, bytes.len());
        passed = end;
    }
    Ok((data, None, decoder))
}

/// RFC 9112 §7.1: bodies, their data and the trailers that go on.
#[test]
fn data_end_and_trailers_are_found_however_the_bytes_are_cut() {
    let cases = [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n1\r\n!\r\n000\r\n\r\n", "hello!", ""),
        (
            "000A;name=\"v\"\r\n0\r\n\r\n0\r\n\r\n\r\n0 \t;x\r\n\r\n",
            "0\r\n\r\n0\r\n\r\n",
            "",
        ),
        (
            "1\r\nx\r\n0\r\nX-Checksum: 1\r\nX-Other:2 \r\n\r\n",
            "x",
            "X-Checksum: 1\r\nX-Other:2 \r\n",
        ),
        (
            "0\r\nX-A: \u{e9}\r\nHost: evil\r\nX-B:\r\n\r\n",
            "",
            "X-A: \u{e9}\r\nX-B:\r\n",
        ),
    ];
    for (body, data, trailers) in cases {
        // Each character is one byte.
        let bytes: Vec<u8> = body.chars().map(|byte| byte as u8).collect();
        let trailers: Vec<u8> = trailers.chars().map(|byte| byte as u8).collect();
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        for piece in [1, 2, 3, 7, followed.len()] {
            let (decoded, end, decoder) = decode(&followed, &[piece]).unwrap();
            assert_eq!(
                decoded,
                data.as_bytes(),
                "{body:?}, {piece} bytes at a time"
            );
            assert_eq!(end, Some(bytes.len()), "{body:?}, {piece} bytes at a time");
            assert_eq!(
                decoder.trailers(),
                trailers,
                "{body:?}, {piece} bytes at a time"
            );
        }
    }
}

/// RFC 9112 §7.1, and §7.1.2 for what stands behind the last chunk.
#[test]
fn what_is_no_chunk_has_no_end() {
    let broken = [
        "\r\n\r\n",
        "g\r\n\r\n",
        " 0\r\n\r\n",
        ";x\r\n\r\n",
        "1;\nx\r\n0\r\n\r\n",
        "1;\0\r\nx\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nX: 1\n\r\n",
        "-1\r\n\r\n",
        "0x1\r\n\r\n",
        "ffffffffffffffff0\r\n\r\n0\r\n\r\n",
        "8000000000000000\r\n\r\n0\r\n\r\n",
        // No fields (RFC 9112 §5).
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\nX: 1\r\n folded: 2\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
    ];
    for body in broken {
        for piece in [1, body.len()] {
            assert!(decode(body.as_bytes(), &[piece]).is_err(), "{body:?}");
        }
        let mut decoder = Decoder::default();
        assert_eq!(
            decoder.decode(&mut body.as_bytes().to_vec()),
            Err(NotChunks)
        );
        let again = decoder.decode(&mut b"0\r\n\r\n".to_vec());
        assert_eq!(again, Err(NotChunks), "{body:?}");
    }
}

#[test]
fn the_largest_size_is_taken() {
    let mut decoder = Decoder::default();
    let mut bytes = b"7fffffffffffffff\r\nabc".to_vec();
    let decoded = decoder.decode(&mut bytes).unwrap();
    let used = bytes.len();
    assert_eq!(
        decoded,
        Decoded {
            data: 3,
            used,
            ended: false
        }
    );
    assert_eq!(&bytes[..3], b"abc");
}

/// RFC 9112 §7.1.1: extensions are passed over, up to a limit for the whole body.
#[test]
fn extensions_and_leading_zeros_have_a_limit() {
    let limit = EXTENSION_LIMIT as usize;
    let chunk = |before: &str, extension: &str| format!("{before}1{extension}\r\nx\r\n");
    let half = ";".repeat(limit / 2);
    let zeros = "0".repeat(limit / 2);
    // Each first zero is a digit of the size.
    let whole = [
        chunk("", &half),
        chunk(&format!("0{zeros}"), ""),
        "0\r\n\r\n".into(),
    ]
    .concat();
    let (data, end, _) = decode(whole.as_bytes(), &[4096]).unwrap();
    assert_eq!((&data[..], end), (&b"xx"[..], Some(whole.len())));
    let more = [
        chunk("", &half),
        chunk(&format!("0{zeros}"), ";"),
        "0\r\n\r\n".into(),
    ]
    .concat();
    assert_eq!(decode(more.as_bytes(), &[4096]).err(), Some(NotChunks));
}

#[test]
fn trailers_have_a_limit_whether_they_go_on_or_not() {
    for name in ["X-Long: ", "Cookie: "] {
        let value = |over: usize| "v".repeat(TRAILER_LIMIT / 2 - name.len() + over);
        let lines = |over| format!("0\r\n{name}{}\r\n{name}{}\r\n\r\n", value(0), value(over));
        let fits = lines(0);
        let (_, end, _) = decode(fits.as_bytes(), &[1000]).unwrap();
        assert_eq!(end, Some(fits.len()));
        assert_eq!(decode(lines(1).as_bytes(), &[1000]).err(), Some(NotChunks));
    }
}

/// RFC 9110 §6.5.1: framing, routing, conditions, authentication and what tells how to read a body.
#[test]
fn what_must_stand_before_the_body_does_not_go_on_behind_it() {
    let stays = [
        "Transfer-Encoding",
        "content-length",
        "Host",
        "Connection",
        "Trailer",
        "TE",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "Expect",
        "Range",
        "Cookie",
        "Set-Cookie",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "X-Shardlet-View",
        "x-shardlet-anything",
        "X-Zot-Cluster-Hop-Count",
        "X-Request-Id",
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "If-Match",
        "If-None-Match",
        "Cache-Control",
        "Max-Forwards",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Date",
        "Location",
        "Retry-After",
        "Vary",
        "Traceparent",
    ];
    for name in stays {
        let body = format!("0\r\n{name}: x\r\nX-Sum: 1\r\n\r\n");
        let (_, _, decoder) = decode(body.as_bytes(), &[5]).unwrap();
        assert_eq!(decoder.trailers(), b"X-Sum: 1\r\n", "{name}");
    }
    for name in [
        "X-Amz-Checksum",
        "Digest",
        "Server-Timing",
        "ETag",
        "X-Forwarder",
    ] {
        let body = format!("0\r\n{name}: x\r\n\r\n");
        let (_, _, decoder) = decode(body.as_bytes(), &[5]).unwrap();
        assert_eq!(decoder.trailers(), format!("{name}: x\r\n").as_bytes());
    }
}

#[test]
fn an_unfinished_trailer_is_none_yet() {
    let (_, end, decoder) = decode(b"0\r\nX-A: 1\r\nX-B: 2", &[4]).unwrap();
    assert_eq!((end, decoder.trailers()), (None, &b"X-A: 1\r\n"[..]));
}

#[test]
fn a_read_inside_one_chunk_is_all_data_and_stays_where_it_is() {
    let mut decoder = Decoder::default();
    decoder.decode(&mut b"100000\r\n".to_vec()).unwrap();
    let mut read: Vec<u8> = (0..=255).cycle().take(256 * 1024).collect();
    let before = read.clone();
    let decoded = decoder.decode(&mut read).unwrap();
    let whole = Decoded {
        data: before.len(),
        used: before.len(),
        ended: false,
    };
    assert_eq!(decoded, whole);
    assert!(read == before);
}

#[test]
fn behind_the_end_nothing_is_used() {
    let (_, _, mut decoder) = decode(b"0\r\n\r\n", &[]).unwrap();
    let decoded = decoder.decode(&mut b"GET".to_vec());
    assert_eq!(
        decoded,
        Ok(Decoded {
            data: 0,
            used: 0,
            ended: true
        })
    );
}

#[test]
fn sizes_are_written_in_hex() {
    let cases = [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (256 * 1024, "40000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ];
    for (length, expected) in cases {
        assert_eq!(chunk_head(&mut [0; 18], length), expected.as_bytes());
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 0..8),
        trailer in "(X-[A-Z]{1,8}: [ -~]{0,20}\r\n){0,3}",
        pieces in prop::collection::vec(1_usize..300, 1..40),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend_from_slice(chunk_head(&mut [0; 18], chunk.len()));
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(&[LAST_CHUNK, trailer.as_bytes(), b"\r\n"].concat());
        let length = body.len();
        body.extend_from_slice(&behind);
        let (data, end, decoder) = decode(&body, &pieces).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(end, Some(length));
        prop_assert_eq!(decoder.trailers(), trailer.as_bytes());
    }

    #[test]
    fn bytes_of_any_kind_mean_the_same_however_they_are_cut(
        parts in prop::collection::vec(part(), 0..12),
        pieces in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let body = parts.concat();
        let whole = decode(&body, &[]);
        let cut = decode(&body, &pieces);
        match (whole, cut) {
            (Ok((data, end, whole)), Ok((cut_data, cut_end, cut))) => {
                prop_assert_eq!((data, end), (cut_data, cut_end));
                prop_assert_eq!(whole.trailers(), cut.trailers());
            }
            (whole, cut) => prop_assert_eq!(whole.err(), cut.err()),
        }
    }
}

/// Bytes that chunks are made of, and others.
fn part() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "5\r\nhello\r\n",
        "0\r\n",
        "\r\n",
        "a",
        "A;x=y\r\n",
        "\n",
        "0",
        "1\r\nx\r\n",
        "X: 1\r\n",
        "0\r\n\r\n",
        "Host: x\r\n",
        "7f",
    ];
    prop_oneof![
        6 => prop::sample::select(KNOWN).prop_map(|known| known.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ]
}
