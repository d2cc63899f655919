//! Where the head of a request ends (RFC 9112), and what heads have in them. Pure: bytes in, verdict out.

use crate::http::field::line_feed;
use crate::http::respond::{Failure, Malformed};

/// The most header fields that can be configured.
pub(crate) const MAX_HEADER_COUNT: usize = 256;

/// Most colons of an IPv6 address, as in `1:2:3:4:5:6:7::`.
const MAX_COLONS: usize = 8;

/// With what a TLS record begins that carries a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Bounds on a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// Longest request line, in bytes without its CRLF.
    pub(crate) request_line: usize,
    /// Longest header fields together, in bytes with their line ends.
    pub(crate) fields: usize,
    /// Most header fields; at most [`MAX_HEADER_COUNT`].
    pub(crate) count: usize,
}

/// Finds the end of a head in a buffer that grows, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    scanned: usize,
    line_start: usize,
    lines: usize,
    /// Where the request line has ended.
    fields_start: usize,
}

/// How the body is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Exactly this many bytes; 0 for no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Scanner {
    /// Looks at the bytes that have come in since the last call. `Ok(Some(length))` is the length
    /// of the whole head; `Ok(None)` asks for more bytes.
    ///
    /// # Errors
    /// Line ends other than CRLF, folded lines, and heads beyond the limits, each as early as it
    /// shows.
    pub(crate) fn scan(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Failure> {
        if buffer.first() == Some(&TLS_HANDSHAKE) {
            return Err(Failure::BadRequest(Malformed::TlsHello));
        }
        // An empty line, for one, which RFC 9112 §2.2 lets a server skip; some readers do not, so it is
        // refused like any other ambiguity.
        if buffer.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
            return Err(Failure::BadRequest(Malformed::RequestLine));
        }
        while let Some(found) = line_feed(&buffer[self.scanned..]) {
            let end = self.scanned + found;
            // First of all: who has seen less of the line has nothing else to say of it.
            self.check_length(end, limits)?;
            self.scanned = end + 1;
            if end == self.line_start || buffer[end - 1] != b'\r' {
                return Err(Failure::BadRequest(Malformed::BareLineFeed));
            }
            let line = &buffer[self.line_start..end - 1];
            if line.is_empty() {
                return Ok(Some(end + 1));
            }
            if self.lines == 0 {
                self.fields_start = end + 1;
            } else if matches!(line.first(), Some(b' ' | b'\t')) {
                return Err(Failure::BadRequest(Malformed::FoldedHeader));
            } else if self.lines > limits.count.min(MAX_HEADER_COUNT)
                || end + 1 - self.fields_start > limits.fields
            {
                return Err(Failure::HeadersTooLarge);
            }
            self.line_start = end + 1;
            self.lines += 1;
        }
        self.scanned = buffer.len();
        self.check_length(buffer.len(), limits)?;
        Ok(None)
    }

    /// Whether the line that is looked at may end here, or further on.
    fn check_length(&self, end: usize, limits: &HeadLimits) -> Result<(), Failure> {
        if self.lines == 0 {
            // Without its CRLF.
            if end > limits.request_line + 1 {
                return Err(Failure::UriTooLong);
            }
        } else if end - self.fields_start > limits.fields + 1 {
            // With the empty line behind the last one.
            return Err(Failure::HeadersTooLarge);
        }
        Ok(())
    }
}

/// A name or an address with an optional port. RFC 3986 §3.2.2 knows more, such as commas and
/// semicolons, which are lists or parameters to those who read it in a forwarding header.
pub(crate) fn is_host(text: &str) -> bool {
    let mut ports = 0;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {}
            b':' => ports += 1,
            b'[' | b']' => return is_host_with_literal(text),
            _ => return false,
        }
    }
    !text.is_empty() && ports <= 1
}

fn is_host_with_literal(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let colons = |part: &str| part.bytes().filter(|byte| *byte == b':').count();
    let has_bracket = |part: &str| part.contains(['[', ']']);
    let Some((before, literal)) = text.split_once('[') else {
        return false;
    };
    let is_whole = literal.split_once(']').is_some_and(|(inside, behind)| {
        ![before, inside, behind].into_iter().any(has_bracket)
            && colons(before) + colons(inside) <= MAX_COLONS
            && colons(behind) <= 1
    });
    text.bytes().all(is_known) && is_whole
}

/// Digits only: no sign, no list, no white space inside. RFC 9110 §8.6: a number that some reader cannot
/// hold, since it counts in signed ones, is another number to it.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests;
