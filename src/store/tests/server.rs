//! An HTTP server in this process that answers as a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One that came, whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// In lower case, with their values.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer {
        status: u16,
        fields: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Nothing, and the connection stays.
    Silence,
    /// Nothing, and the connection ends.
    End,
}

/// Ends with it.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) asked: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Request {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status,
            fields: Vec::new(),
            body: body.into(),
        }
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { fields, .. } = &mut self {
            fields.push((name, value.into()));
        }
        self
    }
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                tokio::spawn(async move {
                    // Whoever leaves in the middle has had enough.
                    let _ = serve(tcp, &*answer, &seen).await;
                });
            }
        });
        Self {
            url: format!("http://{address}"),
            asked,
            task,
        }
    }

    pub(super) fn last(&self) -> Request {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut tcp: TcpStream,
    answer: &(impl Fn(&Request) -> Reply + ?Sized),
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let Some(request) = receive(&mut tcp, &mut bytes).await? else {
            return Ok(());
        };
        seen.lock().unwrap().push(request.clone());
        match answer(&request) {
            Reply::Answer {
                status,
                fields,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} Said\r\n");
                for (name, value) in fields {
                    head += &format!("{name}: {value}\r\n");
                }
                // 204 has no body, and no length of one.
                if status != 204 {
                    head += &format!("Content-Length: {}\r\n", body.len());
                }
                head += "\r\n";
                tcp.write_all(&[head.as_bytes(), &body].concat()).await?;
            }
            Reply::Silence => std::future::pending().await,
            Reply::End => return Ok(()),
        }
    }
}

async fn receive(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let ended = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if tcp.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes.drain(..ended).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let mut request = Request {
        method: first.next().unwrap().to_owned(),
        ..Request::default()
    };
    let target = first.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (request.path, request.query) = (path.to_owned(), query.to_owned());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let field = (name.to_ascii_lowercase(), value.to_owned());
        request.fields.push(field);
    }
    let length = request.field("content-length").unwrap_or("0");
    let length: usize = length.parse().unwrap();
    while bytes.len() < length {
        if tcp.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
    request.body = bytes.drain(..length).collect();
    Ok(Some(request))
}
