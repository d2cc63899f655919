//! Answers that are given before there is a request the framework could know of.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::request::Version;
use super::request_id::RequestId;
use super::wire::Wire;
use crate::http::respond::{Failure, wire};

/// How long a refused client may take to read the answer before the connection is dropped.
const LINGER: Duration = Duration::from_secs(1);
/// How many bytes of what it is still sending are read away meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// One refusal, for the access log and the metrics.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// Why.
    pub(crate) failure: &'a Failure,
    /// The id that the answer carries.
    pub(crate) request_id: &'a RequestId,
    /// The other end of the connection.
    pub(crate) client: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub(crate) tls: bool,
    /// Body bytes of the answer.
    pub(crate) bytes_sent: u64,
    /// How long the head took to come in.
    pub(crate) elapsed: Duration,
}

/// Writes the answer and closes, leaving the client time to read it: closing with unread bytes in
/// the receive buffer would reset the connection and may take the answer away again.
/// Returns the body bytes written.
pub(crate) async fn answer(
    client: &mut Wire,
    failure: &Failure,
    request_id: &str,
    head: bool,
) -> u64 {
    let (parts, body) = failure.response(request_id, head);
    let mut bytes = Vec::with_capacity(512);
    let connection = wire::connection(Version::Http11, true);
    wire::write(&mut bytes, &parts, &body, connection);
    say_last(client, &bytes).await;
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
