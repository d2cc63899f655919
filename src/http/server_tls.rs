//! TLS with those who call us. rustls keeps the keys; what is read and what is to be sent is in buffers
//! of the thread's, so that a connection that waits holds none. (With buffers of its own rustls keeps
//! 4 KiB for each connection.)

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffer::{Buffer, LARGE, SMALL};

/// The most that one record carries (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// The most that is encrypted before it is sent.
const STEP: usize = 4 * RECORD;
/// What a record has beside what it carries, at most, in what we speak.
const OVERHEAD: usize = 64;

/// A TLS connection of which we are the server.
pub(crate) struct ServerTls {
    tcp: TcpStream,
    tls: UnbufferedServerConnection,
    /// Records as they came, of which the last may be half there.
    came: Buffer,
    /// Decrypted, and not asked for yet.
    plain: Buffer,
    /// Records that are to be sent.
    going: Buffer,
    /// Whether the last read had more than a small buffer to bring.
    is_busy: bool,
    /// Whether what came may have whole records that nobody has asked for yet.
    has_more: bool,
    /// Whether the client has said that nothing more comes.
    has_ended: bool,
    /// Whether it has done what ends a connection.
    has_failed: bool,
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
    /// All that can be done; a reader has to wait for more.
    All,
}

impl ServerTls {
    /// Shakes hands.
    ///
    /// # Errors
    /// Those of the connection, and what the client does wrong (`InvalidData`), of which it has been told.
    pub(crate) async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Box<Self>> {
        let mut connection = Box::new(Self {
            tcp,
            tls: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
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
        &self.tls
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut nowhere = ReadBuf::new(&mut []);
            while self.work(Task::Read(&mut nowhere))? == Done::Step {}
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
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
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(came);
        let (plain, going) = (&mut self.plain, &mut self.going);
        let done = match (state, &mut task) {
            (Ok(ConnectionState::ReadTraffic(mut traffic)), task) => {
                while let Some(record) = traffic.next_record() {
                    give(record.map_err(invalid)?.payload, task, plain);
                }
                self.has_more = true;
                Ok(Done::Record)
            }
            (Ok(ConnectionState::EncodeTlsData(mut data)), _) => {
                put(going, |room| data.encode(room).map_err(room_to_encode)).map(|()| Done::Step)
            }
            (Ok(ConnectionState::TransmitTlsData(data)), _) => {
                // It will be: nothing overtakes it.
                data.done();
                Ok(Done::Step)
            }
            (Ok(ConnectionState::PeerClosed), _) => {
                self.has_ended = true;
                Ok(Done::Step)
            }
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
            (Ok(_), Task::Read(_)) => {
                self.has_more = false;
                Ok(Done::All)
            }
            // Before the handshake, or when both have closed.
            (Ok(_), Task::Write(_) | Task::Close) => Err(ErrorKind::NotConnected.into()),
            (Err(error), _) => Err(invalid(error)),
        };
        self.came.consume(discard);
        done.inspect_err(|_| self.complain())
    }

    /// Tells the client what is wrong with it, as far as that is possible at once. rustls must not be given
    /// the same bytes again.
    fn complain(&mut self) {
        self.has_failed = true;
        while self.tls.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.tls.process_tls_records(&mut self.came).state
            && put(&mut self.going, |room| {
                data.encode(room).map_err(room_to_encode)
            })
            .is_ok()
        {}
        let _ = self.tcp.try_write(&self.going);
        self.going.clear();
    }

    /// Reads what there is. Holds no more than the part of a record while there is nothing.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only a handshake in the smallest of pieces has so much without end.
        if self.came.len() > LARGE - SMALL {
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        let polled = self.tcp.poll_read_ready(cx)?.map(|()| {
            let room = if self.is_busy {
                LARGE - self.came.len()
            } else {
                SMALL / 2
            };
            self.came.make_room(room);
        });
        let mut room = ReadBuf::new(self.came.spare_mut());
        if polled.is_pending()
            || Pin::new(&mut self.tcp)
                .poll_read(cx, &mut room)?
                .is_pending()
        {
            self.came.shrink();
            return Poll::Pending;
        }
        let read = room.filled().len();
        if read == 0 {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        self.is_busy = read >= SMALL / 2;
        self.came.fill(read);
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.going.is_empty() {
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.going))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.going.consume(sent);
        }
        self.going.shrink();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ServerTls {
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
            match this.work(Task::Read(buf))? {
                Done::Step => {}
                Done::Record if buf.remaining() >= RECORD => {}
                Done::Record => return Poll::Ready(Ok(())),
                Done::All => {
                    // Answers of rustls' own, such as to a change of keys. Who waits for room to send is not
                    // kept from reading.
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
    }
}

impl AsyncWrite for ServerTls {
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
