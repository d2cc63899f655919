//! One connection of a replica, request by request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Program, Seen, Shared, Step};
use crate::cluster::message::{Body, Framing, Head, read_body, read_head};
use crate::cluster::registry;

static FILLING: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// Serves until the connection ends.
pub(super) async fn run(shared: &Arc<Shared>, stream: TcpStream, number: u64) {
    stream.set_nodelay(true).unwrap();
    let (reader, writer) = stream.into_split();
    let mut conversation = Conversation {
        shared,
        reader: BufReader::new(Tee {
            reader,
            shared: shared.clone(),
        }),
        writer,
        number,
        request: None,
    };
    // However it ends, the record tells.
    let _ = conversation.serve().await;
}

struct Conversation<'a> {
    shared: &'a Shared,
    reader: BufReader<Tee>,
    writer: OwnedWriteHalf,
    number: u64,
    /// The request under way, as an index into the record.
    request: Option<usize>,
}

/// Keeps what is read, if the test wants it.
struct Tee {
    reader: OwnedReadHalf,
    shared: Arc<Shared>,
}

impl AsyncRead for Tee {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(cx, buf))?;
        if let Some(kept) = &mut *self.shared.bytes.lock().unwrap() {
            kept.extend_from_slice(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of the request under way.
struct Pending {
    framing: Framing,
    expects_continue: bool,
    read: bool,
}

impl Conversation<'_> {
    async fn serve(&mut self) -> io::Result<()> {
        let mut served = 0;
        while let Some(head) = read_head(&mut self.reader).await? {
            if head
                .one("user-agent")
                .is_some_and(|agent| agent.starts_with("shardlet/"))
            {
                self.answer_probe().await?;
                continue;
            }
            let mut pending = Pending::of(&head);
            self.note(head.clone());
            let program = self.shared.program.lock().unwrap().clone();
            served += 1;
            match program {
                Program::ClosesOnReuse if served > 1 => return Ok(()),
                Program::Registry | Program::ClosesOnReuse => {
                    self.answer_as_registry(&head, &mut pending).await?
                }
                Program::Steps(steps) => {
                    for step in steps {
                        self.take(step, &mut pending).await?;
                    }
                }
            }
            if !pending.read {
                read_body(&mut self.reader, pending.framing, false).await;
            }
        }
        Ok(())
    }

    async fn answer_probe(&mut self) -> io::Result<()> {
        let status = *self.shared.probe_status.lock().unwrap();
        self.shared.record.send_modify(|record| record.probes += 1);
        let answer = format!("HTTP/1.1 {status} Probed\r\nContent-Length: 2\r\n\r\n{{}}");
        self.writer.write_all(answer.as_bytes()).await
    }

    fn note(&mut self, head: Head) {
        let mut words = head.start.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let seen = Seen {
            connection: self.number,
            method: word(),
            target: word(),
            head,
            body: None,
        };
        self.shared.record.send_modify(|record| {
            self.request = Some(record.requests.len());
            record.requests.push(seen);
        });
    }

    async fn answer_as_registry(&mut self, head: &Head, pending: &mut Pending) -> io::Result<()> {
        let body = self.body(pending, true).await?;
        if !body.whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = registry::answer(&self.shared.storage, &self.shared.name, head, body.bytes);
        self.say(&answer).await
    }

    async fn body(&mut self, pending: &mut Pending, keep: bool) -> io::Result<Body> {
        if pending.expects_continue {
            self.writer
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        pending.read = true;
        let body = read_body(&mut self.reader, pending.framing, keep).await;
        let (number, seen) = (
            self.request,
            Body {
                bytes: Vec::new(),
                ..body.clone()
            },
        );
        self.shared.record.send_modify(|record| {
            if let Some(request) = number.and_then(|number| record.requests.get_mut(number)) {
                request.body = Some(seen);
            }
        });
        Ok(body)
    }

    async fn take(&mut self, step: Step, pending: &mut Pending) -> io::Result<()> {
        match step {
            Step::ReadBody => {
                let body = self.body(pending, false).await?;
                if body.whole {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            }
            Step::Say(bytes) => self.say(&bytes).await,
            Step::Fill(mut left) => {
                while left > 0 {
                    let piece = FILLING
                        .len()
                        .min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.say(&FILLING[..piece]).await?;
                    left -= piece as u64;
                }
                Ok(())
            }
            Step::Wait(gate) => tokio::select! {
                () = gate.passed() => Ok(()),
                error = self.ends() => Err(error),
            },
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            Step::Stall => Err(self.ends().await),
            Step::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            Step::Reset => {
                let socket = socket2::SockRef::from(self.writer.as_ref());
                socket.set_linger(Some(Duration::ZERO))?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let written = self.writer.write(left).await?;
            left = &left[written..];
            self.shared
                .record
                .send_modify(|record| record.written += written as u64);
        }
        Ok(())
    }

    /// Reads until there is nothing more; what comes is thrown away.
    async fn ends(&mut self) -> io::Error {
        let mut sink = [0; 4096];
        loop {
            match self.reader.read(&mut sink).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}

impl Pending {
    fn of(head: &Head) -> Self {
        Self {
            framing: head.framing().unwrap_or(Framing::Length(0)),
            expects_continue: head.one("expect").is_some(),
            read: false,
        }
    }
}
