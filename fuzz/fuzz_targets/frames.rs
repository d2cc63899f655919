//! The frames of an HTTP/2 client.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::Frames;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fuzz_target!(|input: (u8, Vec<(u8, u8, u16, u8)>)| {
    let (piece, frames) = input;
    let mut bytes = PREFACE.to_vec();
    let mut kinds = Vec::new();
    for (kind, flags, length, times) in frames {
        let length = length % 128;
        // The kinds that exist, more often than the others.
        let kind = if kind < 200 { kind % 10 } else { kind };
        for _ in 0..=times {
            let [high, low] = length.to_be_bytes();
            bytes.extend([0, high, low, kind, flags, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + usize::from(length), 0);
            kinds.push(kind);
        }
    }
    let mut whole = Frames::default();
    let verdict = whole.follow(&bytes, Duration::ZERO);
    let mut cut = Frames::default();
    let mut pieces = bytes.chunks(usize::from(piece).max(1));
    let split = pieces.try_for_each(|bytes| cut.follow(bytes, Duration::ZERO));
    assert_eq!(verdict, split);
    assert_eq!(whole.in_header_block(), cut.in_header_block());
    // No time has passed, so there was no more than the budget.
    let resets = kinds.iter().filter(|kind| **kind == 3).count();
    assert!(verdict.is_err() || resets <= 100);
    let pings = kinds.iter().filter(|kind| **kind == 6).count();
    let bodies = kinds.iter().any(|kind| *kind == 0);
    assert!(verdict.is_err() || bodies || pings <= 1000);
});
