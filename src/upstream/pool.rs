//! Connections of one route that wait for their next request.
//!
//! Each worker has its own and takes the one that was used last. Taking one needs no system call, no
//! memory and no lock that another worker holds; what waits needs no task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::http::limit::Moment;
use crate::http::tls::Tls;
use crate::http::trunk::{Stream, Trunk};
use crate::http::wire::Wire;
use crate::http::worker;

/// The most that wait for each worker; more are closed when they come back.
const KEPT: usize = 128;
/// For so long a trunk gets new streams: then the other end looks at our certificate again, and may have
/// another thread serve us.
const TRUNK_LIFE: Duration = Duration::from_secs(600);
/// TLS handshakes of one route at a time. Of many requests that find no connection, most are served
/// sooner by one that comes back than by one of their own.
const HANDSHAKES: usize = 4;

/// See the module.
pub(super) struct Pool {
    shards: Box<[Shard]>,
    /// For so long a connection may wait.
    idle: Duration,
    turns: Semaphore,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

/// The trunk of one worker, if it has one.
#[derive(Default)]
pub(super) struct TrunkPlace {
    trunk: Mutex<Option<(Trunk, Moment)>>,
    turn: tokio::sync::Mutex<()>,
}

/// What one worker has.
#[derive(Default)]
struct Shard {
    trunk: TrunkPlace,
    /// In the order in which they came back.
    kept: Mutex<Vec<Kept>>,
    /// Requests that wait for one to come back, or for their turn to make one.
    waiting: AtomicUsize,
    returned: Notify,
}

struct Kept {
    wire: Wire,
    since: Moment,
}

/// What a request without a connection gets.
pub(super) enum Turn<'a> {
    /// A connection that has come back.
    Reused(Wire),
    /// Leave to make one.
    Dial(Option<SemaphorePermit<'a>>),
}

impl Pool {
    pub(super) fn new(idle: Duration) -> Self {
        let workers = available_parallelism().map_or(1, usize::from);
        Self {
            shards: (0..workers).map(|_| Shard::default()).collect(),
            idle,
            turns: Semaphore::new(HANDSHAKES),
        }
    }

    /// The connection that came back last, if it is still one.
    pub(super) fn take(&self) -> Option<Wire> {
        self.take_of(self.shard())
    }

    /// Keeps a connection on which the next request may begin.
    pub(super) fn put(&self, wire: Wire) {
        let shard = self.shard();
        let mut kept = shard.kept();
        if kept.len() >= KEPT {
            return;
        }
        kept.push(Kept {
            wire,
            since: Moment::now(),
        });
        drop(kept);
        // Counted before it looked for a connection: either it has seen this one or we see it.
        if shard.waiting.load(Ordering::Relaxed) > 0 {
            shard.returned.notify_one();
        }
    }

    /// This worker's trunk.
    pub(super) fn trunk(&self) -> &TrunkPlace {
        &self.shard().trunk
    }

    /// Waits until a connection comes back or another handshake may begin.
    pub(super) async fn turn(&self) -> Turn<'_> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Turn::Dial(Some(turn));
        }
        let shard = self.shard();
        let _waiting = Waiting::at(shard);
        let mut turn = std::pin::pin!(self.turns.acquire());
        loop {
            let mut returned = std::pin::pin!(shard.returned.notified());
            returned.as_mut().enable();
            if let Some(wire) = self.take_of(shard) {
                return Turn::Reused(wire);
            }
            tokio::select! {
                biased;
                () = returned => {}
                // Never closed.
                turn = turn.as_mut() => return Turn::Dial(turn.ok()),
            }
        }
    }

    /// Waits until another handshake may begin.
    pub(super) async fn turn_to_dial(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.turns.acquire().await.ok()
    }

    /// Closes what has waited for too long, or was closed by the other end.
    pub(super) fn sweep(&self) {
        for shard in &self.shards {
            let mut kept = shard.kept();
            let ended = |one: &mut Kept| one.since.elapsed() >= self.idle || !one.wire.is_fresh();
            let ended: Vec<Kept> = kept.extract_if(.., ended).collect();
            // Closing them takes its time.
            drop(kept);
            drop(ended);
        }
    }

    fn take_of(&self, shard: &Shard) -> Option<Wire> {
        loop {
            let mut kept = shard.kept();
            let mut one = kept.pop()?;
            if one.since.elapsed() >= self.idle {
                // Those beneath have waited even longer.
                let ended = std::mem::take(&mut *kept);
                drop(kept);
                drop(ended);
                return None;
            }
            drop(kept);
            if one.wire.is_fresh() {
                return Some(one.wire);
            }
        }
    }

    fn shard(&self) -> &Shard {
        &self.shards[worker::index() % self.shards.len()]
    }
}

impl TrunkPlace {
    /// A new stream, if there is a trunk that can have one.
    pub(super) fn open(&self) -> Option<Stream> {
        let trunk = self.trunk();
        let (trunk, since) = trunk.as_ref()?;
        (since.elapsed() < TRUNK_LIFE).then(|| trunk.open())?
    }

    /// Waits until nobody else makes a trunk.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Begins a trunk in place of the one there is, and gives its first stream.
    pub(super) fn begin(&self, tls: Box<Tls>) -> Option<Stream> {
        let trunk = Trunk::begin(tls);
        let stream = trunk.open();
        let before = self.trunk().replace((trunk, Moment::now()));
        drop(before);
        stream
    }

    fn trunk(&self) -> MutexGuard<'_, Option<(Trunk, Moment)>> {
        self.trunk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits, counted for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn at(shard: &'a Shard) -> Self {
        shard.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&shard.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
