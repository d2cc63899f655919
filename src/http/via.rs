//! `Via` (RFC 9110 §7.6.3): every message says whom it has been through, so that one that comes back
//! is known.

use super::field::Name;
use super::request::{RequestHead, Version};
use super::request_id::RequestId;

/// What one member calls itself in `Via`.
#[derive(Debug)]
pub(crate) struct Via {
    /// Its name with a random part: no other member of any fleet has it, nobody can guess it, and it
    /// says nothing of the cluster's key.
    pseudonym: String,
    /// What it adds to a request that came by HTTP/1.0, HTTP/1.1 and HTTP/2.
    lines: [String; 3],
}

/// How much of a request id makes two members differ, in digits.
const RANDOM: usize = 16;

impl Via {
    /// For a process that goes by this name, a token.
    pub(crate) fn new(name: &str) -> Self {
        let id = RequestId::make();
        let random = id.as_str().get(..RANDOM).unwrap_or_default();
        let pseudonym = format!("shardlet-{name}-{random}");
        Self {
            lines: ["1.0", "1.1", "2.0"].map(|version| format!("{version} {pseudonym}")),
            pseudonym,
        }
    }

    /// The value that is added to a request that came by this version.
    pub(crate) fn value(&self, version: Version) -> &[u8] {
        let [http10, http11, http2] = &self.lines;
        let line = match version {
            Version::Http10 => http10,
            Version::Http11 => http11,
            Version::Http2 => http2,
        };
        line.as_bytes()
    }

    /// Whether it has been here before. Other proxies, and members of other fleets, may stand between,
    /// before and behind.
    pub(crate) fn has_seen(&self, head: &RequestHead<'_>) -> bool {
        if !head.has(Name::Via) {
            return false;
        }
        let mut words = head
            .all(Name::Via)
            .flat_map(|line| line.split(|byte| *byte == b','));
        words.any(|word| {
            // The protocol comes first, and a comment may follow.
            let mut parts = word
                .split(u8::is_ascii_whitespace)
                .filter(|part| !part.is_empty());
            parts.nth(1) == Some(self.pseudonym.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;

    fn has_seen(via: &Via, lines: &[&[u8]]) -> bool {
        let mut head = b"GET /v2/ HTTP/1.1\r\nHost: r\r\n".to_vec();
        for line in lines {
            head.extend([b"via: ", *line, b"\r\n"].concat());
        }
        head.extend_from_slice(b"\r\n");
        via.has_seen(&RequestHead::parse(&head, &mut Fields::new()).unwrap())
    }

    /// RFC 9110 §7.6.3.
    #[test]
    fn a_member_knows_its_own_line_among_others() {
        let via = Via::new("zot-1");
        for version in [Version::Http10, Version::Http11, Version::Http2] {
            let line = via.value(version);
            assert!(has_seen(&via, &[line]), "{version:?}");
            let text = str::from_utf8(line).unwrap();
            let long = format!("1.1 cache.example:80 (a b),{text} (kept), 2.0 other");
            assert!(has_seen(&via, &[b"1.0 \xff", long.as_bytes()]), "{long}");
        }
        assert!(
            via.value(Version::Http2)
                .starts_with(b"2.0 shardlet-zot-1-")
        );
    }

    #[test]
    fn nobody_else_is_taken_for_it() {
        let via = Via::new("zot-1");
        assert!(!has_seen(&via, &[]));
        // Another fleet's first member, or this one before its restart.
        let other = Via::new("zot-1");
        let own = via.pseudonym.as_str();
        for line in [
            other.lines[1].as_str(),
            "1.1 zot-1",
            "1.1 shardlet-zot-1",
            "",
            ",,",
            own,
            &format!("1.1 {own}x"),
            &format!("1.1 x ({own})"),
        ] {
            assert!(!has_seen(&via, &[line.as_bytes()]), "{line}");
        }
    }
}
