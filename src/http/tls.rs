//! TLS, with those who call us and with those whom we call. rustls keeps the keys; what is read and what is
//! to be sent is in buffers of the thread's, so that a connection that waits holds none. (With buffers of
//! its own rustls keeps 4 KiB for each connection.)

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, ReadTraffic, UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buffer::{Buffer, LARGE, SMALL};
use super::line::try_read;

/// The most that one record carries (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// The most that is encrypted before it is sent: it fits into a large buffer.
const STEP: usize = 15 * RECORD;
/// What a record has beside what it carries, at most, in what we speak.
const OVERHEAD: usize = 64;

/// A TLS connection.
pub(crate) struct Tls {
    tcp: TcpStream,
    session: Session,
    /// Records as they came, of which the last may be half there.
    came: Buffer,
    /// Decrypted, and not asked for yet.
    plain: Buffer,
    /// Records that are to be sent.
    going: Buffer,
    /// Whether the last read had more than a small buffer to bring.
    is_busy: bool,
    /// Whether rustls may have something to do for who reads: a record that came, or an answer of its own.
    has_more: bool,
    /// Whether the other end has said that nothing more comes.
    has_ended: bool,
    /// Whether it has done what ends a connection.
    has_failed: bool,
}

/// One of both sides.
enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What rustls is asked for, once it has done what it wants to do itself.
enum Task<'a, 'b> {
    Read(&'a mut ReadBuf<'b>),
    Write(&'a [u8]),
    Close,
}

#[derive(PartialEq)]
enum Done {
    /// Something that had to be done before.
    Step,
    /// There was a record to read.
    Record,
    /// The other end has said that nothing more comes.
    Ended,
    /// All that can be done; a reader has to wait for more.
    All,
}

impl Tls {
    /// Shakes hands with a client.
    ///
    /// # Errors
    /// Those of the connection, and what the client does wrong (`InvalidData`), of which it has been told.
    pub(crate) async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Box<Self>> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Self::shake(tcp, Session::Server(session)).await
    }

    /// Shakes hands with a server.
    ///
    /// # Errors
    /// As [`Tls::accept`].
    pub(crate) async fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Box<Self>> {
        let session = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::shake(tcp, Session::Client(session)).await
    }

    async fn shake(tcp: TcpStream, session: Session) -> io::Result<Box<Self>> {
        let mut connection = Box::new(Self {
            tcp,
            session,
            came: Buffer::default(),
            plain: Buffer::default(),
            going: Buffer::default(),
            is_busy: false,
            has_more: false,
            has_ended: false,
            has_failed: false,
        });
        poll_fn(|cx| connection.poll_shake(cx)).await?;
        Ok(connection)
    }

    /// What was agreed on.
    pub(crate) fn agreed(&self) -> &CommonState {
        match &self.session {
            Session::Server(tls) => tls,
            Session::Client(tls) => tls,
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether nothing has come that is not read yet, as far as is known without asking the kernel.
    pub(crate) fn is_quiet(&self) -> bool {
        // What is not tried cannot fail but for not being known to be ready.
        self.plain.is_empty()
            && !self.has_more
            && !self.has_ended
            && self.tcp.try_io(Interest::READABLE, || Ok(())).is_err()
    }

    /// Waits until there may be something to read, and needs no room for it until then.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plain.is_empty() && !self.has_more && !self.has_ended {
            return self.poll_fill(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut nowhere = ReadBuf::new(&mut []);
            while matches!(
                self.work(Task::Read(&mut nowhere))?,
                Done::Step | Done::Ended
            ) {}
            ready!(self.poll_send(cx))?;
            if !self.agreed().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.has_ended {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Has rustls do one thing.
    fn work(&mut self, mut task: Task<'_, '_>) -> io::Result<Done> {
        if self.has_failed {
            return Err(ErrorKind::InvalidData.into());
        }
        // Who writes does not want to be given what is still to be read. Where there is more of it, rustls has
        // no use for what came but to read it; else it may refer to it, as to a part of a message.
        let came: &mut [u8] = match task {
            Task::Write(_) | Task::Close if self.has_more => &mut [],
            Task::Read(_) | Task::Write(_) | Task::Close => &mut self.came,
        };
        let (plain, going) = (&mut self.plain, &mut self.going);
        let (discard, done) = match &mut self.session {
            Session::Server(tls) => perform(tls.process_tls_records(came), &mut task, plain, going),
            Session::Client(tls) => perform(tls.process_tls_records(came), &mut task, plain, going),
        };
        self.came.consume(discard);
        match done {
            Ok(Done::Record) => {
                self.has_more = !self.came.is_empty() || self.agreed().wants_write()
            }
            Ok(Done::Ended) => self.has_ended = true,
            Ok(Done::All) if matches!(task, Task::Read(_)) => self.has_more = false,
            Ok(Done::All | Done::Step) => {}
            Err(_) => self.complain(),
        }
        done
    }

    /// Tells the other end what is wrong with it, as far as that is possible at once. rustls must not be given
    /// the same bytes again.
    fn complain(&mut self) {
        self.has_failed = true;
        // It is told whoever reads.
        self.has_more = true;
        let mut has_more = true;
        while has_more && self.agreed().wants_write() {
            let (came, going) = (&mut *self.came, &mut self.going);
            has_more = match &mut self.session {
                Session::Server(tls) => complain(tls.process_tls_records(came), going),
                Session::Client(tls) => complain(tls.process_tls_records(came), going),
            };
        }
        let _ = self.tcp.try_write(&self.going);
        self.going.clear();
    }

    /// Reads what there is. Holds no more than the part of a record while there is nothing.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only a handshake in the smallest of pieces has so much without end.
        if self.came.len() > LARGE - SMALL {
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        loop {
            if self.tcp.poll_read_ready(cx)?.is_pending() {
                self.came.shrink();
                return Poll::Pending;
            }
            let room = if self.is_busy {
                LARGE - self.came.len()
            } else {
                SMALL / 2
            };
            self.came.make_room(room);
            let tcp = &self.tcp;
            let spare = self.came.spare_mut();
            let read = match try_read(tcp, spare, |read| tcp.try_io(Interest::READABLE, read)) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                read => read,
            }?;
            self.is_busy = read >= SMALL / 2;
            self.came.fill(read);
            self.has_more = true;
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.going.is_empty() {
            match self.tcp.try_write(&self.going) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(sent) => self.going.consume(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.going.shrink();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Tls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.plain.is_empty() {
            let count = this.plain.len().min(buf.remaining());
            buf.put_slice(&this.plain[..count]);
            this.plain.consume(count);
            this.plain.shrink();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        loop {
            while this.has_more {
                let done = this.work(Task::Read(buf))?;
                if done == Done::Record && (!this.has_more || buf.remaining() < RECORD) {
                    return Poll::Ready(Ok(()));
                }
            }
            // Answers of rustls' own, such as to a change of keys. Who waits for room to send is not kept
            // from reading.
            if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            if buf.filled().len() > before || this.has_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_fill(cx))?;
        }
    }
}

impl AsyncWrite for Tls {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Small parts go into one record.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send(cx))?;
        let mut parts = bufs.iter().filter(|part| !part.is_empty());
        let Some(first) = parts.next() else {
            return Poll::Ready(Ok(0));
        };
        let mut together = Buffer::default();
        let bytes = if first.len() >= RECORD || parts.next().is_none() {
            &first[..first.len().min(STEP)]
        } else {
            for part in bufs {
                together.join(&part[..part.len().min(RECORD - together.len())]);
            }
            &*together
        };
        while this.work(Task::Write(bytes))? != Done::All {}
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    /// With a `close_notify`, if there is still somebody to take it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.work(Task::Close).is_ok_and(|done| done != Done::All) {}
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What rustls wants, or else the task. Says how much of what came it needs no more.
fn perform<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    task: &mut Task<'_, '_>,
    plain: &mut Buffer,
    going: &mut Buffer,
) -> (usize, io::Result<Done>) {
    let UnbufferedStatus { discard, state } = status;
    let done = match (state, &mut *task) {
        (Ok(ConnectionState::ReadTraffic(traffic)), task) => {
            read(traffic, task, plain).map(|()| Done::Record)
        }
        (Ok(ConnectionState::EncodeTlsData(mut data)), _) => {
            put(going, |room| data.encode(room).map_err(room_to_encode)).map(|()| Done::Step)
        }
        (Ok(ConnectionState::TransmitTlsData(data)), _) => {
            // It will be: nothing overtakes it.
            data.done();
            Ok(Done::Step)
        }
        (Ok(ConnectionState::PeerClosed), _) => Ok(Done::Ended),
        (Ok(ConnectionState::WriteTraffic(mut traffic)), Task::Write(bytes)) => {
            going.make_room(bytes.len() + (bytes.len() / RECORD + 1) * OVERHEAD);
            put(going, |room| {
                traffic.encrypt(bytes, room).map_err(room_to_encrypt)
            })
            .map(|()| Done::All)
        }
        (Ok(ConnectionState::WriteTraffic(mut traffic)), Task::Close) => put(going, |room| {
            traffic.queue_close_notify(room).map_err(room_to_encrypt)
        })
        .map(|()| Done::All),
        (Ok(ConnectionState::ReadEarlyData(_)), _) => Err(io::Error::other("early data")),
        (Ok(_), Task::Read(_)) => Ok(Done::All),
        // Before the handshake, or when both have closed.
        (Ok(_), Task::Write(_) | Task::Close) => Err(ErrorKind::NotConnected.into()),
        (Err(error), _) => Err(invalid(error)),
    };
    (discard, done)
}

/// Has rustls write what is wrong. Says whether there may be more of it.
fn complain<Side>(status: UnbufferedStatus<'_, '_, Side>, going: &mut Buffer) -> bool {
    match status.state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            put(going, |room| data.encode(room).map_err(room_to_encode)).is_ok()
        }
        Ok(_) | Err(_) => false,
    }
}

fn read<Side>(
    mut traffic: ReadTraffic<'_, '_, Side>,
    task: &mut Task<'_, '_>,
    plain: &mut Buffer,
) -> io::Result<()> {
    while let Some(record) = traffic.next_record() {
        give(record.map_err(invalid)?.payload, task, plain);
    }
    Ok(())
}

/// Gives what was decrypted to who reads; what finds no room there is kept.
fn give(mut payload: &[u8], task: &mut Task<'_, '_>, plain: &mut Buffer) {
    if let Task::Read(room) = task {
        let now;
        (now, payload) = payload.split_at(payload.len().min(room.remaining()));
        room.put_slice(now);
    }
    if !payload.is_empty() {
        plain.join(payload);
        plain.shrink();
    }
}

/// Has rustls write behind what is to be sent. It says how much room it lacks, or that it cannot.
fn put(
    going: &mut Buffer,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> io::Result<()> {
    loop {
        match write(going.spare_mut()) {
            Ok(written) => {
                going.fill(written);
                return Ok(());
            }
            Err(Some(room)) => going.make_room(room),
            Err(None) => return Err(io::Error::other("TLS cannot encrypt any more")),
        }
    }
}

fn room_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(lack) => Some(lack.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn room_to_encrypt(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(lack) => Some(lack.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
