//! Limits on how long something may take that nearly always ends long before.
//!
//! A request sets several of them and meets none. For that a timer of the runtime is dear: it reads the
//! clock, and is put into a wheel under a lock and taken out again. Here a limit is a line on a list of
//! the thread's, by a clock that is cheap to read, and the thread looks through the list when the earliest
//! of them may be over. On a thread without such a list ([`watch`]) it is a timer after all.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use slab::Slab;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// How far the clock may be behind, in milliseconds: it moves with the kernel's own tick.
const LAG: u64 = 10;
/// Those that are over within so many milliseconds are looked for together; a power of two.
const TOGETHER: u64 = 16;
/// When nothing is waited for, the thread looks all the same, now and then.
const LONGEST: Duration = Duration::from_secs(3600);

thread_local! {
    static LIST: RefCell<Option<List>> = const { RefCell::new(None) };
}

#[cfg(test)]
thread_local! {
    static AHEAD: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// What took longer than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over;

/// A moment by the cheap clock, to some milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(u64);

/// The limits of one thread.
struct List {
    lines: Slab<Entry>,
    /// Lines that there have been.
    written: u64,
    /// When the thread looks through it next.
    next: u64,
    /// Has it look sooner.
    sooner: Arc<Notify>,
}

struct Entry {
    /// Tells it from others that have had the same place.
    number: u64,
    due: u64,
    waker: Waker,
}

/// Waits for `work`, for so long at most. It is asked once before the limit begins, so that what is done at
/// once costs nothing more.
///
/// # Errors
/// When it took longer: by up to a few hundredths of a second, and never less.
pub(crate) fn within<F: Future + Unpin>(
    limit: Duration,
    mut work: F,
) -> impl Future<Output = Result<F::Output, Over>> + Unpin {
    // No async fn: that keeps what it is called with twice.
    let mut alarm = Alarm::Unset;
    poll_fn(move |cx| match Pin::new(&mut work).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => alarm.poll(limit, cx).map(Err),
    })
}

/// Keeps the list of this thread, for as long as it is polled there. Never ends. It is woken by a timer of
/// that other runtime: as long as this thread's own has one, it looks at the clock whenever it waits.
pub(crate) async fn watch(timers: Handle) {
    let sooner = Arc::new(Notify::new());
    let _kept = Kept::begin(sooner.clone());
    loop {
        let pause = look(Moment::now().0);
        let timer = {
            let _timers = timers.enter();
            sleep(pause.min(LONGEST))
        };
        tokio::select! {
            () = sooner.notified() => {}
            () = timer => {}
        }
    }
}

impl Moment {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let part = u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000;
        let now = seconds.saturating_mul(1000).saturating_add(part);
        #[cfg(test)]
        let now = now + AHEAD.get();
        Self(now)
    }

    /// Makes it so much later for this thread.
    #[cfg(test)]
    pub(crate) fn pass(time: Duration) {
        AHEAD.set(AHEAD.get() + time.as_millis() as u64);
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_millis(Self::now().0.saturating_sub(self.0))
    }
}

impl From<Over> for io::Error {
    fn from(_: Over) -> Self {
        ErrorKind::TimedOut.into()
    }
}

/// Ends with the one that keeps the list.
struct Kept;

impl Kept {
    fn begin(sooner: Arc<Notify>) -> Self {
        LIST.set(Some(List {
            lines: Slab::new(),
            written: 0,
            next: u64::MAX,
            sooner,
        }));
        Self
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Out of the list's borrow: a waker may be the last to hold a task, which has limits itself.
        let _ended = LIST.try_with(RefCell::take);
    }
}

/// One limit.
pub(super) enum Alarm {
    Unset,
    /// By the list of the thread that wrote it there.
    Listed {
        place: usize,
        number: u64,
    },
    Timer(Pin<Box<Sleep>>),
}

impl Alarm {
    /// Ready when the limit is over, which begins now if it has not yet.
    pub(super) fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<Over> {
        if matches!(self, Self::Unset) {
            if let Some((place, number)) = write(limit, cx.waker()) {
                *self = Self::Listed { place, number };
                return Poll::Pending;
            }
            *self = Self::Timer(Box::pin(sleep(limit)));
        }
        let is_over = match self {
            Self::Timer(timer) => timer.as_mut().poll(cx).is_ready(),
            Self::Listed { place, number } => !is_noted(*place, *number, cx.waker()),
            Self::Unset => false,
        };
        if is_over {
            Poll::Ready(Over)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Self::Listed { place, number } = *self else {
            return;
        };
        // The thread may be ending.
        let _line = LIST.try_with(|list| {
            let mut list = list.borrow_mut();
            let lines = &mut list.as_mut()?.lines;
            let is_its_own = lines.get(place)?.number == number;
            is_its_own.then(|| lines.remove(place))
        });
    }
}

/// Notes a limit that begins now, if this thread keeps a list.
fn write(limit: Duration, waker: &Waker) -> Option<(usize, u64)> {
    LIST.with_borrow_mut(|list| {
        let list = list.as_mut()?;
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let due = Moment::now().0.saturating_add(limit);
        let due = due.saturating_add(LAG + TOGETHER) & !(TOGETHER - 1);
        list.written += 1;
        let number = list.written;
        let place = list.lines.insert(Entry {
            number,
            due,
            waker: waker.clone(),
        });
        if due < list.next {
            list.next = due;
            list.sooner.notify_one();
        }
        Some((place, number))
    })
}

/// Whether it is still on the list; then this waker is woken when it is over.
fn is_noted(place: usize, number: u64, waker: &Waker) -> bool {
    let before = LIST.with_borrow_mut(|list| {
        let line = list.as_mut()?.lines.get_mut(place)?;
        let is_other = !line.waker.will_wake(waker);
        let is_it = line.number == number;
        is_it.then(|| is_other.then(|| std::mem::replace(&mut line.waker, waker.clone())))
    });
    // Out of the list's borrow, as in `Kept`.
    before.is_some()
}

/// Takes from the list what is over, and says how long it is until the next one may be.
fn look(now: u64) -> Duration {
    let mut over = Vec::new();
    let next = LIST.with_borrow_mut(|list| {
        let Some(list) = list else {
            return u64::MAX;
        };
        list.next = u64::MAX;
        list.lines.retain(|_, line| {
            let is_over = line.due <= now;
            if is_over {
                over.push(line.waker.clone());
            } else {
                list.next = list.next.min(line.due);
            }
            !is_over
        });
        list.next
    });
    // Out of the list's borrow, as whoever is woken may write to it.
    for waker in over {
        waker.wake();
    }
    Duration::from_millis(next.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(60);

    fn noted() -> usize {
        LIST.with_borrow(|list| list.as_ref().map_or(0, |list| list.lines.len()))
    }

    /// Does `work` on a thread that keeps a list.
    async fn watched<T>(work: impl Future<Output = T>) -> T {
        tokio::select! {
            () = watch(Handle::current()) => unreachable!("it never ends"),
            done = async {
                tokio::task::yield_now().await;
                work.await
            } => done,
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_over_and_not_before() {
        let began = Instant::now();
        assert_eq!(within(SOON, pending::<()>()).await, Err(Over), "by a timer");
        assert!(began.elapsed() >= SOON);
        watched(async {
            let began = Instant::now();
            let both = tokio::join!(within(2 * SOON, pending::<()>()), async {
                // The thread means to look later: it has to look sooner now.
                tokio::task::yield_now().await;
                let over = within(SOON, pending::<()>()).await;
                (over, began.elapsed())
            });
            assert_eq!((both.0, both.1.0), (Err(Over), Err(Over)));
            assert!(both.1.1 >= SOON, "{:?}", both.1.1);
            assert!(began.elapsed() >= 2 * SOON);
            assert_eq!(noted(), 0);
        })
        .await;
    }

    #[tokio::test]
    async fn what_ends_in_time_leaves_nothing_behind() {
        watched(async {
            assert_eq!(within(LATE, ready(1)).await, Ok(1));
            let (tell, told) = tokio::sync::oneshot::channel();
            let (waited, ()) = tokio::join!(within(LATE, told), async {
                assert_eq!(noted(), 1);
                tell.send(2).unwrap();
            });
            assert_eq!(waited, Ok(Ok(2)));
            let cancelled = within(Duration::ZERO, within(LATE, pending::<()>()));
            assert_eq!(cancelled.await, Err(Over));
            assert_eq!(noted(), 0);
        })
        .await;
        assert!(LIST.with_borrow(Option::is_none), "it ends with its watch");
    }

    #[tokio::test]
    async fn another_that_has_the_place_is_let_alone() {
        watched(async {
            let mut alarm = Alarm::Unset;
            poll_fn(|cx| Poll::Ready(alarm.poll(Duration::ZERO, cx).is_ready())).await;
            assert_eq!(noted(), 1);
            // Over, and its place is taken by the next one.
            look(u64::MAX);
            let mut next = Alarm::Unset;
            let asked = poll_fn(|cx| {
                let next = next.poll(LATE, cx).is_ready();
                Poll::Ready((alarm.poll(LATE, cx).is_ready(), next))
            });
            assert_eq!(asked.await, (true, false));
            drop(alarm);
            assert_eq!(noted(), 1);
        })
        .await;
    }
}
