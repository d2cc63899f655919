//! Who may write now, where members hold leases on a store that they share.
//!
//! The rules beside this, [`super::ownership`], know the members from a file, and never take from a
//! member that is gone what it owned. These do: a member renews a lease; one that is not renewed is
//! fenced by the others, and what its member owned goes on elsewhere. The store is asked for one
//! thing alone: a put under a condition, "if nobody else has written since I read".
//!
//! - R1 A lease lasts from the moment *before* its renewal was sent. A renewal whose answer is lost
//!   gains nothing until a read finds it done, and then no more than it would have.
//! - R2 A write is admitted while the lease lasts, but for a margin; the view gives the repository to
//!   this member; and R3. That is asked again before the last byte of its body is sent on.
//! - R3 Every member that owned the repository by a view that is not settled has acknowledged the one
//!   in force, is this member itself, or is a member no more.
//! - R4 A member acknowledges a view when it has taken it and nothing is under way, at its replica
//!   too, that it gives to others.
//! - R5 Nobody watches leases, until a member is down, or its acknowledgement is waited for.
//! - R6 A lease is fenced when it was seen three times or more without a renewal, for as long as it
//!   lasts and its replica may go on, by the watcher's clock since the answer to its first look.
//!   Time between two looks counts if no call of the watcher's failed in it, and its own lease must
//!   last. The put is conditional on what was seen.
//! - R7 Only an incarnation whose lease was read as fenced or released is taken off the view. It
//!   never returns. Not more than half of the members are taken off, for having been fenced, in the
//!   time that a lease lasts.
//! - R8 Members are added to, and changed in, a settled view alone: this member, and those whose
//!   leases it has seen renewed. Where many join, they look at each other in
//!   turn. Placement and pins too, once the leases of all members say that their files have the same
//!   ones.
//! - R9 A view is settled when all its members have acknowledged it, or are over.
//! - R10 A process takes up the lease of the one before it where that has parked it, or is proven
//!   dead and the replica is the same. Else it waits and fences it, as others would; and so it does
//!   where the one before it had done the same, had not waited for what that had left, and keeps a
//!   view from being settled. A member without a lease begins with an incarnation that nobody has
//!   heard of: a higher one than the number of the view.
//! - R11 When the clocks of a machine go apart by more than the margin, the lease is worth nothing
//!   until the next renewal. Who fences counts by the slower of the clock that counts and the raw
//!   one, which nobody corrects.
//! - R12 A member that works by a file, or with another key, keeps everything from being written.
//! - R13 Without the store nothing is written once the lease is over, and nobody is fenced. A
//!   replica is killed for what it was sent alone, and once that has had its time.
//!
//! Why that is enough: let A and B write one repository at the same time, with different replicas.
//! Both hold leases that last (R2), so neither is fenced (R6: who fences waits for longer than a
//! lease lasts, from a moment when it was seen alive). Each is a member of the view that it writes
//! by (R2), and let A's be the later one. B is not fenced, so it was not taken off (R7), and is a
//! member of A's view too, or had released. B owned the repository by an earlier view. Either that
//! is in the chain of A's, and B has acknowledged A's view itself before A wrote, and so had taken
//! it (R3); or it was settled over, and B has acknowledged a later one than that by which it writes
//! (R9). Either way B does not write by the earlier view any more (R4).
//!
//! A process that takes up the lease of another works by the view that this one acknowledged, or by
//! none (R10). What is admitted until the request path has heard that this member goes is under way:
//! nothing is released before.
//!
//! It rests on this: the store keeps its conditions; a replica finishes what it was sent within the
//! `grace` of its member's lease after that is over, and after its member has cut it or died; the raw
//! clocks run as fast as each other but for `drift`; a process is not stopped between the last look and the
//! last byte for longer than that.
//!
//! Nothing here knows a clock, a socket or a task. [`Coordinator::step`] takes an event and the time,
//! and returns effects.

mod ending;
mod event;
mod layout;
mod omit;
mod others;
mod own;
pub mod record;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod told;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use event::{Answer, Call, CallId, Condition, Effect, Event, Fault, Note, Tag, Wishes};
pub use layout::{Incomprehensible, Layout, Planned};
pub use snapshot::{Snapshot, Wait};
pub use told::{Change, Reading};

use ending::{Handover, Kill, Missed};
use omit::{Rule, omits};
use others::Others;
use own::Own;
use record::{Epoch, Incarnation, Lease, Nonce, Policy, PolicyId, Seat};
use view::{InForce, Removals};

use super::members::{MemberAddress, MemberId, Weight};
use super::view::View;

/// Time since this process began, by a clock that goes on while the machine sleeps.
pub type Moment = Duration;

/// What a process is given at its start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its member.
    pub id: MemberId,
    /// Random.
    pub process: u64,
    /// Where its peer listener is reached.
    pub address: MemberAddress,
    /// Its share.
    pub weight: Weight,
    /// The replica that it writes with.
    pub replica: String,
    /// What its file says of placement and pins. As [`Self::weight`], until it says something else
    /// ([`Event::Wishes`]).
    pub policy: Policy,
    /// Has the hash key.
    pub like: Arc<View>,
    /// The process before it on this machine, where that is known to be dead.
    pub dead_predecessor: Option<u64>,
    /// The operator's numbers.
    pub timing: Timing,
    /// Whether a command kills the replica.
    pub kills_replica: bool,
    /// Whether something outside this process kills the replica within half of [`Timing::killed`] when
    /// this process has ended or stands still, however late in its lease, or after it. This process
    /// cannot do that itself, so without it others wait for as long as a replica may go on that nobody
    /// kills.
    pub replica_ends_with_us: bool,
}

/// The operator's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often it is renewed, and the view is read.
    pub renew: Duration,
    /// Before its end nothing is admitted any more for so long.
    pub margin: Duration,
    /// How long the replica may go on with a write after the lease is over, if nobody kills it. What it
    /// was sent and nobody waits for is under way for as long, or until it was killed.
    pub grace: Duration,
    /// The same, if somebody does. Half of it may pass before that begins.
    pub killed: Duration,
    /// How long writes may go on that a view takes from this member.
    pub handoff: Duration,
    /// How often a record is read that is waited for.
    pub poll: Duration,
    /// How far clocks may differ in speed, in thousandths.
    pub drift: u32,
}

/// The clocks of a machine, read in one moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Clock {
    /// The one that counts.
    pub boot: Moment,
    /// The time of day.
    pub wall: Duration,
    /// One whose speed nobody corrects. It may stand still while the machine sleeps.
    pub raw: Duration,
}

/// How far the other clocks are ahead of the one that counts, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Ahead {
    wall: i64,
    raw: i64,
}

/// Which writes are under way, at the replica too.
pub trait UnderWay {
    /// Whether there are any.
    fn any(&self, now: Moment) -> bool;
    /// Whether there are any to repositories that this layout gives to others.
    fn lost_by(&self, layout: &Layout, now: Moment) -> bool;
}

/// The state of the rules in one process.
#[derive(Clone, Debug)]
pub struct Coordinator {
    setup: Arc<Setup>,
    /// Stands for our file's policy.
    policy: PolicyId,
    phase: Phase,
    own: Own,
    view: Option<InForce>,
    /// When a read has found no view.
    no_view_at: Option<Moment>,
    /// When the view is to be read next.
    view_from: Moment,
    /// Since when it is not there, or cannot be read.
    view_missed: Missed,
    /// No view is put before this.
    put_view_from: Moment,
    removals: Removals,
    others: Others,
    /// The call about what is not our own lease, and when it was sent.
    call: Option<(CallId, SharedCall, Moment)>,
    /// No such call before this.
    calls_from: Moment,
    /// Members that work by other rules, or with another key.
    differing: BTreeSet<MemberId>,
    nonces: u64,
    calls: u64,
    /// When the renewal was sent that counts, and now.
    ahead: Option<Ahead>,
    ahead_now: Ahead,
    /// What views take from this member.
    handovers: Vec<Handover>,
    /// When the replica is to be killed for what it still has.
    kill: Option<Kill>,
    published: Option<Arc<Snapshot>>,
}

/// Where a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// It has no lease yet, or none any more.
    Starting,
    /// It has one. Whether it is a member is for the view to say.
    Serving,
    /// It goes, for good or to come back, since then.
    Going(Departure, Moment),
    /// It has gone.
    Gone(Departure),
    /// It cannot go on.
    Frozen(Fault),
}

/// How a process goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Departure {
    /// Its member leaves the fleet.
    Leave,
    /// The next process takes up its lease.
    Park,
}

/// A call about what is not our own lease.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum SharedCall {
    ReadView,
    PutView(record::ViewRecord),
    List,
    ReadLease(MemberId),
    Fence(record::Lease),
}

impl Coordinator {
    /// A process that has just started.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            policy: setup.policy.id(),
            setup: Arc::new(setup),
            phase: Phase::Starting,
            own: Own::default(),
            view: None,
            no_view_at: None,
            view_from: Moment::ZERO,
            view_missed: Missed::default(),
            put_view_from: Moment::ZERO,
            removals: Removals::default(),
            others: Others::default(),
            call: None,
            calls_from: Moment::ZERO,
            differing: BTreeSet::new(),
            nonces: 0,
            calls: 0,
            ahead: None,
            ahead_now: Ahead::default(),
            handovers: Vec::new(),
            kill: None,
            published: None,
        }
    }

    /// Takes an event.
    pub fn step(&mut self, event: Event, clock: Clock, writes: &impl UnderWay) -> Vec<Effect> {
        let now = clock.boot;
        let mut effects = Vec::new();
        self.mind_clocks(clock, &mut effects);
        self.mind_own_end(now, writes, &mut effects);
        match event {
            Event::Tick => {}
            Event::Answered { call, answer } => self.take_answer(call, answer, now, &mut effects),
            Event::Adopted(epoch) => self.adopted(epoch, now),
            Event::Down(member) => self.others.down(member, now),
            Event::Up(member) => self.others.up(&member),
            Event::Wanted(member) => self.others.want(member),
            Event::Poked => self.calls_view_now(now),
            Event::Differs(member) => {
                if self.differing.insert(member.clone()) {
                    effects.push(Effect::Note(Note::Differs(member)));
                }
            }
            Event::Agrees(member) => {
                self.differing.remove(&member);
            }
            Event::Wishes(wishes) => self.wish(wishes),
            Event::Go(departure) => self.go(departure, now),
        }
        self.mind_own_end(now, writes, &mut effects);
        self.mind_handover(now, writes, &mut effects);
        self.mind_kill(now, writes, &mut effects);
        self.mind_departure(now, writes, &mut effects);
        self.call_own(now, writes, &mut effects);
        self.call_shared(now, &mut effects);
        self.publish(&mut effects);
        effects
    }

    /// Where this process stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it is a member of the view that is in force here.
    #[must_use]
    pub fn is_member(&self) -> bool {
        let view = self.view.as_ref().filter(|view| view.adopted_at.is_some());
        view.is_some_and(|view| self.is_listed(view))
    }

    /// Our lease says it with its next renewal, which is at once, and a view takes it in.
    fn wish(&mut self, wishes: Wishes) {
        let Wishes { policy, weight } = wishes;
        let setup = Arc::make_mut(&mut self.setup);
        // Whoever has another key cannot compute the owners of any view that is there.
        if policy.key == setup.policy.key {
            self.policy = policy.id();
            setup.policy = policy;
        }
        setup.weight = weight;
    }

    /// The clocks go forward alike for as long as a lease lasts.
    fn mind_clocks(&mut self, clock: Clock, effects: &mut Vec<Effect>) {
        let margin = self.setup.timing.margin;
        self.ahead_now = clock.ahead();
        self.others.raw_is_ahead(self.ahead_now.raw);
        let apart = clock.apart_from(*self.ahead.get_or_insert(self.ahead_now));
        let apart = Duration::from_millis(apart);
        if apart > margin && !omits(Rule::MindClocks) {
            self.own.revoke(self.nonces);
            self.ahead = Some(self.ahead_now);
            effects.push(Effect::Note(Note::ClocksApart(apart)));
        }
    }

    fn next_nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce {
            process: self.setup.process,
            call: self.nonces,
        }
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    /// Of the view that was read last.
    fn epoch(&self) -> Epoch {
        self.view
            .as_ref()
            .map_or(Epoch::default(), |view| view.layout.epoch())
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.own.incarnation()
    }

    /// The members of the view that was read last.
    fn seats(&self) -> impl Iterator<Item = &Seat> {
        let view = self.view.iter();
        view.flat_map(|view| &view.layout.arrangement().members)
    }

    /// Whether this incarnation is a member of that view.
    fn is_listed(&self, view: &InForce) -> bool {
        let listed = |incarnation| view.layout.arrangement().lists(&self.setup.id, incarnation);
        self.incarnation().is_some_and(listed)
    }

    /// What a view says of this member.
    fn seat(&self, incarnation: Incarnation) -> Seat {
        Seat {
            id: self.setup.id.clone(),
            incarnation,
            address: self.setup.address.clone(),
            weight: self.setup.weight,
        }
    }
}

impl Clock {
    /// As numbers that go round, if ever a clock shows a time that far away. Each write asks for it twice.
    fn ahead(&self) -> Ahead {
        let millis = |time: Duration| {
            let seconds = time.as_secs().wrapping_mul(1000);
            seconds.wrapping_add(time.subsec_millis().into())
        };
        let boot = millis(self.boot);
        let ahead = |time| millis(time).wrapping_sub(boot).cast_signed();
        Ahead {
            wall: ahead(self.wall),
            raw: ahead(self.raw),
        }
    }

    /// How far the clocks have gone apart, in milliseconds.
    fn apart_from(&self, before: Ahead) -> u64 {
        let now = self.ahead();
        let (wall, raw) = (now.wall.abs_diff(before.wall), now.raw.abs_diff(before.raw));
        wall.max(raw)
    }
}

impl Setup {
    /// How long this member's replica may go on after its lease, as others have to expect it.
    fn grace(&self) -> Duration {
        if self.replica_ends_with_us || (self.kills_replica && omits(Rule::DeclareLongGrace)) {
            self.timing.killed
        } else {
            self.timing.grace
        }
    }
}

impl Timing {
    /// How long a lease that is not renewed, and the replica of its member, may go on by the clock of who watches it.
    fn longest_life(&self, lease: &Lease) -> Duration {
        let grace = if omits(Rule::WaitForGrace) {
            Duration::ZERO
        } else {
            lease.grace()
        };
        self.with_drift(lease.lasts().saturating_add(grace))
    }

    /// The same plus what a slower clock of somebody else takes longer.
    fn with_drift(&self, time: Duration) -> Duration {
        time.saturating_add(time.saturating_mul(self.drift) / 1000)
    }
}
