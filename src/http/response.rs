//! One HTTP/1 response head, as a replica or a peer sends it (RFC 9112). Pure: bytes in, verdict out.
//!
//! The next reader must not find another end of the answer than we do. So what has two readings is
//! refused, and what was framed oddly ends its connection.

use std::fmt;

use crate::http::field::{Field, Name};
use crate::http::fields::{Fields, Flaw, Next, is_control};
use crate::http::head::{MAX_HEADER_COUNT, decimal};

/// Longest head, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// What a peer may have added to a head within these limits, and more than it ever does: fields, and bytes.
const ADDED_FIELDS: usize = 8;
const ADDED_BYTES: usize = 1024;
/// With what every head begins.
const START: &[u8] = b"HTTP/1.";
/// `HTTP/1.1 `: the status stands behind it.
const STATUS: usize = 9;
/// `HTTP/1.1 200`: the reason phrase stands behind it.
const STATUS_END: usize = 12;

/// Finds the end of a head in a buffer that grows, and its fields. A new one for each head.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub(crate) fields: Fields,
    more_fields: usize,
    more_bytes: usize,
}

/// A whole head that may be passed on.
#[derive(Debug)]
pub(crate) struct ResponseHead<'b> {
    bytes: &'b [u8],
    fields: &'b Fields,
    status: u16,
    reason: &'b [u8],
    framing: Framing,
    keeps_connection: bool,
    passes_trailers: bool,
}

/// How the body is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseBody {
    /// There is none, whatever the fields say.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// All that comes until the connection ends.
    ToClose,
}

/// Why an answer cannot be passed on. Says nothing of what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It does not begin with the status line of HTTP/1.0 or HTTP/1.1.
    StatusLine,
    /// A line of the head ends in LF without CR.
    LineEnd,
    /// Longer than [`HEAD_LIMIT`], or that and [`ADDED_BYTES`] from a peer.
    TooLong,
    /// More than [`MAX_HEADER_COUNT`] fields, or that and [`ADDED_FIELDS`] from a peer.
    TooManyFields,
    /// A line is no field, or goes on in the next one.
    Field,
    /// Lengths that differ, are no numbers, or are too large.
    ContentLength,
    /// A coding that is repeated, unknown, or does not exist in this version.
    TransferEncoding,
}

#[derive(Debug, Clone, Copy)]
struct Framing {
    body: ResponseBody,
    /// What `Content-Length` says, where it may be said to the client.
    length: Option<u64>,
    /// No reader could find another end.
    sound: bool,
}

/// What all `Connection` lines say together.
#[derive(Debug, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    /// They name a field that might be a trailer: none of those that we know is one.
    nominates: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            fields: Fields::new(),
            more_fields: 0,
            more_bytes: 0,
        }
    }
}

impl Scanner {
    /// For what a peer passes on: with its own fields, an answer that its replica may give is no longer
    /// within the limits of one.
    pub(crate) fn of_peer() -> Self {
        Self {
            more_fields: ADDED_FIELDS,
            more_bytes: ADDED_BYTES,
            ..Self::default()
        }
    }

    /// Looks at the bytes that have come in since the last call. `Some` is the length of the whole
    /// head; `None` asks for more bytes.
    ///
    /// # Errors
    /// Anything but HTTP/1, line ends other than CRLF, and heads beyond the limits, each as early as
    /// it shows.
    pub(crate) fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, Broken> {
        if !buffer.iter().zip(START).all(|(byte, known)| byte == known) {
            return Err(Broken::StatusLine);
        }
        let longest = HEAD_LIMIT + self.more_bytes;
        loop {
            let next = self.fields.next(buffer);
            let end = self.fields.scanned();
            if end > longest || (next == Next::More && buffer.len() >= longest) {
                return Err(Broken::TooLong);
            }
            match next {
                Next::FirstLine => {}
                Next::Field | Next::Folded => {
                    if self.fields.list().len() > MAX_HEADER_COUNT + self.more_fields {
                        return Err(Broken::TooManyFields);
                    }
                }
                Next::End => return Ok(Some(end)),
                Next::BareLineFeed => return Err(Broken::LineEnd),
                Next::More => return Ok(None),
            }
        }
    }
}

/// Whether this head, if it is one, is informational: another one follows, which is the answer (RFC 9110
/// §15.2).
pub(crate) fn looks_informational(head: &[u8]) -> bool {
    head.get(STATUS) == Some(&b'1')
}

impl<'b> ResponseHead<'b> {
    /// Reads a whole head. What [`Scanner::scan`] has found in it is in `fields`. `to_head` says that a `HEAD` is
    /// answered.
    ///
    /// # Errors
    /// What is no head, and framing that can be read in two ways.
    pub(crate) fn parse(
        bytes: &'b [u8],
        fields: &'b mut Fields,
        to_head: bool,
    ) -> Result<Self, Broken> {
        if !fields.are_all_of(bytes) {
            return Err(Broken::LineEnd);
        }
        let line = &bytes[..fields.begin() - 2];
        let (is_new, status, reason) = status_line(line).ok_or(Broken::StatusLine)?;
        match fields.flaw() {
            None => {}
            Some(Flaw::LineEnd) => return Err(Broken::LineEnd),
            Some(Flaw::Name | Flaw::Value) => return Err(Broken::Field),
        }
        let options = if fields.has(Name::Connection) {
            Options::read(bytes, fields.list_mut())
        } else {
            Options::default()
        };
        let framing = Framing::of(status, is_new, to_head, bytes, fields)?;
        // RFC 9112 §9.3: HTTP/1.1 goes on unless told otherwise, HTTP/1.0 the other way about.
        let goes_on = !options.close && (is_new || options.keep_alive);
        Ok(Self {
            bytes,
            fields,
            status,
            reason,
            framing,
            keeps_connection: goes_on && framing.sound && framing.body != ResponseBody::ToClose,
            passes_trailers: framing.body == ResponseBody::Chunked && !options.nominates,
        })
    }

    /// Three digits, of which the first is not 0.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether another head follows, which is the answer (RFC 9110 §15.2).
    pub(crate) fn is_informational(&self) -> bool {
        self.status < 200
    }

    /// How the body is framed.
    pub(crate) fn body(&self) -> ResponseBody {
        self.framing.body
    }

    /// What `Content-Length` says; for an answer to `HEAD` and a 304 also without a body.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.framing.length
    }

    /// Whether the connection may carry another request once the body has ended.
    pub(crate) fn keeps_connection(&self) -> bool {
        self.keeps_connection
    }

    /// Whether trailers behind the body go on to the client. Not where `Connection` names fields that
    /// stay here: they might be among the trailers (RFC 9110 §7.6.1), and the head is gone by then.
    pub(crate) fn passes_trailers(&self) -> bool {
        self.passes_trailers
    }

    /// What a peer says in an internal field of this name.
    pub(crate) fn internal(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.internal(self.bytes, name)
    }

    /// The reason phrase as it was sent, with the space before it; nothing where there was none.
    pub(crate) fn reason(&self) -> &'b [u8] {
        self.reason
    }

    /// Status and reason phrase as they were sent, each with the space before it.
    pub(crate) fn status_and_reason(&self) -> &'b [u8] {
        let end = STATUS_END + self.reason.len();
        self.bytes.get(STATUS - 1..end).unwrap_or_default()
    }

    /// The fields of this name, in order.
    pub(crate) fn named(&self, name: Name) -> impl Iterator<Item = &'b Field> + use<'b> {
        self.fields.named(name)
    }

    /// All fields, as places in [`ResponseHead::bytes`].
    pub(crate) fn fields(&self) -> &'b [Field] {
        self.fields.list()
    }

    /// The whole head.
    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }
}

/// Whether it is HTTP/1.1 and no older, its status, and the reason phrase with the space before it.
fn status_line(line: &[u8]) -> Option<(bool, u16, &[u8])> {
    let (version, rest) = line.split_first_chunk::<9>()?;
    let is_new = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return None,
    };
    let (digits, reason) = rest.split_first_chunk::<3>()?;
    // RFC 9110 §15: codes have three digits, of which the first is not 0.
    let status = decimal(digits).filter(|status| *status >= 100)?;
    let is_text = !reason.iter().any(|byte| is_control(*byte));
    let is_apart = reason.is_empty() || reason[0] == b' ';
    (is_text && is_apart).then_some((is_new, u16::try_from(status).ok()?, reason))
}

impl Options {
    /// Reads every `Connection` line, and marks the fields that one of them names.
    fn read(bytes: &[u8], fields: &mut [Field]) -> Self {
        let mut options = Self::default();
        for at in 0..fields.len() {
            if fields[at].name != Name::Connection {
                continue;
            }
            let value = fields[at].value(bytes);
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if !option.is_empty() {
                    options.nominates |= Name::of(option) == Name::Other;
                    nominate(option, bytes, fields);
                }
            }
        }
        options
    }
}

fn nominate(option: &[u8], bytes: &[u8], fields: &mut [Field]) {
    for field in fields {
        // A registry that names its own framing here would have us take the message apart.
        let frames = matches!(field.name, Name::ContentLength | Name::TransferEncoding);
        field.nominated |= !frames && field.name(bytes).eq_ignore_ascii_case(option);
    }
}

impl Framing {
    /// RFC 9112 §6.3, in its order.
    fn of(
        status: u16,
        is_new: bool,
        to_head: bool,
        bytes: &[u8],
        fields: &Fields,
    ) -> Result<Self, Broken> {
        let mut codings = fields.values(bytes, Name::TransferEncoding);
        let mut lengths = fields.values(bytes, Name::ContentLength).peekable();
        if status < 200 || status == 204 {
            // RFC 9110 §8.6 and RFC 9112 §6.1: they have neither field. Whoever sends one may send a body.
            let sound = codings.next().is_none() && lengths.all(|length| length == b"0");
            return Ok(Self {
                body: ResponseBody::None,
                length: None,
                sound,
            });
        }
        let bodiless = to_head || status == 304;
        let (body, length, sound) = match codings.next() {
            Some(coding) => {
                // RFC 9112 §6.1: HTTP/1.0 has no codings. RFC 9112 §7: there is one that everybody reads.
                let known = is_new && coding.eq_ignore_ascii_case(b"chunked");
                if !known || codings.next().is_some() {
                    return Err(Broken::TransferEncoding);
                }
                // RFC 9112 §6.3: the coding counts, and the length is dropped.
                (ResponseBody::Chunked, None, lengths.peek().is_none())
            }
            None if lengths.peek().is_none() => (ResponseBody::ToClose, None, true),
            None => {
                let length = one_length(lengths).ok_or(Broken::ContentLength)?;
                (ResponseBody::Length(length), Some(length), true)
            }
        };
        Ok(Self {
            body: if bodiless { ResponseBody::None } else { body },
            length,
            sound,
        })
    }
}

/// RFC 9110 §8.6: a number that is repeated, in one line or several, is that number.
fn one_length<'h>(values: impl Iterator<Item = &'h [u8]>) -> Option<u64> {
    let mut lengths = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|value| decimal(value.trim_ascii()));
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusLine => "the answer does not begin with a status line of HTTP/1.0 or 1.1",
            Self::LineEnd => "a line of the answer's head does not end in CRLF",
            Self::TooLong => "the answer's head is longer than 64 KiB",
            Self::TooManyFields => "the answer has more than 256 header fields",
            Self::Field => "a line of the answer's head is no header field",
            Self::ContentLength => {
                "the answer's Content-Length is no number below 2^63, or is said twice and differs"
            }
            Self::TransferEncoding => {
                "the answer's Transfer-Encoding is not one `chunked`, or is in HTTP/1.0"
            }
        })
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests;
