//! The PROXY protocol, versions 1 and 2 (HAProxy's `doc/proxy-protocol.txt`): before the first byte of
//! a connection, a proxy says whose connection it is. Pure: bytes in, verdict out.
//!
//! Read so strictly that nothing else can be taken for it: a client whose first bytes passed for a
//! header could name any address as its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1 with its line end, in bytes; from the specification.
const MAX_V1: usize = 107;
/// `PROXY UNKNOWN`, the shortest one.
const MIN_V1: usize = 15;
const V1: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_START: usize = 16;
/// What may follow that in version 2, in bytes: addresses take at most 216, the rest are extensions
/// (TLVs) such as the certificate's name of a TLS client.
const MAX_V2_REST: usize = 4096;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client's, at this address.
    Client(SocketAddr),
    /// The proxy's own, as its checks are.
    Proxy,
    /// Somebody's whose address the proxy does not know.
    Unknown,
}

/// How far a header has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// To its end: so many bytes.
    Whole {
        /// Bytes that belong to the header.
        length: usize,
        /// What it says.
        source: Source,
    },
    /// At least so many more bytes belong to it.
    More(usize),
}

/// Why the bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// They begin in another way.
    Missing,
    /// It goes on beyond all measure.
    TooLong,
    /// A version or command that does not exist.
    Version,
    /// Something else than TCP.
    Family,
    /// The addresses cannot be read.
    Address,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it does not begin with a PROXY header",
            Self::TooLong => "its PROXY header is too long",
            Self::Version => "its PROXY header is of an unknown version or command",
            Self::Family => "its PROXY header is not of a TCP connection",
            Self::Address => "the addresses in its PROXY header cannot be read",
        })
    }
}

/// Reads a header from its first byte on. Who reads exactly as many bytes as are asked for reads
/// none of what follows it.
///
/// # Errors
/// Bytes that are no header, as early as it shows.
pub fn read(bytes: &[u8]) -> Result<Progress, Wrong> {
    let begins = |with: &[u8]| {
        let both = bytes.len().min(with.len());
        bytes[..both] == with[..both]
    };
    if begins(SIGNATURE) && bytes.len() >= MIN_V1 {
        return version_2(bytes);
    }
    if begins(V1) && bytes.len() >= MIN_V1 {
        return version_1(bytes);
    }
    if begins(V1) || begins(SIGNATURE) {
        return Ok(Progress::More(MIN_V1 - bytes.len()));
    }
    Err(Wrong::Missing)
}

fn version_1(bytes: &[u8]) -> Result<Progress, Wrong> {
    let within = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        let more = if bytes.ends_with(b"\r") { 1 } else { 2 };
        // Up to the limit, so that what is wrong is the same however the bytes come.
        return match MAX_V1 - within.len() {
            0 => Err(Wrong::TooLong),
            room => Ok(Progress::More(more.min(room))),
        };
    };
    let line = bytes[V1.len()..end]
        .strip_suffix(b"\r")
        .ok_or(Wrong::Address)?;
    Ok(Progress::Whole {
        length: end + 1,
        source: source_1(line)?,
    })
}

fn source_1(line: &[u8]) -> Result<Source, Wrong> {
    let line = std::str::from_utf8(line).map_err(|_| Wrong::Address)?;
    let mut fields = line.split(' ');
    let family = fields.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // What follows it is to be ignored.
        return Ok(Source::Unknown);
    }
    let mut address = || {
        let text = fields.next()?;
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let ends = (address(), address());
    let ports = (port(fields.next()), port(fields.next()));
    match (family, ends, ports, fields.next()) {
        ("TCP4" | "TCP6", (Some(from), Some(_)), (Some(port), Some(_)), None) => {
            Ok(Source::Client(SocketAddr::new(from.to_canonical(), port)))
        }
        ("TCP4" | "TCP6", ..) => Err(Wrong::Address),
        _ => Err(Wrong::Family),
    }
}

/// Decimal, without sign and without zeros before it.
fn port(text: Option<&str>) -> Option<u16> {
    let text = text?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    (plain || text == "0").then(|| text.parse().ok()).flatten()
}

fn version_2(bytes: &[u8]) -> Result<Progress, Wrong> {
    let Some((start, rest)) = bytes.split_at_checked(V2_START) else {
        return Ok(Progress::More(V2_START - bytes.len()));
    };
    let [.., version, family, high, low] = start else {
        return Err(Wrong::Version);
    };
    let is_proxied = match version {
        0x20 => false,
        0x21 => true,
        _ => return Err(Wrong::Version),
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > MAX_V2_REST {
        return Err(Wrong::TooLong);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(Progress::More(length - rest.len()));
    };
    let source = if is_proxied {
        source_2(*family, rest)?
    } else {
        Source::Proxy
    };
    Ok(Progress::Whole {
        length: V2_START + length,
        source,
    })
}

/// Source and destination address, then their ports; extensions follow them and are passed over.
fn source_2(family: u8, rest: &[u8]) -> Result<Source, Wrong> {
    match family {
        // Nothing is known of it.
        0x00 => Ok(Source::Unknown),
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _, ..] = rest else {
                return Err(Wrong::Address);
            };
            let port = u16::from_be_bytes([*high, *low]);
            Ok(Source::Client((Ipv4Addr::new(*a, *b, *c, *d), port).into()))
        }
        0x21 => {
            let (Some(from), Some([high, low, _, _])) =
                (rest.first_chunk::<16>(), rest.get(32..36))
            else {
                return Err(Wrong::Address);
            };
            let address = Ipv6Addr::from(*from).to_canonical();
            let port = u16::from_be_bytes([*high, *low]);
            Ok(Source::Client(SocketAddr::new(address, port)))
        }
        // Of a client behind a Unix socket.
        0x31 if rest.len() >= 216 => Ok(Source::Unknown),
        0x31 => Err(Wrong::Address),
        _ => Err(Wrong::Family),
    }
}

#[cfg(test)]
mod tests;
