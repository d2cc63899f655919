//! Log output that never makes a request wait.
//!
//! Lines go into a bounded buffer; a thread of its own writes them. When the output is too slow
//! (a full pipe, a stopped terminal) lines are dropped and the sender is told, because losing a
//! log line is better than stopping a push.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait for a slow output: some thousand lines.
pub(crate) const BUFFER_LIMIT: usize = 1 << 20;
/// How long lines gather before one write takes them all.
const GATHER: Duration = Duration::from_millis(20);
/// How long an exit waits for a slow output.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Owns the writing thread. Dropping it writes what is left, for at most two seconds.
#[must_use = "dropping this ends the output"]
pub struct LineWriter {
    shared: Arc<Shared>,
}

/// Hands lines to a [`LineWriter`]; cheap to clone.
#[derive(Clone)]
pub struct LineSender {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something is to be written, or the end has come.
    work: Condvar,
    /// A batch is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    writing: bool,
    closed: bool,
}

impl LineWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            written: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || theirs.run(out))?;
        Ok(Self { shared })
    }

    /// A handle for those who write.
    pub fn sender(&self) -> LineSender {
        LineSender {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until everything that was sent is written; false if the output is too slow for that.
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while state.writing || !state.waiting.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.shared.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        // The thread may hang in a write forever; the process must end all the same.
        self.flush(FLUSH_LIMIT);
    }
}

impl LineSender {
    /// Takes one line with its line end; false if it was dropped.
    pub fn send(&self, line: &[u8]) -> bool {
        let mut state = self.shared.lock();
        if state.closed || state.waiting.len() + line.len() > BUFFER_LIMIT {
            return false;
        }
        let was_empty = state.waiting.is_empty();
        let before = state.waiting.len();
        state.waiting.extend_from_slice(line);
        let half_full = before <= BUFFER_LIMIT / 2 && state.waiting.len() > BUFFER_LIMIT / 2;
        drop(state);
        // A wake-up is a system call: one a batch, not one a line.
        if was_empty || half_full {
            self.shared.work.notify_one();
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            // There is nowhere to report that the log is gone.
            let _ = out.write_all(&batch).and_then(|()| out.flush());
            batch.clear();
            self.lock().writing = false;
            self.written.notify_all();
        }
    }

    /// Waits for lines and lets some more gather; false when there will be none any more.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let few = |state: &mut State| state.waiting.len() <= BUFFER_LIMIT / 2 && !state.closed;
        let state = self.lock();
        let state = self
            .work
            .wait_while(state, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let gathered = self.work.wait_timeout_while(state, GATHER, few);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut state.waiting, batch);
        state.writing = !batch.is_empty();
        state.writing
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::mpsc;

    /// An output that keeps what it gets.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// An output that takes nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_lines_are_written_in_order_before_the_end() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let sender = writer.sender();
        let lines: Vec<_> = (0..5000).map(|n| format!("line {n}\n")).collect();
        assert!(lines.iter().all(|line| sender.send(line.as_bytes())));
        drop(writer);
        assert_eq!(kept.text(), lines.concat());
    }

    #[test]
    fn flush_waits_for_what_was_sent() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        assert!(writer.sender().send(b"now\n"));
        assert!(writer.flush(Duration::from_secs(10)));
        assert_eq!(kept.text(), "now\n");
    }

    #[test]
    fn a_stuck_output_costs_lines_and_not_time() {
        let (release, stuck) = mpsc::channel();
        let writer = LineWriter::start(Stuck(stuck)).unwrap();
        let sender = writer.sender();
        let line = [b'x'; 1024];
        let taken = (0..10_000).filter(|_| sender.send(&line)).count();
        // One batch in the hands of the thread, one in the buffer.
        assert!((1024..=2048).contains(&taken), "{taken} lines were taken");
        assert!(!writer.flush(Duration::ZERO));
        drop(release);
        assert!(writer.flush(Duration::from_secs(10)));
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let writer = LineWriter::start(Kept::default()).unwrap();
        let sender = writer.sender();
        drop(writer);
        assert!(!sender.send(b"late\n"));
    }
}
