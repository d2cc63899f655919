//! What a proxy in front of us says of a connection before its first byte: whose it is.

use std::fmt;
use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::http::proxy_protocol::{self, Progress, Source, Wrong};

/// Most headers fit.
const HEADER_ROOM: usize = 128;

/// Why nobody knows whose connection it is.
#[derive(Debug)]
pub(super) enum Fault {
    /// It ended without a word, as that of a check which only connects.
    Silent,
    /// It ended, or could not be read, in the middle of the header.
    Broken(io::Error),
    /// What it says is no header.
    Wrong(Wrong),
    /// The header did not come in time.
    Late,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it ended without a PROXY header"),
            Self::Broken(error) => write!(f, "its PROXY header broke off: {error}"),
            Self::Wrong(wrong) => wrong.fmt(f),
            Self::Late => f.write_str("its PROXY header did not come in time"),
        }
    }
}

/// Reads the header that a connection begins with, and not a byte of what follows: that may be a TLS
/// handshake.
pub(super) async fn source(tcp: &mut TcpStream) -> Result<Source, Fault> {
    let mut bytes = Vec::with_capacity(HEADER_ROOM);
    loop {
        match proxy_protocol::read(&bytes).map_err(Fault::Wrong)? {
            Progress::Whole { source, .. } => return Ok(source),
            Progress::More(more) => {
                let mut wanted = tcp.take(more as u64);
                match wanted.read_buf(&mut bytes).await {
                    Ok(0) if bytes.is_empty() => return Err(Fault::Silent),
                    Ok(0) => return Err(Fault::Broken(io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {}
                    Err(error) => return Err(Fault::Broken(error)),
                }
            }
        }
    }
}
