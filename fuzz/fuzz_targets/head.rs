//! The head of an HTTP/1 request: anybody can send one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::http::head::{Body, Head, HeadLimits, Scanner, check};

const LIMITS: HeadLimits = HeadLimits {
    request_line: 256,
    bytes: 1024,
    count: 8,
};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = Scanner::default().scan(bytes, &LIMITS);
    let mut scanner = Scanner::default();
    let cut = usize::from(cut).min(bytes.len());
    let split = match scanner.scan(&bytes[..cut], &LIMITS) {
        Ok(None) => scanner.scan(bytes, &LIMITS),
        early => early,
    };
    assert_eq!(whole, split);
    let Ok(Some(length)) = whole else { return };
    let head = &bytes[..length];
    if let Ok(checked) = check(head) {
        goes_on(head, &checked);
    }
});

/// What must hold of every head that goes on.
fn goes_on(head: &[u8], checked: &Head) {
    assert_eq!(checked.length, head.len());
    assert!(head.ends_with(b"\r\n\r\n") && head.len() <= LIMITS.bytes);
    let line_feeds = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    for (at, _) in line_feeds {
        assert_eq!(head[at - 1], b'\r');
        assert!(!matches!(head.get(at + 1), Some(b' ' | b'\t')));
    }
    let carriage_returns = head.iter().filter(|byte| **byte == b'\r').count();
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(carriage_returns, lines);
    assert!(!head.contains(&0));

    let lower = String::from_utf8_lossy(head).to_lowercase();
    let framing = ["\r\ncontent-length:", "\r\ntransfer-encoding:"];
    let framed: usize = framing.iter().map(|name| lower.matches(name).count()).sum();
    assert!(framed <= 1);
    match checked.body {
        Body::Length(0) => {}
        Body::Length(_) | Body::Chunked => assert_eq!(framed, 1),
    }
    assert!(lower.matches("\r\nhost:").count() <= 1);

    let mut rewritten = head.to_vec();
    if let Some((cut, filler)) = &checked.rewrite {
        rewritten.splice(cut.clone(), filler.iter().copied());
    }
    let again = check(&rewritten).expect("what goes on is well-formed");
    assert_eq!((again.body, again.rewrite), (checked.body, None));
    let mut words = rewritten.split(|byte| *byte == b' ').skip(1);
    let target = words.next().unwrap_or_default();
    assert!(target.starts_with(b"/") && !target.contains(&b'#'));
}
