//! One HTTP/1 response head, as a replica or a peer sends it (RFC 9112). Pure: bytes in, verdict out.
//!
//! The next reader must not find another end of the answer than we do. So what has two readings is
//! refused, and what was framed oddly ends its connection.

use std::fmt;
use std::mem::MaybeUninit;

use crate::http::field::{Field, Fields, Name, line_feed};
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

/// Finds the end of a head in a buffer that grows, looking at each byte once. A new one for each head.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    scanned: usize,
    line_start: usize,
    lines: usize,
    more_fields: usize,
    more_bytes: usize,
}

/// A whole head that may be passed on.
#[derive(Debug)]
pub(crate) struct ResponseHead<'b> {
    bytes: &'b [u8],
    fields: &'b [Field],
    status: u16,
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
        while let Some(rest) = buffer.get(self.scanned..)
            && let Some(found) = line_feed(rest)
        {
            let line = &buffer[self.line_start..self.scanned + found];
            self.scanned += found + 1;
            self.line_start = self.scanned;
            if self.scanned > longest {
                return Err(Broken::TooLong);
            }
            match line {
                b"\r" => return Ok(Some(self.scanned)),
                [.., b'\r'] => self.lines += 1,
                // RFC 9112 §2.2 lets a reader take it for a line end, and some do not.
                _ => return Err(Broken::LineEnd),
            }
            if self.lines > 1 + MAX_HEADER_COUNT + self.more_fields {
                return Err(Broken::TooManyFields);
            }
        }
        self.scanned = buffer.len();
        if buffer.len() >= longest {
            return Err(Broken::TooLong);
        }
        Ok(None)
    }
}

/// Whether this head, if it is one, is informational: another one follows, which is the answer (RFC 9110
/// §15.2).
pub(crate) fn looks_informational(head: &[u8]) -> bool {
    head.get(STATUS) == Some(&b'1')
}

impl<'b> ResponseHead<'b> {
    /// Reads a whole head, as [`Scanner::scan`] delimited it. `fields` is only lent its room.
    /// `to_head` says that a `HEAD` is answered.
    ///
    /// # Errors
    /// What is no head, and framing that can be read in two ways.
    pub(crate) fn parse(
        bytes: &'b [u8],
        fields: &'b mut Fields,
        to_head: bool,
    ) -> Result<Self, Broken> {
        // Written to only as far as there are fields: clearing it costs more than most heads.
        let mut room = [const { MaybeUninit::uninit() }; MAX_HEADER_COUNT + ADDED_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let complete = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            bytes,
            &mut room,
        );
        match complete {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Broken::LineEnd),
            Err(error) => return Err(Broken::of(error)),
        }
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(Broken::StatusLine);
        };
        // RFC 9110 §15: codes have three digits, of which the first is not 0.
        if status < 100 || !bytes.starts_with(START) {
            return Err(Broken::StatusLine);
        }
        fields.clear();
        for field in parsed.headers.iter() {
            fields.push(Field::new(bytes, field.name.as_bytes(), field.value));
        }
        check_line_ends(bytes, fields)?;
        let options = Options::read(bytes, fields);
        let framing = Framing::of(status, minor, to_head, bytes, fields)?;
        // RFC 9112 §9.3: HTTP/1.1 goes on unless told otherwise, HTTP/1.0 the other way about.
        let goes_on = !options.close && (minor == 1 || options.keep_alive);
        Ok(Self {
            bytes,
            fields,
            status,
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
        let mut internal = self
            .fields
            .iter()
            .filter(|field| field.name == Name::Internal);
        let named = |field: &&Field| field.name(self.bytes).eq_ignore_ascii_case(name.as_bytes());
        internal.find(named).map(|field| field.value(self.bytes))
    }

    /// The reason phrase as it was sent, with the space before it; nothing where there was none.
    pub(crate) fn reason(&self) -> &'b [u8] {
        let rest = self.bytes.get(STATUS_END..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\r');
        rest.get(..end.unwrap_or(0)).unwrap_or_default()
    }

    /// All fields, as places in [`ResponseHead::bytes`].
    pub(crate) fn fields(&self) -> &'b [Field] {
        self.fields
    }

    /// The whole head.
    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }
}

/// The parser takes a lone LF for a line end.
fn check_line_ends(bytes: &[u8], fields: &[Field]) -> Result<(), Broken> {
    let status_line = line_feed(bytes).unwrap_or(0);
    let lines = fields.iter().map(|field| field.line().end);
    let mut ends = lines.chain([status_line + 1, bytes.len()]);
    let crlf = |end: usize| bytes.get(..end).is_some_and(|line| line.ends_with(b"\r\n"));
    if ends.all(crlf) {
        Ok(())
    } else {
        Err(Broken::LineEnd)
    }
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
        minor: u8,
        to_head: bool,
        bytes: &[u8],
        fields: &[Field],
    ) -> Result<Self, Broken> {
        let values = |name| {
            let named = fields.iter().filter(move |field| field.name == name);
            named.map(|field| field.value(bytes))
        };
        let mut codings = values(Name::TransferEncoding);
        let mut lengths = values(Name::ContentLength).peekable();
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
                let known = minor == 1 && coding.eq_ignore_ascii_case(b"chunked");
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

impl Broken {
    fn of(error: httparse::Error) -> Self {
        use httparse::Error;
        match error {
            Error::Version | Error::Status | Error::Token => Self::StatusLine,
            Error::HeaderName | Error::HeaderValue => Self::Field,
            Error::NewLine => Self::LineEnd,
            Error::TooManyHeaders => Self::TooManyFields,
        }
    }
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
