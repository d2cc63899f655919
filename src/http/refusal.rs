//! Answers that are given before there is a request the framework could know of.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::http::respond::Failure;

/// How long a refused client may take to read the answer before the connection is dropped.
const LINGER: Duration = Duration::from_secs(1);
/// How many bytes of what it is still sending are read away meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// One refusal, for the access log and the metrics.
#[derive(Debug)]
pub struct Refused<'a> {
    /// Why.
    pub failure: &'a Failure,
    /// The id that the answer carries.
    pub request_id: &'a str,
    /// The other end of the connection.
    pub client: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Body bytes of the answer.
    pub bytes_sent: u64,
    /// How long the head took to come in.
    pub elapsed: Duration,
}

/// Writes the answer and closes, leaving the client time to read it: closing with unread bytes in
/// the receive buffer would reset the connection and may take the answer away again.
/// Returns the body bytes written.
pub async fn answer(stream: &mut Stream, failure: &Failure, request_id: &str, head: bool) -> u64 {
    let (parts, body) = failure.response(request_id, head);
    let mut wire = Vec::with_capacity(512);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    wire.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).as_bytes());
    for (name, value) in &parts.headers {
        if name == http::header::CONNECTION {
            continue;
        }
        wire.extend_from_slice(name.as_str().as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value.as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"connection: close\r\n\r\n");
    wire.extend_from_slice(&body);
    say_last(stream, &wire).await;
    body.len() as u64
}

/// Writes the last word of a connection, and closes it as [`answer`] does.
pub(super) async fn say_last(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), wire: &[u8]) {
    let sent = tokio::time::timeout(LINGER, async {
        stream.write_all(wire).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut sink = vec![0; 16 * 1024];
        let mut drained = 0;
        while drained < LINGER_BYTES {
            match stream.read(&mut sink).await? {
                0 => break,
                read => drained += read,
            }
        }
        std::io::Result::Ok(())
    });
    // Whether it arrives is the client's affair now.
    let _ = sent.await;
}
