//! Where the head of a request ends (RFC 9112), and what heads have in them. Pure: bytes in, verdict out.

use crate::http::fields::{Fields, Next};
use crate::http::respond::{Failure, Malformed};
use crate::shard::text::letters_digits_and;

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

/// Finds the end of a head in a buffer that grows, and its fields.
#[derive(Debug)]
pub(crate) struct Scanner(pub(crate) Fields);

impl Default for Scanner {
    fn default() -> Self {
        Self(Fields::new())
    }
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
        let Self(fields) = self;
        loop {
            let next = fields.next(buffer);
            let end = if next == Next::More {
                buffer.len()
            } else {
                fields.scanned() - 1
            };
            // First of all: who has seen less of the line has nothing else to say of it.
            if next == Next::FirstLine || fields.begin() == 0 {
                // Without its CRLF.
                if end > limits.request_line + 1 {
                    return Err(Failure::UriTooLong);
                }
            } else if end - fields.begin() > limits.fields + 1 {
                // With the empty line behind the last one.
                return Err(Failure::HeadersTooLarge);
            }
            match next {
                Next::FirstLine => {}
                Next::Folded => return Err(Failure::BadRequest(Malformed::FoldedHeader)),
                Next::Field => {
                    let most = limits.count.min(MAX_HEADER_COUNT);
                    if fields.list().len() > most || end + 1 - fields.begin() > limits.fields {
                        return Err(Failure::HeadersTooLarge);
                    }
                }
                Next::End => return Ok(Some(end + 1)),
                Next::BareLineFeed => return Err(Failure::BadRequest(Malformed::BareLineFeed)),
                Next::More => return Ok(None),
            }
        }
    }
}

/// A name or an address with an optional port. RFC 3986 §3.2.2 knows more, such as commas and
/// semicolons, which are lists or parameters to those who read it in a forwarding header.
pub(crate) fn is_host(text: &str) -> bool {
    const NAME: [bool; 256] = letters_digits_and(b"-._");
    let mut ports = 0;
    for byte in text.bytes() {
        match byte {
            _ if NAME[usize::from(byte)] => {}
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
    let mut number = 0_i64;
    for byte in value {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    u64::try_from(number).ok().filter(|_| !value.is_empty())
}

#[cfg(test)]
mod tests;
