//! An HTTP/2 client with its hands on streams and windows.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::ClientConfig;
use tokio::task::JoinHandle;

use super::client::tls_stream;
use super::within;

/// A connection.
pub struct H2Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A response.
#[derive(Debug)]
pub struct H2Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// How the stream was reset, if it was.
    pub reset: Option<Reason>,
}

impl H2Client {
    pub(super) async fn open(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let stream = tls_stream(address, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut builder = h2::client::Builder::new();
        // Our own windows are not under test.
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 22);
        let (requests, connection) = within("HTTP/2 preface", builder.handshake(stream))
            .await
            .unwrap();
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// A request with a target, ready for more fields.
    pub fn request(method: &str, target: &str) -> http::request::Builder {
        let uri = format!("https://registry.example{target}");
        Request::builder().method(method).uri(uri)
    }

    /// Begins a request; the stream takes its body unless it ends here.
    pub async fn begin(
        &mut self,
        request: http::request::Builder,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let ready = within("a stream", self.requests.clone().ready()).await;
        self.requests = ready?;
        self.requests.send_request(request.body(()).unwrap(), ends)
    }

    /// A request without a body and its answer.
    pub async fn ask(&mut self, request: http::request::Builder) -> Result<H2Answer, h2::Error> {
        let (response, _) = self.begin(request, true).await?;
        Self::answer(response).await
    }

    /// A request with a body and its answer.
    pub async fn upload(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<H2Answer, h2::Error> {
        let (response, mut stream) = self.begin(request, false).await?;
        within("the upload", send_all(&mut stream, body)).await?;
        Self::answer(response).await
    }

    /// Reads a response to its end.
    pub async fn answer(response: ResponseFuture) -> Result<H2Answer, h2::Error> {
        let response: Response<RecvStream> = within("response head", response).await?;
        let (parts, mut stream) = response.into_parts();
        let (mut body, mut reset) = (Vec::new(), None);
        while let Some(data) = within("response data", stream.data()).await {
            match data {
                Ok(data) => {
                    stream.flow_control().release_capacity(data.len())?;
                    body.extend_from_slice(&data);
                }
                Err(error) => {
                    reset = error.reason();
                    break;
                }
            }
        }
        Ok(H2Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            reset,
        })
    }

    /// How many requests may be open at a time, as the other side has told.
    pub fn max_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// How the connection ended.
    pub async fn ended(self) -> Result<(), h2::Error> {
        within("the connection's end", self.connection)
            .await
            .unwrap()
    }
}

/// Sends a body as the windows allow.
pub async fn send_all(stream: &mut SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(room) = room else {
            return Err(Reason::CANCEL.into());
        };
        let piece = body.split_to(room?.min(body.len()));
        stream.send_data(piece, false)?;
    }
    stream.send_data(Bytes::new(), true)
}
