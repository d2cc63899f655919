//! The PROXY header of a connection: whoever is trusted to send one may be wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::{Progress, introduction as read};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    // Random bytes would seldom find the way in.
    let start: &[u8] = match kind % 4 {
        0 => b"",
        1 => b"PROXY TCP4 ",
        2 => b"PROXY TCP6 ",
        _ => SIGNATURE,
    };
    let bytes = [start, bytes].concat();
    let whole = read(&bytes);
    // As the listener reads: only what is asked for.
    let mut taken = 0;
    let pieces = loop {
        match read(&bytes[..taken]) {
            Ok(Progress::More(more)) if taken < bytes.len() => {
                assert!(more > 0);
                taken = bytes.len().min(taken + more);
            }
            verdict => break verdict,
        }
    };
    assert_eq!(whole, pieces);
    if let Ok(Progress::Whole { length, .. }) = whole {
        assert_eq!(length, taken, "no byte of what follows");
        assert!(bytes.starts_with(b"PROXY ") || bytes.starts_with(SIGNATURE));
    }
});
