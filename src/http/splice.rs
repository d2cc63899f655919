//! Large bodies from one plain connection to another, without a copy through this process: splice(2).

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Resource, getrlimit};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::progress::Progress;

/// What one pipe holds, and the least that makes one worth while: beyond the kernel's limits for one
/// user it gives smaller ones.
const PIPE_BYTES: usize = 1024 * 1024;
const PIPE_BYTES_LEAST: usize = 256 * 1024;

/// So many pipes wait on each thread for their next use.
const KEPT: usize = 16;
/// All pipes together may have one in so many of the file descriptors that this process may have.
const SHARE_OF_DESCRIPTORS: usize = 8;

/// After so many bytes without a wait it is somebody else's turn on this thread.
const TURN: u64 = if cfg!(test) { 4096 } else { 1024 * 1024 };

/// How many pipes there may be.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    limit / SHARE_OF_DESCRIPTORS / 2
});
/// How many there are.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Whether the system has said that it does not splice.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IDLE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// A pipe to carry bytes through. Given back to its thread when dropped, unless bytes are left in it.
pub(crate) struct Pipe {
    /// Always there until it is dropped.
    ends: Option<Ends>,
    held: usize,
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    _counted: Counted,
}

struct Counted;

/// For how long each side may make no progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) read: Duration,
    pub(crate) write: Duration,
}

/// Where it ended too early, and why: [`ErrorKind::TimedOut`] for a side that made no progress,
/// [`ErrorKind::UnexpectedEof`] for one that ended, [`ErrorKind::Unsupported`] (of reading, before
/// anything was taken) where the system does not splice, and the bytes have to be copied.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) side: Side,
    pub(crate) error: io::Error,
}

/// Which of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that is read from.
    Reading,
    /// The one that is written to.
    Writing,
}

/// Moves exactly `length` bytes. `taken` is told of those that have been read, as they are: cancelled half-way,
/// they will not be read again. `progress` counts those that have been written.
///
/// # Errors
/// See [`Cut`].
pub(crate) async fn splice(
    pipe: &mut Pipe,
    from: &TcpStream,
    to: &TcpStream,
    length: u64,
    idle: Idle,
    mut taken: impl FnMut(u64),
    progress: &Progress,
) -> Result<(), Cut> {
    let mut alarm = pin!(sleep(idle.read.min(idle.write)));
    let (mut left, mut turn) = (length, TURN);
    while left > 0 || pipe.held > 0 {
        // Emptied before it is filled again: then "not now" says something of the socket, not of it.
        let (side, tried) = if pipe.held > 0 {
            let tried = to.try_io(Interest::WRITABLE, || pipe.empty(to));
            (Side::Writing, tried)
        } else {
            let tried = from.try_io(Interest::READABLE, || pipe.fill(from, left));
            (Side::Reading, tried)
        };
        let waited = match (side, tried) {
            (Side::Reading, Ok(0)) => Err(ErrorKind::UnexpectedEof.into()),
            (Side::Writing, Ok(0)) => Err(ErrorKind::WriteZero.into()),
            (Side::Reading, Ok(count)) => {
                left = left.saturating_sub(count as u64);
                taken(count as u64);
                Ok(())
            }
            (Side::Writing, Ok(count)) => {
                progress.note(count as u64);
                turn = turn.saturating_sub(count as u64);
                // Not behind the last byte: its answer would be there before its end is noted.
                if turn == 0 && (left > 0 || pipe.held > 0) {
                    turn = TURN;
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            (_, Err(error)) if error.kind() == ErrorKind::WouldBlock => {
                turn = TURN;
                match side {
                    Side::Reading => wait(from.readable(), alarm.as_mut(), idle.read).await,
                    Side::Writing => {
                        let began = Instant::now();
                        let waited = wait(to.writable(), alarm.as_mut(), idle.write).await;
                        progress.note_pending(began.elapsed());
                        waited
                    }
                }
            }
            (_, Err(error)) if error.kind() == ErrorKind::Interrupted => Ok(()),
            (_, Err(error)) => Err(error),
        };
        waited.map_err(|error| Cut { side, error })?;
    }
    Ok(())
}

/// Waits for a socket for at most so long. The alarm is one for the whole way: it is set anew when it
/// rings too early, not at every wait.
async fn wait(
    ready: impl Future<Output = io::Result<()>>,
    mut alarm: Pin<&mut Sleep>,
    idle: Duration,
) -> io::Result<()> {
    let until = Instant::now() + idle;
    if alarm.is_elapsed() || alarm.deadline() > until {
        alarm.as_mut().reset(until);
    }
    let mut ready = pin!(ready);
    loop {
        tokio::select! {
            biased;
            ready = &mut ready => return ready,
            () = alarm.as_mut() => {
                if Instant::now() >= until {
                    return Err(ErrorKind::TimedOut.into());
                }
                alarm.as_mut().reset(until);
            }
        }
    }
}

impl Pipe {
    /// An empty one; none where the system has none to give, and the bytes have to be copied.
    pub(crate) fn take() -> Option<Self> {
        if IS_REFUSED.load(Ordering::Relaxed) {
            return None;
        }
        let idle = IDLE.try_with(|idle| idle.borrow_mut().pop()).ok().flatten();
        Some(Self {
            ends: Some(match idle {
                Some(ends) => ends,
                None => Ends::open()?,
            }),
            held: 0,
        })
    }

    /// Takes what is there of the next `left` bytes.
    fn fill(&mut self, from: &TcpStream, left: u64) -> io::Result<usize> {
        let Some(ends) = &self.ends else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let most = usize::try_from(left).map_or(PIPE_BYTES, |left| left.min(PIPE_BYTES));
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let count = match rustix::pipe::splice(from, None, &ends.write, None, most, flags) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                IS_REFUSED.store(true, Ordering::Relaxed);
                return Err(ErrorKind::Unsupported.into());
            }
            taken => taken?,
        };
        self.held += count;
        Ok(count)
    }

    /// Gives what it holds. Not told that more follows: a client that pauses must not keep back what
    /// it has sent.
    fn empty(&mut self, to: &TcpStream) -> io::Result<usize> {
        let Some(ends) = &self.ends else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let count = rustix::pipe::splice(&ends.read, None, to, None, self.held, flags)?;
        self.held -= count.min(self.held);
        Ok(count)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else {
            return;
        };
        if self.held > 0 {
            // Whoever came next would send what is in it.
            return;
        }
        // The thread may be ending.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            if idle.len() < KEPT {
                idle.push(ends);
            }
        });
    }
}

impl Ends {
    fn open() -> Option<Self> {
        let counted = Counted::one_more()?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&write, PIPE_BYTES)
            .or_else(|_| fcntl_setpipe_size(&write, PIPE_BYTES_LEAST))
            .ok()?;
        Some(Self {
            read,
            write,
            _counted: counted,
        })
    }
}

impl Counted {
    fn one_more() -> Option<Self> {
        let one_more = |open| (open < *MOST).then_some(open + 1);
        let counted = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        // Made only when it is counted: dropping it counts one less.
        counted.is_ok().then(|| Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENT: Idle = Idle {
        read: Duration::from_secs(60),
        write: Duration::from_secs(60),
    };
    const SHORT: Duration = Duration::from_millis(10);

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(at), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    fn kept() -> usize {
        IDLE.with_borrow(Vec::len)
    }

    #[tokio::test]
    async fn it_moves_exactly_as_many_bytes() {
        let (mut source, mut from) = connection().await;
        let (to, mut sink) = connection().await;
        let body: Vec<u8> = (0..5 * PIPE_BYTES + 7).map(|at| (at % 251) as u8).collect();
        let (moved, mut arrived) = (Progress::default(), vec![0; body.len()]);
        let mut pipe = Pipe::take().unwrap();
        let (sent, spliced, read) = tokio::join!(
            async {
                source.write_all(&body).await?;
                source.write_all(b"next").await
            },
            splice(
                &mut pipe,
                &from,
                &to,
                body.len() as u64,
                PATIENT,
                |_| {},
                &moved
            ),
            sink.read_exact(&mut arrived),
        );
        sent.unwrap();
        spliced.unwrap();
        assert_eq!(read.unwrap(), body.len());
        assert!(arrived == body);
        assert_eq!(moved.moved(), body.len() as u64);
        let mut next = [0; 4];
        from.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
        drop(pipe);
        assert_eq!(kept(), 1);
        assert!(Pipe::take().is_some() && kept() == 1, "used again");
    }

    #[tokio::test]
    async fn the_side_that_fails_is_told() {
        // The source ends.
        let (mut source, from) = connection().await;
        let (to, mut sink) = connection().await;
        source.write_all(b"abc").await.unwrap();
        drop(source);
        let (moved, mut pipe) = (Progress::default(), Pipe::take().unwrap());
        let cut = splice(&mut pipe, &from, &to, 4, PATIENT, |_| {}, &moved).await;
        let cut = cut.unwrap_err();
        assert_eq!(cut.side, Side::Reading);
        assert_eq!(cut.error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(moved.moved(), 3);
        let mut arrived = [0; 3];
        sink.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"abc");
        drop(pipe);
        assert_eq!(kept(), 1, "nothing was left in it");

        // The sink is gone: unread bytes make that a reset.
        let (mut source, from) = connection().await;
        let (mut to, sink) = connection().await;
        to.write_all(b"unread").await.unwrap();
        sink.readable().await.unwrap();
        drop(sink);
        to.readable().await.unwrap();
        source.write_all(b"abc").await.unwrap();
        let (moved, mut pipe) = (Progress::default(), Pipe::take().unwrap());
        let cut = splice(&mut pipe, &from, &to, 3, PATIENT, |_| {}, &moved).await;
        assert_eq!(cut.unwrap_err().side, Side::Writing);
        assert_eq!(moved.moved(), 0);
        drop(pipe);
        assert_eq!(kept(), 0, "bytes were left in it");
    }

    #[tokio::test]
    async fn the_side_that_stops_is_told() {
        let (_source, from) = connection().await;
        let (to, _sink) = connection().await;
        let (moved, mut pipe) = (Progress::default(), Pipe::take().unwrap());
        let idle = Idle {
            read: SHORT,
            ..PATIENT
        };
        let cut = splice(&mut pipe, &from, &to, 1, idle, |_| {}, &moved).await;
        let cut = cut.unwrap_err();
        assert_eq!(cut.side, Side::Reading);
        assert_eq!(cut.error.kind(), ErrorKind::TimedOut);

        let (mut source, from) = connection().await;
        let idle = Idle {
            write: SHORT,
            ..PATIENT
        };
        let endless = async {
            loop {
                source.write_all(&[0; 65536]).await.unwrap();
            }
        };
        let cut = tokio::select! {
            cut = splice(&mut pipe, &from, &to, u64::MAX, idle, |_| {}, &moved) => cut.unwrap_err(),
            () = endless => unreachable!("somebody took all there is"),
        };
        assert_eq!(cut.side, Side::Writing);
        assert_eq!(cut.error.kind(), ErrorKind::TimedOut);
        assert!(moved.moved() > 0);
    }

    #[tokio::test]
    async fn what_was_taken_is_told_though_nobody_waits_for_the_rest() {
        let (mut source, from) = connection().await;
        let (to, mut sink) = connection().await;
        source.write_all(b"abcd").await.unwrap();
        let (moved, mut pipe) = (Progress::default(), Pipe::take().unwrap());
        let mut taken = 0;
        let mut arrived = [0; 4];
        tokio::select! {
            _ = splice(&mut pipe, &from, &to, 5, PATIENT, |bytes| taken += bytes, &moved) => {
                unreachable!("one is missing")
            }
            read = sink.read_exact(&mut arrived) => read.unwrap(),
        };
        assert_eq!(taken, 4);
    }

    #[tokio::test]
    async fn nobody_else_has_a_turn_behind_the_last_byte() {
        let (mut source, from) = connection().await;
        let (to, _sink) = connection().await;
        source.write_all(&[0; TURN as usize]).await.unwrap();
        while from.peek(&mut [0; TURN as usize]).await.unwrap() < TURN as usize {}
        let (moved, mut pipe) = (Progress::default(), Pipe::take().unwrap());
        let mut splicing = pin!(splice(&mut pipe, &from, &to, TURN, PATIENT, |_| {}, &moved));
        let polled = std::future::poll_fn(|cx| Poll::Ready(splicing.as_mut().poll(cx)));
        assert!(polled.await.is_ready());
    }

    #[tokio::test]
    async fn a_pipe_that_is_left_half_way_is_not_used_again() {
        let (mut source, from) = connection().await;
        let mut pipe = Pipe::take().unwrap();
        source.write_all(b"abc").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 2).unwrap(), 2);
        let open = OPEN.load(Ordering::Relaxed);
        assert!(open > 0);
        drop(pipe);
        assert_eq!(kept(), 0);
    }
}
