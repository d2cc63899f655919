//! HTTP/1 messages, read byte by byte and with no mercy: a cut is told from an end.

use std::io;

use ring::digest::{Context, SHA256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// A request or response head as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Request line or status line.
    pub start: String,
    /// Fields in order.
    pub fields: Vec<(String, String)>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A body, or as much of it as came.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// Empty where nobody wanted to keep it.
    pub bytes: Vec<u8>,
    pub length: u64,
    /// Lowercase hexadecimal SHA-256.
    pub sha256: String,
    pub trailers: Vec<(String, String)>,
    /// Whether it came to the end that its framing announces.
    pub whole: bool,
}

impl Head {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.fields, name)
    }

    /// The only value of a field; more than one is a failure of the test.
    pub fn one(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} has several values: {values:?}");
        values.first().copied()
    }

    /// The framing that the fields announce, if any.
    pub fn framing(&self) -> Option<Framing> {
        if self
            .one("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            return Some(Framing::Chunked);
        }
        self.one("content-length")
            .map(|length| Framing::Length(length.parse().unwrap()))
    }
}

fn all<'f>(fields: &'f [(String, String)], name: &str) -> Vec<&'f str> {
    let named = fields
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// The next head; none at a clean end of the connection.
pub async fn read_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let Some(start) = read_line(reader).await? else {
        return Ok(None);
    };
    let fields = read_fields(reader).await?;
    Ok(Some(Head { start, fields }))
}

/// Reads a body to its end or to its cut; `progress` learns of every piece.
pub async fn read_body(
    reader: &mut (impl AsyncBufRead + Unpin),
    framing: Framing,
    keep: bool,
) -> Body {
    let mut sink = Sink {
        body: Body::default(),
        keep,
        context: Context::new(&SHA256),
    };
    let read = match framing {
        Framing::Length(length) => read_length(reader, length, &mut sink).await,
        Framing::Chunked => read_chunks(reader, &mut sink).await,
        Framing::UntilClose => read_length(reader, u64::MAX, &mut sink)
            .await
            .or_else(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    Ok(())
                } else {
                    Err(error)
                }
            }),
    };
    sink.body.whole = read.is_ok();
    sink.body.sha256 = hex(sink.context.finish().as_ref());
    sink.body
}

/// SHA-256 in lowercase hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Sink {
    body: Body,
    keep: bool,
    context: Context,
}

impl Sink {
    fn take(&mut self, piece: &[u8]) {
        self.context.update(piece);
        self.body.length += piece.len() as u64;
        if self.keep {
            self.body.bytes.extend_from_slice(piece);
        }
    }
}

async fn read_length(
    reader: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    sink: &mut Sink,
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let take = available
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        sink.take(&available[..take]);
        reader.consume(take);
        left -= take as u64;
    }
    Ok(())
}

async fn read_chunks(reader: &mut (impl AsyncBufRead + Unpin), sink: &mut Sink) -> io::Result<()> {
    loop {
        let line = read_line(reader)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid(&line))?;
        if size == 0 {
            sink.body.trailers = read_fields(reader).await?;
            return Ok(());
        }
        read_length(reader, size, sink).await?;
        let end = read_line(reader)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if !end.is_empty() {
            return Err(invalid(&end));
        }
    }
}

async fn read_fields(
    reader: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A line without its CRLF; none at a clean end.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(Some(String::from_utf8_lossy(line).into_owned())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not expected: {line:?}"),
    )
}
