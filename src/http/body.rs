//! Chunked bodies (RFC 9112 §7.1), read strictly and written. Pure: bytes in, bytes out.

use crate::http::field::Name;

/// Stands behind all chunks; trailer lines follow, and an empty line.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n";

/// The largest chunk: what readers that count in signed numbers understand as we do.
const SIZE_LIMIT: u64 = u64::MAX >> 1;
/// Most bytes of chunk extensions and leading zeros in one body, none of which anybody needs.
const EXTENSION_LIMIT: u32 = 16 * 1024;
/// Most bytes of trailer lines in one body.
const TRAILER_LIMIT: usize = 16 * 1024;

/// Fields that decide how a message is framed, routed, cached, allowed or read, beside those that have a
/// [`Name`]: they come before the body or not at all.
const HEAD_ONLY: [&[u8]; 28] = [
    b"accept",
    b"age",
    b"authentication-info",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"date",
    b"expires",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"location",
    b"max-forwards",
    b"origin",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authentication-info",
    b"proxy-authorization",
    b"retry-after",
    b"set-cookie",
    b"tracestate",
    b"vary",
    b"warning",
    b"www-authenticate",
];
/// The same for all fields that begin so.
const HEAD_ONLY_PREFIX: &[u8] = b"x-forwarded-";

/// Reads one chunked body.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    at: At,
    /// Bytes of chunk extensions and leading zeros so far.
    extensions: u32,
    /// Bytes of trailer lines so far, whether or not they go on.
    trailer_bytes: usize,
    /// The trailer lines that go on, and the one that is coming in.
    trailers: Vec<u8>,
    line_start: usize,
}

/// What the bytes of one call were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// So many bytes of data stand at the front now.
    pub(crate) data: usize,
    /// So many of the given bytes belonged to the body.
    pub(crate) used: usize,
    /// The body has ended with them.
    pub(crate) ended: bool,
}

/// The bytes are not chunks as RFC 9112 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotChunks;

/// Where in the body the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first digit of a chunk's size.
    #[default]
    SizeBegin,
    Size(u64),
    /// Behind the size: extensions, which end with the line.
    Extension(u64),
    /// Behind the CR of a size line.
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndLine,
    /// At the beginning of a trailer line, or of the empty line that ends it all.
    LineBegin,
    Line,
    LineEnd,
    /// Behind the CR of the empty line.
    LastLine,
    Ended,
    /// Not chunks as we know them.
    Lost,
}

impl Decoder {
    /// Reads the next bytes, and moves the data among them to their front. Data that stands there
    /// already is not touched. What stands behind the data afterwards means nothing, up to `used`.
    ///
    /// # Errors
    /// [`NotChunks`] at the first byte that fits nowhere, and ever after.
    pub(crate) fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, NotChunks> {
        let (mut data, mut used) = (0, 0);
        while used < bytes.len() && self.at != At::Ended {
            if let At::Data(left) = self.at {
                let room = bytes.len() - used;
                let take = usize::try_from(left).map_or(room, |left| left.min(room));
                if data != used {
                    bytes.copy_within(used..used + take, data);
                }
                data += take;
                used += take;
                self.at = match left - take as u64 {
                    0 => At::DataEnd,
                    left => At::Data(left),
                };
            } else {
                self.at = self.after(bytes[used]);
                used += 1;
                if self.at == At::Lost {
                    return Err(NotChunks);
                }
            }
        }
        Ok(Decoded {
            data,
            used,
            ended: self.at == At::Ended,
        })
    }

    /// The trailer lines that may go on, each with its CRLF; whole once the body has ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.trailers.get(..self.line_start).unwrap_or_default()
    }

    fn after(&mut self, byte: u8) -> At {
        match (self.at, byte) {
            (At::SizeBegin, _) => hex(byte).map_or(At::Lost, At::Size),
            (At::Size(0), b'0') => self.extended(At::Size(0)),
            (At::Size(size) | At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Size(size), b';' | b' ' | b'\t') => self.extended(At::Extension(size)),
            (At::Size(size), _) => match hex(byte) {
                // RFC 9112 §7.1: a size must not overflow.
                Some(digit) if size <= SIZE_LIMIT >> 4 => At::Size(size << 4 | digit),
                _ => At::Lost,
            },
            (At::Extension(size), b'\t' | b' '..=b'~') => self.extended(At::Extension(size)),
            (At::SizeEnd(0), b'\n') => At::LineBegin,
            (At::SizeEnd(size), b'\n') => At::Data(size),
            (At::DataEnd, b'\r') => At::DataEndLine,
            (At::DataEndLine, b'\n') => At::SizeBegin,
            (At::LineBegin, b'\r') => At::LastLine,
            (At::Line, b'\r') => At::LineEnd,
            (At::LineBegin | At::Line, _)
                if byte != b'\n' && self.trailer_bytes < TRAILER_LIMIT =>
            {
                self.trailer_bytes += 1;
                self.trailers.push(byte);
                At::Line
            }
            (At::LineEnd, b'\n') => self.end_line(),
            (At::LastLine, b'\n') => At::Ended,
            _ => At::Lost,
        }
    }

    /// RFC 9112 §7.1.1: extensions mean nothing to us, and there is a limit to them.
    fn extended(&mut self, at: At) -> At {
        self.extensions += 1;
        if self.extensions > EXTENSION_LIMIT {
            return At::Lost;
        }
        at
    }

    fn end_line(&mut self) -> At {
        let line = self.trailers.get(self.line_start..).unwrap_or_default();
        let Some(name) = field_name(line) else {
            return At::Lost;
        };
        if may_trail(name) {
            self.trailers.extend_from_slice(b"\r\n");
            self.line_start = self.trailers.len();
        } else {
            self.trailers.truncate(self.line_start);
        }
        At::LineBegin
    }
}

/// The name in a line that is a field (RFC 9112 §5, §7.1.2), and does not go on another.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    (!name.is_empty() && name.iter().all(token) && value.iter().all(text)).then_some(name)
}

/// RFC 9110 §6.5.1: what others have acted upon before the body does not come behind it.
fn may_trail(name: &[u8]) -> bool {
    let begins = name.get(..HEAD_ONLY_PREFIX.len()).unwrap_or_default();
    Name::of(name) == Name::Other
        && !begins.eq_ignore_ascii_case(HEAD_ONLY_PREFIX)
        && !HEAD_ONLY
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// What goes before a chunk of this length; CRLF goes behind it. A length of 0 would end the body.
pub(crate) fn chunk_head(room: &mut [u8; 18], length: usize) -> &[u8] {
    let mut left = length;
    let mut at = 16;
    room[16..].copy_from_slice(b"\r\n");
    while at > 0 && (left > 0 || at == 16) {
        at -= 1;
        room[at] = b"0123456789abcdef"[left & 0xf];
        left >>= 4;
    }
    &room[at..]
}

#[cfg(test)]
mod tests;
