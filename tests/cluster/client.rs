//! An HTTP/1 client that sends exactly the bytes it is told to, and tells a cut from an end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf,
    WriteHalf, split,
};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::message::{Body, Framing, Head, read_body, read_head};
use super::request::Request;
use super::within;

/// A response, or as much of it as came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
    pub end: End,
    /// Informational responses before it.
    pub interim: Vec<u16>,
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its framing announced.
    Whole,
    /// The connection ended first.
    Cut,
}

/// A connection to a member.
pub struct Connection {
    reader: BufReader<ReadHalf<Box<dyn Io>>>,
    writer: WriteHalf<Box<dyn Io>>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Answer {
    /// The only value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first error of an OCI error document.
    pub fn oci_error(&self) -> serde_json::Value {
        assert_eq!(
            self.field("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        document["errors"][0].clone()
    }

    /// Status and reason of an answer of our own, which keeps what all of them promise.
    pub fn refused(&self) -> (u16, String) {
        let error = self.oci_error();
        let detail = &error["detail"];
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
        assert_eq!(
            detail["request_id"].as_str(),
            self.field("x-request-id"),
            "{self:?}"
        );
        assert_eq!(self.end, End::Whole);
        let waits = self
            .field("retry-after")
            .is_some_and(|wait| wait.parse::<u32>().unwrap() > 0);
        assert_eq!(
            waits,
            matches!(self.status, 429 | 503),
            "Retry-After: {self:?}"
        );
        (self.status, detail["reason"].as_str().unwrap().to_owned())
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(
            within("connect", TcpStream::connect(address))
                .await
                .unwrap(),
        )
    }

    /// At a member's command socket.
    pub async fn open_socket(path: &str) -> Self {
        Self::over(within("connect", UnixStream::connect(path)).await.unwrap())
    }

    /// From a source address of choice.
    pub async fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Self::over(within("connect", socket.connect(address)).await.unwrap())
    }

    /// Over TLS.
    pub async fn open_tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Ok(Self::over(tls_stream(address, config).await?))
    }

    /// With these bytes before anything else, and TLS, if there is any, so long after them.
    pub async fn open_behind(
        address: SocketAddr,
        first: &[u8],
        tls: Option<Arc<ClientConfig>>,
        after: Duration,
    ) -> Self {
        let mut tcp = within("connect", TcpStream::connect(address))
            .await
            .unwrap();
        within("send", tcp.write_all(first)).await.unwrap();
        tokio::time::sleep(after).await;
        match tls {
            None => Self::over(tcp),
            Some(config) => Self::over(tls_over(tcp, address, config).await.unwrap()),
        }
    }

    fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (reader, writer) = split(Box::new(stream) as Box<dyn Io>);
        Self {
            reader: BufReader::new(reader),
            writer,
        }
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: &Request) -> Answer {
        self.send(request.bytes()).await;
        self.answer_to(&request.method).await
    }

    /// Sends bytes as they are. That the other side has closed already is no error: its answer
    /// may still be there to be read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("send", async {
            self.writer.write_all(bytes.as_ref()).await?;
            self.writer.flush().await
        })
        .await;
    }

    /// Reads an answer while the request is still being sent, as clients with large bodies do.
    pub async fn ask_while_sending(&mut self, request: &Request) -> Answer {
        let bytes = request.bytes();
        let Self { reader, writer } = self;
        tokio::select! {
            answer = read_answer(reader, &request.method, true) => {
                let (answer, body) = answer;
                Answer { body: body.bytes, ..answer }
            }
            () = send_for_ever(writer, &bytes) => unreachable!(),
        }
    }

    /// The answer to a request with any method but HEAD.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// The next answer, its body kept.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        let (mut answer, body) = self.read(method, true).await;
        answer.body = body.bytes;
        answer
    }

    /// The next answer, of whose body only length and digest are kept.
    pub async fn digested_answer(&mut self) -> (Answer, Body) {
        self.read("GET", false).await
    }

    async fn read(&mut self, method: &str, keep: bool) -> (Answer, Body) {
        read_answer(&mut self.reader, method, keep).await
    }

    /// The head of the next final response, and the informational ones before it.
    pub async fn answer_head(&mut self) -> (Head, Vec<u16>) {
        final_head(&mut self.reader).await
    }

    /// The next head, informational or not.
    pub async fn next_head(&mut self) -> Head {
        let head = within("response head", read_head(&mut self.reader)).await;
        head.unwrap()
            .expect("a response, but the connection was closed")
    }

    /// Whether a byte comes, rather than the end.
    pub async fn speaks(&mut self) -> bool {
        let first = within("a byte or the end", self.reader.fill_buf()).await;
        first.is_ok_and(|bytes| !bytes.is_empty())
    }

    /// Whether nothing has come.
    pub async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::ZERO, self.reader.fill_buf())
            .await
            .is_err()
    }

    /// The next bytes, whatever they are; none at the end.
    pub async fn some(&mut self) -> Option<Vec<u8>> {
        let read = within("some bytes", self.reader.fill_buf()).await;
        let bytes = read.unwrap_or_default().to_vec();
        self.reader.consume(bytes.len());
        (!bytes.is_empty()).then_some(bytes)
    }

    /// The next bytes, so many of them.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = within("so many bytes", self.reader.read_exact(&mut bytes)).await;
        read.expect("so many bytes, but the connection ended");
        bytes
    }

    /// Ends our side; the other may still speak.
    pub async fn finish(&mut self) {
        let _ = within("the end to be sent", self.writer.shutdown()).await;
    }

    /// Waits until the other side closes; whatever it still says first is returned.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = within(
            "the connection to be closed",
            self.reader.read_to_end(&mut rest),
        )
        .await;
        rest
    }
}

/// Sends all of it, then waits for ever.
async fn send_for_ever(writer: &mut WriteHalf<Box<dyn Io>>, bytes: &[u8]) {
    if writer.write_all(bytes).await.is_ok() {
        let _ = writer.flush().await;
    }
    std::future::pending().await
}

type Reader = BufReader<ReadHalf<Box<dyn Io>>>;

async fn read_answer(reader: &mut Reader, method: &str, keep: bool) -> (Answer, Body) {
    let (head, interim) = final_head(reader).await;
    let status = status(&head);
    let bodiless = method == "HEAD" || status == 204 || status == 304;
    let framing = match head.framing() {
        _ if bodiless => Framing::Length(0),
        Some(framing) => framing,
        None => Framing::UntilClose,
    };
    let body = within("response body", read_body(reader, framing, keep)).await;
    let end = if body.whole { End::Whole } else { End::Cut };
    (
        Answer {
            status,
            head,
            body: Vec::new(),
            end,
            interim,
        },
        body,
    )
}

async fn final_head(reader: &mut Reader) -> (Head, Vec<u16>) {
    let mut interim = Vec::new();
    loop {
        let head = within("response head", read_head(reader)).await;
        let head = head
            .unwrap()
            .expect("a response, but the connection was closed");
        match status(&head) {
            informational @ 100..200 => interim.push(informational),
            _ => return (head, interim),
        }
    }
}

/// The status of a response head.
fn status(head: &Head) -> u16 {
    let mut words = head.start.split(' ');
    assert!(
        words
            .next()
            .is_some_and(|version| version.starts_with("HTTP/1.")),
        "{head:?}"
    );
    words.next().unwrap().parse().unwrap()
}

/// The leaf certificate that a TLS server shows, in DER.
pub async fn certificate_shown(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<Vec<u8>> {
    let stream = tls_stream(address, config).await?;
    let (_, session) = stream.get_ref();
    Ok(session.peer_certificates().unwrap()[0].to_vec())
}

/// A TLS connection to whoever is at this address, or the error of the handshake.
pub(super) async fn tls_stream(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = within("connect", TcpStream::connect(address)).await?;
    tls_over(tcp, address, config).await
}

async fn tls_over(
    tcp: TcpStream,
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::IpAddress(address.ip().into());
    within("handshake", TlsConnector::from(config).connect(name, tcp)).await
}
