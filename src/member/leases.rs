//! Leases at work in this process: what the rules say to requests, and what requests and peers tell the
//! rules. The rules themselves run in one task, which the composition root drives.

mod hearsay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, watch};

use crate::shard::leases::record::{Epoch, Incarnation};
use crate::shard::leases::{
    Change, Clock, Departure, Fault, Planned, Reading, Snapshot, Wait, Wishes,
};
use crate::shard::ownership::{Ledger, WriteId};
use crate::shard::{MemberId, Repository};
use hearsay::Hearsay;
pub(crate) use hearsay::{Tenure, Wish};

/// What a store takes at most, if nothing is wrong with it.
const STORED: Duration = Duration::from_millis(500);

/// What is shared between the rules' task and everybody else.
#[derive(Debug)]
pub(crate) struct Leases {
    handoff: Duration,
    /// None before the rules have said anything.
    snapshot: ArcSwapOption<Snapshot>,
    clock: BootClock,
    news: Mutex<News>,
    has_news: Notify,
    standing: ArcSwap<Standing>,
    hearsay: Mutex<Hearsay>,
    /// How this process has gone, or that it has nothing to leave.
    gone: watch::Sender<Option<Departure>>,
}

/// What has happened since the rules looked last. Of many of one kind they hear one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Something is new in the store.
    pub(crate) poked: bool,
    /// Writes wait for the acknowledgements of these.
    pub(crate) wanted: BTreeSet<MemberId>,
    /// Whether these answer, and have a lease.
    pub(crate) up: BTreeMap<MemberId, bool>,
    /// Whether these work by other rules.
    pub(crate) differ: BTreeMap<MemberId, bool>,
    /// The file says this now.
    pub(crate) wishes: Option<Wishes>,
    /// This process is to end.
    pub(crate) go: Option<Departure>,
}

/// Where the rules stand, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether this is a member of the view in force.
    pub(crate) is_member: bool,
    /// Of the view in force.
    pub(crate) epoch: u64,
    /// Who has not acknowledged it, where earlier ones are not settled.
    pub(crate) awaited: Vec<MemberId>,
    /// So many earlier views may still be written by.
    pub(crate) unsettled: usize,
    /// Why this process cannot go on.
    pub(crate) fault: Option<Fault>,
    /// What went wrong with the last call to the store, if something did.
    pub(crate) store_trouble: Option<String>,
    /// Our own lease: of which incarnation, and the view that it has acknowledged last.
    pub(crate) tenure: Option<(Incarnation, Epoch)>,
    /// What this process wishes.
    pub(crate) wish: Option<Wish>,
    /// The leases of others that were read, which is not done while all is well.
    pub(crate) readings: Vec<Reading>,
    /// Earlier views that are not settled: their numbers, and how many members they have.
    pub(crate) chain: Vec<(u64, usize)>,
    /// Whose file keeps the view from taking the placement and pins of ours, as far as is known.
    pub(crate) policy_waits_for: Option<MemberId>,
    /// The last views that were put in force here, and when; the newest is the last.
    pub(crate) history: VecDeque<(SystemTime, Change)>,
}

/// Asked before the last byte of a write, which may come long after its first.
#[derive(Debug)]
pub(crate) struct LastLook<'a> {
    leases: &'a Leases,
    ledger: Arc<Ledger>,
    write: WriteId,
    incarnation: Incarnation,
}

/// Time since the start of this process, the machine's sleep included.
#[derive(Debug)]
struct BootClock(Duration);

impl BootClock {
    /// Begins to count.
    fn start() -> Self {
        Self(read(ClockId::Boottime))
    }

    /// The clocks of this machine, for the rules.
    #[inline]
    fn now(&self) -> Clock {
        Clock {
            boot: read(ClockId::Boottime).saturating_sub(self.0),
            raw: read(ClockId::MonotonicRaw),
            wall: read(ClockId::Realtime),
        }
    }
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

impl Leases {
    /// Of a process that has just started, and cuts what takes longer than `handoff` when it goes.
    pub(crate) fn new(handoff: Duration) -> Arc<Self> {
        Arc::new(Self {
            handoff,
            snapshot: ArcSwapOption::empty(),
            clock: BootClock::start(),
            news: Mutex::default(),
            has_news: Notify::new(),
            standing: ArcSwap::default(),
            hearsay: Mutex::default(),
            gone: watch::Sender::new(Some(Departure::Park)),
        })
    }

    /// How long it takes to go: to have what is under way cut, and to have that stored.
    pub(crate) fn departs_within(&self) -> (Duration, Duration) {
        (self.handoff, STORED)
    }

    /// The time, as the rules count it.
    #[inline]
    pub(crate) fn now(&self) -> Clock {
        self.clock.now()
    }

    /// What the rules say at the moment.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Requests read this from now on.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(Some(snapshot));
    }

    /// Whether the lease lasts now.
    pub(crate) fn lasts(&self) -> bool {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.lasts(self.now()))
    }

    /// Whether writes are taken in general. Some may wait for others' acknowledgements.
    pub(crate) fn is_ready(&self) -> bool {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.takes_writes(self.now()))
    }

    /// Admits a write that is counted in.
    ///
    /// # Errors
    /// What it has to wait for.
    pub(crate) fn admit(
        &self,
        repository: &Repository<'_>,
        planned: Option<Planned<'_>>,
    ) -> Result<Incarnation, Wait> {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_ref().ok_or(Wait::Starting)?;
        let incarnation = snapshot.may_write(repository, planned, self.now());
        incarnation.inspect_err(|wait| {
            if let Wait::Acknowledgement(member) = wait {
                self.tell(|news| news.wanted.insert(member.clone()));
            }
        })
    }

    /// Tells the rules what has happened.
    pub(crate) fn tell<T>(&self, change: impl FnOnce(&mut News) -> T) {
        change(&mut self.news());
        self.has_news.notify_one();
    }

    /// There is something new in the store, somebody says.
    pub(crate) fn poke(&self) {
        self.tell(|news| news.poked = true);
    }

    /// What has happened since this was asked last.
    pub(crate) fn take_news(&self) -> News {
        mem::take(&mut self.news())
    }

    /// Waits until there may be news.
    pub(crate) async fn has_news(&self) {
        self.has_news.notified().await;
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rules stand.
    pub(crate) fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    /// They stand there now.
    pub(crate) fn stand(&self, standing: Standing) {
        if **self.standing.load() != standing {
            self.standing.store(Arc::new(standing));
        }
    }

    /// Our own lease, as others are told of it.
    pub(crate) fn tenure(&self) -> Option<Tenure> {
        let standing = self.standing();
        let (incarnation, acked) = standing.tenure?;
        let left = self.snapshot()?.left(self.now());
        Some(Tenure {
            incarnation: incarnation.0,
            acked: acked.0,
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            wish: standing.wish,
        })
    }

    /// A member tells of its lease.
    pub(crate) fn hear(&self, member: &MemberId, tenure: Tenure) {
        self.hearsay().tells(member, tenure, Instant::now());
    }

    /// Somebody asks who is no member.
    pub(crate) fn note_guest(&self, guest: &MemberId) {
        self.hearsay().asked(guest, Instant::now());
    }

    /// What a member has told last, and how long ago.
    pub(crate) fn heard(&self, member: &MemberId) -> Option<(Tenure, Duration)> {
        let (tenure, at) = self.hearsay().told(member)?;
        Some((tenure, at.elapsed()))
    }

    /// Those that ask and are no members: they wish to be, or have just left.
    pub(crate) fn guests(&self) -> Vec<MemberId> {
        self.hearsay().guests(Instant::now())
    }

    /// Others than these are members no more.
    pub(crate) fn keep_hearsay(&self, is_member: impl Fn(&MemberId) -> bool) {
        self.hearsay().keep(is_member);
    }

    fn hearsay(&self) -> MutexGuard<'_, Hearsay> {
        self.hearsay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this process may hold a lease.
    pub(crate) fn begin(&self) {
        self.gone.send_replace(None);
    }

    /// This process has nothing to do with its lease any more.
    pub(crate) fn has_gone(&self, departure: Departure) {
        self.gone.send_replace(Some(departure));
    }

    /// Has this process go, and waits until it has.
    pub(crate) async fn go(&self, departure: Departure) {
        self.tell(|news| news.go = Some(departure));
        let mut gone = self.gone.subscribe();
        // Its sender lives as long as this.
        let _ = gone.wait_for(Option::is_some).await;
    }
}

impl<'a> LastLook<'a> {
    /// Of a write that is counted in at this ledger, and was admitted to this incarnation.
    pub(crate) fn new(
        leases: &'a Leases,
        ledger: Arc<Ledger>,
        write: WriteId,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            leases,
            ledger,
            write,
            incarnation,
        }
    }

    /// Whether the rest may be sent, which makes the write whole. From then on it counts until the replica
    /// has answered.
    pub(crate) fn may_finish(&self) -> bool {
        // Counted first and judged second, as at its admission.
        if !self.ledger.send(self.write) {
            return false;
        }
        let snapshot = self.leases.snapshot.load();
        let snapshot = snapshot.as_ref();
        let may = snapshot
            .is_some_and(|snapshot| snapshot.may_finish(self.incarnation, self.leases.now()));
        if !may {
            self.ledger.withhold(self.write);
        }
        may
    }

    /// Whether the lease lasts.
    pub(crate) fn lasts(&self) -> bool {
        self.leases.lasts()
    }

    /// Ready once it is cut.
    pub(crate) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        self.ledger.poll_cut(self.write, context)
    }
}
