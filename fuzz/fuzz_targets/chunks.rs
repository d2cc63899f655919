//! A chunked body, against a decoder that has it whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::chunked;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = chunked(bytes, bytes.len().max(1));
    assert_eq!(whole, chunked(bytes, usize::from(piece).max(1)));
    let (end, data) = plain(bytes);
    let Some(whole) = whole else {
        assert_eq!(end, End::Wrong);
        return;
    };
    assert_eq!(whole.end.map_or(End::Wanted, End::At), end);
    assert_eq!(whole.data, data);
    for line in whole.trailers.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("a whole line");
        assert!(text.contains(&b':') && !text.iter().any(|byte| b"\r\n\0".contains(byte)));
        let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
        let lower = String::from_utf8_lossy(name).to_lowercase();
        assert!(!["content-length", "transfer-encoding", "host", "connection"].contains(&&*lower));
        assert!(!lower.starts_with("x-shardlet-"));
    }
});

/// What came of a body.
#[derive(Debug, PartialEq)]
enum End {
    At(usize),
    Wanted,
    Wrong,
}

fn plain(bytes: &[u8]) -> (End, Vec<u8>) {
    let mut data = Vec::new();
    let end = walk(bytes, &mut data);
    (end, data)
}

/// RFC 9112 §7.1, written down plainly.
fn walk(bytes: &[u8], data: &mut Vec<u8>) -> End {
    let mut rest = bytes;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let Some(size) = size(&rest[..digits]) else { return End::Wrong };
        rest = &rest[digits..];
        match rest.first() {
            None => return End::Wanted,
            Some(_) if digits == 0 => return End::Wrong,
            Some(b'\r') => {}
            Some(b';' | b' ' | b'\t') => {
                let extension = |byte: &&u8| matches!(**byte, b'\t' | b' '..=b'~');
                let length = rest.iter().take_while(extension).count();
                rest = &rest[length..];
            }
            Some(_) => return End::Wrong,
        }
        match line_end(&mut rest) {
            Line::Ends => {}
            Line::Wanted => return End::Wanted,
            Line::Wrong => return End::Wrong,
        }
        if size == 0 {
            return trailers(bytes, rest);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        data.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(behind) = rest.get(size..) else { return End::Wanted };
        rest = behind;
        match line_end(&mut rest) {
            Line::Ends => {}
            Line::Wanted => return End::Wanted,
            Line::Wrong => return End::Wrong,
        }
    }
}

enum Line {
    Ends,
    Wanted,
    Wrong,
}

fn line_end(rest: &mut &[u8]) -> Line {
    match **rest {
        [] | [b'\r'] => Line::Wanted,
        [b'\r', b'\n', ref behind @ ..] => {
            *rest = behind;
            Line::Ends
        }
        _ => Line::Wrong,
    }
}

fn trailers(bytes: &[u8], mut rest: &[u8]) -> End {
    loop {
        let length = rest.iter().take_while(|byte| !matches!(**byte, b'\r' | b'\n')).count();
        let (text, behind) = rest.split_at(length);
        rest = behind;
        match line_end(&mut rest) {
            Line::Ends if text.is_empty() => return End::At(bytes.len() - rest.len()),
            Line::Ends if is_field(text) => {}
            Line::Wanted => return End::Wanted,
            Line::Ends | Line::Wrong => return End::Wrong,
        }
    }
}

fn is_field(line: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let mut halves = line.splitn(2, |byte| *byte == b':');
    let name = halves.next().unwrap_or_default();
    let value = halves.next();
    !name.is_empty() && name.iter().all(token) && value.is_some_and(|value| value.iter().all(text))
}

/// None for what does not fit into 63 bits.
fn size(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    let significant = digits.trim_start_matches('0');
    let size = match significant {
        "" => 0,
        _ => u64::from_str_radix(significant, 16).ok()?,
    };
    (size <= u64::MAX >> 1).then_some(size)
}
