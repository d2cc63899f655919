//! `Via` (RFC 9110 §7.6.3): every message says whom it has been through, so that one that comes back
//! is known.

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

use super::request_id::RequestId;

/// What one member calls itself in `Via`.
#[derive(Debug)]
pub(crate) struct Via {
    /// Its name with a random part: no other member of any fleet has it, nobody can guess it, and it
    /// says nothing of the cluster's key.
    pseudonym: String,
    /// What it adds to a request that came by HTTP/1.0, HTTP/1.1 and HTTP/2.
    lines: [HeaderValue; 3],
}

/// How much of a request id makes two members differ, in digits.
const RANDOM: usize = 16;

impl Via {
    /// For a process that goes by this name, a token.
    pub(crate) fn new(name: &str) -> Self {
        let id = RequestId::make();
        let random = id.as_str().get(..RANDOM).unwrap_or_default();
        let pseudonym = format!("shardlet-{name}-{random}");
        let line = |version| {
            let line = HeaderValue::try_from(format!("{version} {pseudonym}"));
            line.unwrap_or_else(|_| HeaderValue::from_static("1.1 shardlet"))
        };
        Self {
            lines: ["1.0", "1.1", "2.0"].map(line),
            pseudonym,
        }
    }

    /// What is added to a request that came by this version.
    pub(crate) fn line(&self, version: Version) -> HeaderValue {
        let [http10, http11, http2] = &self.lines;
        let line = match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            _ => http11,
        };
        line.clone()
    }

    /// Whether these are of a request that has been here before. Other proxies, and members of other
    /// fleets, may stand between, before and behind.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(VIA).iter();
        let mut words = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
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

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line));
        lines.map(|line| (VIA, line.unwrap())).collect()
    }

    #[test]
    fn a_member_knows_its_own_line_among_others() {
        let via = Via::new("zot-1");
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let line = via.line(version);
            assert!(via.is_in(&headers(&[line.as_bytes()])), "{line:?}");
            let text = line.to_str().unwrap();
            let long = format!("1.1 cache.example:80 (a b),{text} (kept), 2.0 other");
            assert!(
                via.is_in(&headers(&[b"1.0 \xff", long.as_bytes()])),
                "{long}"
            );
        }
        assert_eq!(
            via.line(Version::HTTP_2).as_bytes()[..19],
            *b"2.0 shardlet-zot-1-"
        );
    }

    #[test]
    fn nobody_else_is_taken_for_it() {
        let via = Via::new("zot-1");
        assert!(!via.is_in(&HeaderMap::new()));
        // Another fleet's first member, or this one before its restart.
        let other = Via::new("zot-1").line(Version::HTTP_11);
        let own = via.pseudonym.as_str();
        for line in [
            other.to_str().unwrap(),
            "1.1 zot-1",
            "1.1 shardlet-zot-1",
            "",
            ",,",
            own,
            &format!("1.1 {own}x"),
            &format!("1.1 x ({own})"),
        ] {
            assert!(!via.is_in(&headers(&[line.as_bytes()])), "{line}");
        }
    }
}
