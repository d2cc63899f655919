//! The head of an HTTP/1 request: anybody can send one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::{Framing, LIMITS, request, request_end, sent_on};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = request_end(bytes, 0);
    assert_eq!(whole, request_end(bytes, usize::from(cut)));
    let Ok(Some(length)) = whole else { return };
    goes_on(&bytes[..length]);
});

/// What must hold of every head that goes on.
fn goes_on(head: &[u8]) {
    let Some(read) = request(head) else { return };
    assert!(head.len() <= LIMITS[0] + LIMITS[1] + 4);
    is_sound(head);
    assert!(read.path.starts_with(b"/") && !read.path.contains(&b'?'));
    let target = [&read.path, read.query.as_deref().unwrap_or_default()].concat();
    assert!(!target.contains(&b'#'));

    let sent = sent_on(head, false, &[]).expect("it was read");
    is_sound(&sent);
    let mut again = request(&sent).expect("what goes on is well-formed");
    // One that names no host is told ours.
    if read.host.is_none() {
        assert_eq!(again.host.take().as_deref(), Some("127.0.0.1:5000"));
    }
    assert_eq!(again, read);
    let lower = String::from_utf8_lossy(&sent).to_lowercase();
    let framing = ["\r\ncontent-length:", "\r\ntransfer-encoding:"];
    let framed: usize = framing.iter().map(|name| lower.matches(name).count()).sum();
    assert!(framed <= 1);
    assert!(framed == 1 || read.body == Framing::Length(0));
    assert_eq!(lower.matches("\r\nhost:").count(), 1);
    for internal in ["\r\nx-shardlet-", "\r\nx-zot-cluster-hop-count"] {
        assert!(!lower.contains(internal));
    }
}

/// Lines, and one empty one, that end in CRLF.
fn is_sound(head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    let line_feeds = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    for (at, _) in line_feeds {
        assert_eq!(head[at - 1], b'\r');
        assert!(!matches!(head.get(at + 1), Some(b' ' | b'\t')));
    }
    let carriage_returns = head.iter().filter(|byte| **byte == b'\r').count();
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(carriage_returns, lines);
    let empty = head.windows(4).filter(|end| *end == b"\r\n\r\n").count();
    assert_eq!(empty, 1);
    assert!(!head.contains(&0));
}
