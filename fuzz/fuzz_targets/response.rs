//! The head of an answer: a registry may be anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::{Framing, response, response_end, sent_back};

fuzz_target!(|input: (u16, bool, bool, &[u8])| {
    let (cut, to_head, http10, bytes) = input;
    // Random bytes would seldom find the way in.
    let bytes = [b"HTTP/1.", bytes].concat();
    let whole = response_end(&bytes, 0);
    assert_eq!(whole, response_end(&bytes, usize::from(cut)));
    let Ok(Some(length)) = whole else { return };
    let head = &bytes[..length];
    let Some(read) = response(head, to_head) else { return };
    let (sent, framing) = sent_back(head, to_head, http10).expect("it was read");
    let again = response(&sent, to_head).expect("what goes back is well-formed");
    assert_eq!((again.status, again.length, again.body), (read.status, read.length, framing));
    match (read.body, framing) {
        (Framing::Length(before), Framing::Length(after)) => assert_eq!(before, after),
        (Framing::Chunked | Framing::ToClose, Framing::Chunked) => assert!(!http10),
        (Framing::Chunked | Framing::ToClose, Framing::ToClose) => assert!(http10),
        other => panic!("{other:?}"),
    }
    let lower = String::from_utf8_lossy(&sent).to_lowercase();
    for internal in ["\r\nx-shardlet-", "\r\nx-zot-cluster-hop-count"] {
        assert!(!lower.contains(internal));
    }
});
