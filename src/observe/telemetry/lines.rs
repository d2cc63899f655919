//! Log output that never makes a request wait.
//!
//! Lines go into bounded buffers; a thread of its own writes them. When the output is too slow
//! (a full pipe, a stopped terminal) lines are dropped and the sender is told, because losing a
//! log line is better than stopping a push.
//!
//! Lines that come in thousands a second are made in the buffer of their thread, which is handed over when it is
//! large enough, and otherwise fetched after a short time.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::observe::lanes::{Lane, Lanes};

/// Bytes that may wait for a slow output: some thousand lines.
pub(crate) const BUFFER_LIMIT: usize = 1 << 20;
/// Bytes of a thread's own buffer that are handed over at once: some thirty lines.
const HAND_OVER: usize = 16 << 10;
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
    /// What each thread has not handed over yet. Locked before `state`, where both are.
    threads: Lanes<Mutex<Vec<u8>>>,
    /// Something is to be written, or the end has come.
    work: Condvar,
    /// A batch is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// A thread's own buffer has lines.
    called: bool,
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
            threads: Lanes::default(),
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
        while state.writing || state.called || !state.waiting.is_empty() {
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
    /// Takes one line with its line end, after all that were sent before; false if it was dropped.
    pub fn send(&self, line: &[u8]) -> bool {
        let mut state = self.shared.lock();
        if state.closed {
            return false;
        }
        let Some(wake) = state.take(line) else {
            return false;
        };
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
        true
    }

    /// Takes one line that is made in place, with its line end, after those of the same thread; false if it was
    /// dropped. No thread waits for another's line.
    pub(crate) fn make(&self, line: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mine = self.shared.threads.mine();
        let mut lines = held(mine.lane);
        let before = lines.len();
        line(&mut lines);
        let taken = if lines.len() >= HAND_OVER {
            self.shared.hand_over(&mut lines)
        } else {
            before > 0 || self.shared.call()
        };
        if !taken {
            lines.truncate(before);
        }
        taken
    }
}

impl State {
    /// Adds lines if there is room; whether the thread has to be woken for it. A wake-up is a system call: one a
    /// batch, not one a line.
    fn take(&mut self, lines: &[u8]) -> Option<bool> {
        let before = self.waiting.len();
        if before + lines.len() > BUFFER_LIMIT {
            return None;
        }
        self.waiting.extend_from_slice(lines);
        let half_full = before <= BUFFER_LIMIT / 2 && self.waiting.len() > BUFFER_LIMIT / 2;
        Some(before == 0 || half_full)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's own buffer has its first line, which must not stay there; false if nobody will fetch it.
    fn call(&self) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        if !std::mem::replace(&mut state.called, true) {
            drop(state);
            self.work.notify_one();
        }
        true
    }

    /// A thread's own buffer is large enough; false if there is no room for it.
    fn hand_over(&self, lines: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        let taken = if state.closed {
            None
        } else {
            state.take(lines)
        };
        drop(state);
        if taken == Some(true) {
            self.work.notify_one();
        }
        if taken.is_some() {
            lines.clear();
        }
        taken.is_some()
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
        self.written.notify_all();
    }

    /// Waits for lines and lets some more gather; false when there will be none any more.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.called && !state.closed;
        let few = |state: &mut State| state.waiting.len() <= BUFFER_LIMIT / 2 && !state.closed;
        let state = self.lock();
        let state = self
            .work
            .wait_while(state, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let gathered = self.work.wait_timeout_while(state, GATHER, few);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        // Who calls from now on is heard the next time.
        state.called = false;
        state.writing = true;
        let closed = state.closed;
        drop(state);
        for thread in self.threads.each() {
            let mut lines = held(thread);
            // Beyond the limit by no more than all these buffers, and only until the next line below.
            self.lock().waiting.append(&mut lines);
        }
        let mut state = self.lock();
        std::mem::swap(&mut state.waiting, batch);
        // After the end no buffer takes its first line, so that one empty round is the last.
        let more = !closed || !batch.is_empty();
        state.writing = more;
        more
    }
}

fn held(thread: &Lane<Mutex<Vec<u8>>>) -> MutexGuard<'_, Vec<u8>> {
    thread.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn lines_that_threads_make_are_written_whole_and_in_the_order_of_each() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let make = |thread: usize| {
            let sender = writer.sender();
            for n in 0..2_000 {
                let line = format!("{thread} {n} {}\n", "x".repeat(n % 50));
                // The writer is as fast as memory, and yet may come late.
                while !sender.make(|lines| lines.extend_from_slice(line.as_bytes())) {
                    thread::yield_now();
                }
            }
        };
        thread::scope(|scope| {
            (0..8).for_each(|thread| drop(scope.spawn(move || make(thread))));
        });
        drop(writer);
        let text = kept.text();
        for thread in 0..8 {
            let of = |line: &&str| line.starts_with(&format!("{thread} "));
            let lines: Vec<_> = text.lines().filter(of).collect();
            let wanted = (0..2_000).map(|n| format!("{thread} {n} {}", "x".repeat(n % 50)));
            assert!(lines.into_iter().eq(wanted), "lines of thread {thread}");
        }
        assert_eq!(text.lines().count(), 8 * 2_000);
    }

    #[test]
    fn a_line_is_written_though_none_follows() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let sender = writer.sender();
        for n in 1..=3 {
            assert!(sender.make(|lines| lines.extend_from_slice(b"alone\n")));
            let begun = Instant::now();
            while kept.text() != "alone\n".repeat(n) {
                assert!(begun.elapsed() < Duration::from_secs(10), "line {n} waits");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn flush_waits_for_what_was_sent() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        assert!(writer.sender().send(b"now\n"));
        assert!(writer.flush(Duration::from_secs(10)));
        assert_eq!(kept.text(), "now\n");
        let made = writer
            .sender()
            .make(|lines| lines.extend_from_slice(b"made\n"));
        assert!(made && writer.flush(Duration::from_secs(10)));
        assert_eq!(kept.text(), "now\nmade\n");
    }

    #[test]
    fn a_stuck_output_costs_lines_and_not_time() {
        let line = [b'x'; 1024];
        let send = |sender: &LineSender| sender.send(&line);
        let make = |sender: &LineSender| sender.make(|lines| lines.extend_from_slice(&line));
        for hand in [&send as &dyn Fn(&LineSender) -> bool, &make] {
            let (release, stuck) = mpsc::channel();
            let writer = LineWriter::start(Stuck(stuck)).unwrap();
            let sender = writer.sender();
            let taken = (0..10_000).filter(|_| hand(&sender)).count();
            // One batch in the hands of the thread, one in the buffer, and what a thread keeps for itself.
            let most = 2 * (1024 + HAND_OVER / 1024);
            assert!((1024..=most).contains(&taken), "{taken} lines were taken");
            assert!(!writer.flush(Duration::ZERO));
            drop(release);
            assert!(writer.flush(Duration::from_secs(10)));
        }
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let writer = LineWriter::start(Kept::default()).unwrap();
        let sender = writer.sender();
        drop(writer);
        assert!(!sender.send(b"late\n"));
        assert!(!sender.make(|lines| lines.extend_from_slice(b"late\n")));
    }
}
