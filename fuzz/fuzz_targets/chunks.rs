//! A chunked body, against a decoder that has it whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::http::chunks::Chunks;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let found = end(bytes, bytes.len().max(1));
    assert_eq!(found, end(bytes, usize::from(piece).max(1)));
    assert_eq!(found, plain(bytes));
});

/// What came of a body.
#[derive(Debug, PartialEq)]
enum End {
    At(usize),
    Wanted,
    Wrong,
}

fn end(bytes: &[u8], piece: usize) -> End {
    let mut chunks = Chunks::default();
    let mut passed = 0;
    for bytes in bytes.chunks(piece) {
        match chunks.end_in(bytes) {
            Ok(Some(end)) => return End::At(passed + end),
            Ok(None) => passed += bytes.len(),
            Err(_) => {
                assert!(chunks.are_lost());
                return End::Wrong;
            }
        }
    }
    End::Wanted
}

/// RFC 9112 §7.1, written down plainly. None is the end of the bytes.
fn plain(bytes: &[u8]) -> End {
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
        let Ok(size) = usize::try_from(size) else { return End::Wanted };
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
        let text = rest.iter().take_while(|byte| !matches!(**byte, b'\r' | b'\n')).count();
        rest = &rest[text..];
        match line_end(&mut rest) {
            Line::Ends if text == 0 => return End::At(bytes.len() - rest.len()),
            Line::Ends => {}
            Line::Wanted => return End::Wanted,
            Line::Wrong => return End::Wrong,
        }
    }
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
