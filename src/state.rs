//! What the listeners, the probes and the admin page of one member share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;

use crate::access_log::AccessLog;
use crate::config::{Sticky, Timeouts};
use crate::metrics::{Certificate, Metrics};
use crate::respond::Failure;
use crate::shard::{Fingerprint, Health, MemberIndex, OtherView, Policy, Repository, View};
use crate::upstream::{Admission, Upstreams};

/// One member at run time.
pub struct State {
    /// Members, placement and pins.
    pub view: View,
    /// The operator's choices about reads.
    pub policy: Policy,
    /// The cookie for routes without a repository.
    pub sticky: Sticky,
    /// Deadlines and idle limits.
    pub timeouts: Timeouts,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whom we call.
    pub upstreams: Upstreams,
    /// The door to the local replica.
    pub admission: Admission,
    /// Verdicts on the replica and the peers.
    pub health: HealthTable,
    /// What we count.
    pub metrics: Metrics,
    /// Where requests are logged, if the operator wants it.
    pub access_log: AccessLog,
    /// Whether this member takes no new work.
    pub draining: AtomicBool,
    /// The certificates in use, and when they expire, in seconds since 1970.
    pub certificates: ArcSwap<Vec<(Certificate, i64)>>,
}

impl State {
    /// Whether this member takes no new work.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether this member, the owner in its own view, may write. When in doubt it may not: before
    /// every peer was asked for its view once, and while a peer has a view with another owner.
    ///
    /// # Errors
    /// What is to be answered instead.
    pub fn may_write(&self, repository: &Repository<'_>) -> Result<(), Failure> {
        let mut peers = self.view.members().peers();
        if !peers.all(|(peer, _)| self.health.was_asked(peer)) {
            return Err(Failure::Starting);
        }
        let others = self.health.others.load();
        let disputed = others
            .iter()
            .any(|(_, other)| self.view.is_disputed(repository, other));
        if disputed {
            return Err(Failure::ViewsDiffer);
        }
        Ok(())
    }

    /// The verdict on one member; for the local one, on its replica.
    pub fn health_of(&self, member: MemberIndex) -> Health {
        self.health.get(member)
    }
}

/// The latest verdict on every member, and what each peer last told of its view. Written by the
/// probes, read by every request.
#[derive(Debug)]
pub struct HealthTable {
    verdicts: Box<[AtomicU8]>,
    views: Box<[ArcSwapOption<Fingerprint>]>,
    /// Which peers were asked at least once, whatever came of it.
    asked: Box<[AtomicBool]>,
    /// The views that are not ours, as far as we know.
    others: ArcSwap<Vec<(MemberIndex, OtherView)>>,
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;
const DRAINING: u8 = 3;

impl HealthTable {
    /// Nothing is known of `members` members.
    pub fn new(members: usize) -> Self {
        Self {
            verdicts: (0..members).map(|_| AtomicU8::new(UNKNOWN)).collect(),
            views: (0..members).map(|_| ArcSwapOption::empty()).collect(),
            asked: (0..members).map(|_| AtomicBool::new(false)).collect(),
            others: ArcSwap::default(),
        }
    }

    /// The verdict on a member.
    pub fn get(&self, member: MemberIndex) -> Health {
        match self
            .verdicts
            .get(member.get())
            .map(|verdict| verdict.load(Ordering::Relaxed))
        {
            Some(UP) => Health::Up,
            Some(DRAINING) => Health::Draining,
            Some(DOWN) => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Records a verdict.
    pub fn set(&self, member: MemberIndex, health: Health) {
        let value = match health {
            Health::Unknown => UNKNOWN,
            Health::Up => UP,
            Health::Draining => DRAINING,
            Health::Down => DOWN,
        };
        if let Some(verdict) = self.verdicts.get(member.get()) {
            verdict.store(value, Ordering::Relaxed);
        }
    }

    /// The view that a peer last told of.
    pub fn view_of(&self, member: MemberIndex) -> Option<Fingerprint> {
        let told = self.views.get(member.get())?.load_full()?;
        Some(*told)
    }

    /// Records the view that a peer told of.
    pub fn set_view(&self, member: MemberIndex, view: Fingerprint) {
        if let Some(told) = self.views.get(member.get()) {
            told.store(Some(Arc::new(view)));
        }
    }

    /// Records that a member was asked.
    pub fn set_asked(&self, member: MemberIndex) {
        if let Some(asked) = self.asked.get(member.get()) {
            asked.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a member was asked at least once since the start.
    pub fn was_asked(&self, member: MemberIndex) -> bool {
        self.asked
            .get(member.get())
            .is_some_and(|asked| asked.load(Ordering::Relaxed))
    }

    /// The views that are not ours, with who has them.
    pub fn others(&self) -> Arc<Vec<(MemberIndex, OtherView)>> {
        self.others.load_full()
    }

    /// Records a peer's view that is not ours, or that it is ours again. A peer that falls silent
    /// keeps the view it last told of: it may be at work where we cannot see it.
    pub fn set_other(&self, member: MemberIndex, view: Option<OtherView>) {
        self.others.rcu(|others| {
            let mut others: Vec<_> = (**others).clone();
            others.retain(|(known, _)| *known != member);
            others.extend(view.clone().map(|view| (member, view)));
            others
        });
    }
}
