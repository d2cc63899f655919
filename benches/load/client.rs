//! One connection that asks and reads answers: HTTP/1.1, plain or TLS, with no more work than that needs.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) type Failure = Box<dyn Error>;

/// What large bodies are made of, and the most that is written at once.
pub(crate) static PART: [u8; 1 << 20] = [b'.'; 1 << 20];
/// Room for a head and a small body.
pub(crate) const SMALL: usize = 8 << 10;
/// Room for a piece of a large body.
pub(crate) const LARGE: usize = 512 << 10;
const FIELDS: usize = 64;

/// Whom to ask: a port on loopback.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Target {
    pub(crate) fn new(port: u16, authority: Option<&Path>) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let tls = authority.map(connector).transpose()?;
        Ok(Self { address, tls })
    }

    pub(crate) async fn connect(&self, room: usize) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::IpAddress(self.address.ip().into());
                Box::new(tls.connect(name, tcp).await?)
            }
        };
        let buffer = vec![0; room];
        Ok(Connection { stream, buffer })
    }
}

/// Each connection makes a whole handshake, as one from another client would.
fn connector(authority: &Path) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A request, written once and sent often.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: Vec<u8>,
    body: u64,
    answer_has_body: bool,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path, None)
    }

    pub(crate) fn head(path: &str) -> Self {
        Self::new("HEAD", path, None)
    }

    pub(crate) fn patch(path: &str, body: u64) -> Self {
        Self::new("PATCH", path, Some(body))
    }

    fn new(method: &str, path: &str, body: Option<u64>) -> Self {
        let length = body.map_or_else(String::new, |body| format!("Content-Length: {body}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: registry.example\r\nUser-Agent: load\r\nAccept: */*\r\n{length}\r\n"
        );
        Self {
            head: head.into_bytes(),
            body: body.unwrap_or(0),
            answer_has_body: method != "HEAD",
        }
    }
}

/// What a head says.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Of the head itself.
    bytes: usize,
    body: u64,
}

pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Asks, and reads the answer to its end. Its length, if its status was good.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<u64, Failure> {
        self.stream.write_all(&request.head).await?;
        let mut left = request.body;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(PART.len()).min(PART.len());
            self.stream.write_all(&PART[..part]).await?;
            left -= part as u64;
        }
        self.stream.flush().await?;
        let (head, filled) = self.head().await?;
        if !(200..300).contains(&head.status) {
            let text = String::from_utf8_lossy(&self.buffer[..filled]);
            return Err(format!("status {}:\n{text}", head.status).into());
        }
        if !request.answer_has_body {
            return Ok(0);
        }
        let mut left = head
            .body
            .checked_sub((filled - head.bytes) as u64)
            .ok_or("more bytes than Content-Length says")?;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let room = room.min(self.buffer.len());
            let read = self.stream.read(&mut self.buffer[..room]).await?;
            if read == 0 {
                return Err(format!("cut {left} bytes before the end of a body").into());
            }
            left -= read as u64;
        }
        Ok(head.body)
    }

    /// The head, and how many bytes are in the buffer with it.
    async fn head(&mut self) -> Result<(Head, usize), Failure> {
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                return Err("a head that is too long".into());
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err("the connection was closed before an answer".into());
            }
            filled += read;
            if let Some(head) = parse(&self.buffer[..filled])? {
                return Ok((head, filled));
            }
        }
    }
}

/// The head of an answer; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(bytes)? else {
        return Ok(None);
    };
    let body = length_of(answer.headers)?.ok_or("an answer without Content-Length")?;
    Ok(Some(Head {
        status: answer.code.ok_or("an answer without status")?,
        bytes: length,
        body,
    }))
}

/// What `Content-Length` says, if there is one.
pub(crate) fn length_of(fields: &[httparse::Header<'_>]) -> Result<Option<u64>, Failure> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let Some(field) = field else { return Ok(None) };
    Ok(Some(std::str::from_utf8(field.value)?.trim().parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_lengths() {
        let whole = b"HTTP/1.1 206 Partial Content\r\ncontent-LENGTH: 12\r\n\r\nabc";
        assert!(parse(&whole[..40]).expect("so far").is_none());
        let head = Head {
            status: 206,
            bytes: whole.len() - 3,
            body: 12,
        };
        assert_eq!(parse(whole).expect("a head"), Some(head));
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
