//! Small questions on our own account: probes, spans for a collector, and the command line's.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use http::StatusCode;

use super::{ConnectError, Connection, Route};
use crate::http::body::Decoder;
use crate::http::buffer::{Buffer, LARGE};
use crate::http::fields::Fields;
use crate::http::line::Line;
use crate::http::pace::Pace;
use crate::http::response::{Broken, ResponseBody, ResponseHead, Scanner};

/// The most that an answer may have, in bytes: several views of 1,024 members and 4,096 long pins.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// A small request.
pub(crate) struct Question {
    /// Without the empty line.
    head: String,
    body: Vec<u8>,
    /// Whether no part of it could be read as the beginning of another.
    is_sound: bool,
}

/// What came back, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    head: Vec<u8>,
    fields: Fields,
}

/// Why there is no answer. Quotes nothing of what was sent or received, which may hold tokens.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// What was to be sent is no request.
    NotAsked,
    Connect(ConnectError),
    /// Not within its time.
    TimedOut,
    /// The connection broke off.
    Broken(io::Error),
    /// What came is not HTTP as we read it.
    Unreadable(Option<Broken>),
    TooLarge,
}

impl Question {
    pub(crate) fn get(target: &str, host: &str) -> Self {
        Self::new("GET", target, host)
    }

    pub(crate) fn new(method: &str, target: &str, host: &str) -> Self {
        let start = Self {
            head: format!("{method} {target} HTTP/1.1\r\n"),
            body: Vec::new(),
            is_sound: target.bytes().all(|byte| byte.is_ascii_graphic()),
        };
        let start = start.field("Host", host);
        start.field(
            "User-Agent",
            concat!("shardlet/", env!("CARGO_PKG_VERSION")),
        )
    }

    #[must_use]
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.is_sound &= !value.bytes().any(|byte| byte.is_ascii_control());
        for part in [name, ": ", value, "\r\n"] {
            self.head += part;
        }
        self
    }

    /// With a body, whose type may have to be told by a field of its own.
    #[must_use]
    pub(crate) fn body(self, body: &[u8]) -> Self {
        let mut with = self.field("Content-Length", &body.len().to_string());
        with.body = body.to_vec();
        with
    }
}

impl Answer {
    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = |name: &str, of: &[u8]| of.eq_ignore_ascii_case(name.as_bytes());
        let mut fields = self.fields.list().iter();
        let field = fields.find(|field| named(name, field.name(&self.head)))?;
        str::from_utf8(field.value(&self.head)).ok()
    }
}

impl Route {
    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// Whatever kept it from arriving within `timeout`.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let answer = tokio::time::timeout(timeout, self.exchange(question));
        answer.await.unwrap_or(Err(NoAnswer::TimedOut))
    }

    async fn exchange(&self, question: &Question) -> Result<Answer, NoAnswer> {
        if !question.is_sound {
            return Err(NoAnswer::NotAsked);
        }
        let connection = self.connect().await.map_err(NoAnswer::Connect)?;
        let may_repeat = connection.is_reused() && question.body.is_empty();
        match self.exchange_over(connection, question).await {
            // The other end has just closed it. That says nothing of who is there now.
            Err(NoAnswer::Broken(_)) if may_repeat => {
                let anew = self.connect_anew().await.map_err(NoAnswer::Connect)?;
                self.exchange_over(anew, question).await
            }
            answered => answered,
        }
    }

    async fn exchange_over(
        &self,
        connection: Connection,
        question: &Question,
    ) -> Result<Answer, NoAnswer> {
        let line = &connection.line;
        let parts: [&[u8]; 3] = [question.head.as_bytes(), b"\r\n", &question.body];
        let written = line
            .write_all(&parts, self.write_idle(), &mut Pace::off())
            .await;
        written.map_err(NoAnswer::Broken)?;
        let (head, mut fields, rest) = final_head(line).await?;
        let parsed = ResponseHead::parse(&head, &mut fields, false)?;
        let (keeps, framing) = (parsed.keeps_connection(), parsed.body());
        let status = StatusCode::from_u16(parsed.status()).map_err(|_| Broken::StatusLine)?;
        let (body, is_all) = body(line, framing, rest).await?;
        if keeps && is_all {
            connection.give_back();
        }
        Ok(Answer {
            status,
            body,
            head,
            fields,
        })
    }
}

/// The head of the answer and what has come behind it; what is said before it (1xx) is of no use.
async fn final_head(line: &Line) -> Result<(Vec<u8>, Fields, Buffer), NoAnswer> {
    let mut bytes = Buffer::default();
    let mut scanner = Scanner::default();
    loop {
        let Some(length) = scanner.scan(&bytes)? else {
            let more = read(line).await?;
            if more.is_empty() {
                return Err(NoAnswer::Broken(ErrorKind::UnexpectedEof.into()));
            }
            bytes.join(&more);
            continue;
        };
        let head = bytes[..length].to_vec();
        bytes.consume(length);
        if !ResponseHead::parse(&head, &mut scanner.fields, false)?.is_informational() {
            return Ok((head, scanner.fields, bytes));
        }
        scanner = Scanner::default();
    }
}

/// The body that begins with these bytes, and whether the connection has brought nothing behind it.
async fn body(
    line: &Line,
    framing: ResponseBody,
    mut bytes: Buffer,
) -> Result<(Vec<u8>, bool), NoAnswer> {
    let mut body = Vec::new();
    let mut decoder = Decoder::default();
    let mut left = match framing {
        ResponseBody::None => 0,
        ResponseBody::Length(length) => length,
        ResponseBody::Chunked | ResponseBody::ToClose => u64::MAX,
    };
    loop {
        let (data, used, ended) = if framing == ResponseBody::Chunked {
            let decoded = decoder.decode(&mut bytes);
            let decoded = decoded.map_err(|_| NoAnswer::Unreadable(None))?;
            (decoded.data, decoded.used, decoded.ended)
        } else {
            let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            left -= taken as u64;
            (taken, taken, left == 0)
        };
        if body.len() + data > ANSWER_LIMIT {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&bytes[..data]);
        if ended {
            return Ok((body, used == bytes.len()));
        }
        bytes = read(line).await?;
        if bytes.is_empty() {
            return if framing == ResponseBody::ToClose {
                Ok((body, true))
            } else {
                Err(NoAnswer::Broken(ErrorKind::UnexpectedEof.into()))
            };
        }
    }
}

async fn read(line: &Line) -> Result<Buffer, NoAnswer> {
    line.read(LARGE, u64::MAX).await.map_err(NoAnswer::Broken)
}

impl From<Broken> for NoAnswer {
    fn from(broken: Broken) -> Self {
        Self::Unreadable(Some(broken))
    }
}

impl NoAnswer {
    /// What the system, or TLS, says of it.
    pub(crate) fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Connect(error) => error.cause(),
            Self::Broken(error) => Some(error),
            Self::NotAsked | Self::TimedOut | Self::Unreadable(_) | Self::TooLarge => None,
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("the question is no request as HTTP has it"),
            Self::Connect(error) => error.fmt(f),
            Self::TimedOut => f.write_str("it does not answer in time"),
            Self::Broken(error) => write!(f, "the connection broke off: {error}"),
            Self::Unreadable(Some(broken)) => broken.fmt(f),
            Self::Unreadable(None) => f.write_str("the answer's chunks are none"),
            Self::TooLarge => f.write_str("the answer is too large"),
        }
    }
}

impl std::error::Error for NoAnswer {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::dial::Place;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// What is made of these bytes, behind which the connection may end, and whether it was kept.
    async fn told(answer: &[u8], ends: bool) -> (Result<Answer, NoAnswer>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let route = Route::aside(Place::Address(listener.local_addr().unwrap()), None);
        let serve = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\nbody") {
                tcp.read_buf(&mut asked).await.unwrap();
            }
            assert!(asked.starts_with(b"PUT /a HTTP/1.1\r\nHost: b\r\n"));
            tcp.write_all(answer).await.unwrap();
            if ends {
                tcp.shutdown().await.unwrap();
            }
            tcp
        };
        let question = Question::new("PUT", "/a", "b").body(b"body");
        let (answer, _tcp) = tokio::join!(route.ask(&question, PATIENCE), serve);
        (answer, route.has_idle())
    }

    #[tokio::test]
    async fn an_answer_is_read_as_it_is_framed() {
        let first = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-Sum: 7\r\n";
        for (framing, body, keeps) in [
            ("Content-Length: 4\r\n\r\nbody", "body", true),
            ("Content-Length: 4\r\n\r\nbodymore", "body", false),
            ("Connection: close\r\nContent-Length: 0\r\n\r\n", "", false),
            ("\r\nall of it", "all of it", false),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
                "body",
                true,
            ),
        ] {
            let (answer, kept) = told(format!("{first}{framing}").as_bytes(), !keeps).await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 201, "{framing}");
            assert_eq!(answer.body, body.as_bytes(), "{framing}");
            assert_eq!(answer.field("x-sum"), Some("7"), "{framing}");
            assert_eq!(answer.field("x-other"), None, "{framing}");
            assert_eq!(kept, keeps, "{framing}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_without_a_word_of_it() {
        for (said, why) in [
            ("", "the connection broke off: unexpected end of file"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsecret",
                "the connection broke off: unexpected end of file",
            ),
            (
                "secret\r\n\r\n",
                "the answer does not begin with a status line of HTTP/1.0 or 1.1",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret",
                "the answer's chunks are none",
            ),
            (
                "HTTP/1.1 200 OK\r\n_state secret\r\n\r\n",
                "a line of the answer's head is no header field",
            ),
        ] {
            let (answer, kept) = told(said.as_bytes(), true).await;
            assert_eq!(answer.err().unwrap().to_string(), why, "{said}");
            assert!(!kept);
        }
        let long = vec![b'x'; ANSWER_LIMIT + 1];
        let (answer, _) = told(&[b"HTTP/1.1 200 OK\r\n\r\n", &long[..]].concat(), true).await;
        assert!(matches!(answer, Err(NoAnswer::TooLarge)));
    }

    /// Reads a question from this connection.
    async fn hear(tcp: &mut TcpStream, end: &[u8]) {
        let mut asked = Vec::new();
        while !asked.ends_with(end) {
            assert!(tcp.read_buf(&mut asked).await.unwrap() > 0);
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_just_then_says_nothing_of_who_is_there() {
        const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let get = Question::get("/a", "b");
        let put = Question::new("PUT", "/a", "b").body(b"body");
        for (question, end, is_repeated) in [
            (&get, &b"\r\n\r\n"[..], true),
            (&put, b"\r\n\r\nbody", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let route = Route::aside(Place::Address(listener.local_addr().unwrap()), None);
            let serve = async {
                let (mut tcp, _) = listener.accept().await.unwrap();
                hear(&mut tcp, end).await;
                tcp.write_all(OK).await.unwrap();
                hear(&mut tcp, end).await;
                drop(tcp);
                if is_repeated {
                    let (mut tcp, _) = listener.accept().await.unwrap();
                    hear(&mut tcp, end).await;
                    tcp.write_all(OK).await.unwrap();
                }
            };
            let ask = async {
                let first = route.ask(question, PATIENCE).await;
                (first, route.ask(question, PATIENCE).await)
            };
            let ((first, second), ()) = tokio::join!(ask, serve);
            assert!(first.is_ok());
            assert_eq!(second.is_ok(), is_repeated);
        }
    }

    #[tokio::test]
    async fn what_would_be_two_questions_is_none() {
        let nowhere = Route::aside(Place::Unix("/nowhere".into()), None);
        for question in [
            Question::get("/a b", "c"),
            Question::get("/a\r\nb", "c"),
            Question::get("/a", "c\r\n\r\nGET /"),
            Question::get("/a", "b").field("C", "d\ne"),
        ] {
            let answer = nowhere.ask(&question, PATIENCE).await;
            assert!(matches!(answer, Err(NoAnswer::NotAsked)));
        }
    }
}
