//! What the request path reads: whether a write may go now, waits, or is of no use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Ownership;
use super::claim::{Extent, ExtentKey, Moment, ReplicaId, Unknown};
use super::ledger::Ledger;
use super::omit::{Rule, omits};
use crate::shard::members::MemberId;
use crate::shard::repository::Repository;
use crate::shard::view::View;

/// So many members are named for one dispute.
const NAMED: usize = 8;

/// The rules as they stand at one moment. Swapped whole; nothing is locked to read it.
#[derive(Debug)]
pub struct Snapshot {
    /// Which generation it belongs to.
    pub generation: u64,
    /// Questions asked from now on belong to this round.
    pub round: u64,
    /// Where writes of this generation are counted in.
    pub ledger: Arc<Ledger>,
    pub(super) view: Arc<View>,
    /// Nobody writes at all yet.
    pub(super) waits: Option<Wait>,
    pub(super) obstacles: Vec<Obstacle>,
    /// Writes of ours that go on at another replica than the one in use.
    pub(super) elsewhere: Vec<Arc<Ledger>>,
    /// How old a dispute may be for a write to wait for its end.
    pub(super) patience: Duration,
    /// A process that was away for longer may have been taken for dead.
    pub(super) longest_absence: Option<Duration>,
}

/// Whether a write may go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nobody else may be writing the repository.
    Admit,
    /// Somebody may be, for now.
    Hold(Wait),
    /// Somebody may be, and it does not look as if that ended soon.
    Refuse(Wait),
}

/// What a write waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// This process does not know yet what others may be writing.
    Starting,
    /// Another view is in force, and not everybody was asked since.
    Asking,
    /// This process was away, and asks again.
    Paused,
    /// An earlier replica of this member may be writing it.
    OwnReplica,
    /// Others may be writing it, under another view or from before a restart.
    Others(Vec<MemberId>),
}

/// Repositories that somebody else may be writing.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) extent: Extent,
    pub(super) who: Who,
    /// Since when it is known, for a dispute that need not end by itself.
    pub(super) standing_since: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Other members; a few of them.
    Others(Vec<MemberId>),
    /// A process before this one, with a replica that is not the one in use.
    Ourselves,
}

impl Snapshot {
    /// Whether a write to a repository of ours may go. It must be counted in at the ledger before.
    /// `awake` is when this process was last seen to be running.
    #[must_use]
    pub fn may_write(&self, repository: &Repository<'_>, now: Moment, awake: Moment) -> Verdict {
        if let Some(wait) = &self.waits {
            return Verdict::Hold(wait.clone());
        }
        if let Some(longest) = self.longest_absence
            && now.saturating_sub(awake) > longest
            && !omits(Rule::NoticeAbsenceAtWrite)
        {
            return Verdict::Hold(Wait::Paused);
        }
        if self.is_written_elsewhere(repository, || now) && !omits(Rule::MindOldReplica) {
            return Verdict::Hold(Wait::OwnReplica);
        }
        let mut obstacles = self.obstacles.iter();
        match obstacles.find(|obstacle| self.is_in_the_way(obstacle, repository)) {
            None => Verdict::Admit,
            Some(obstacle) => self.verdict_on(obstacle, now),
        }
    }

    /// Whether another replica of ours than the one in use may be writing it.
    pub(crate) fn is_written_elsewhere(
        &self,
        repository: &Repository<'_>,
        now: impl Fn() -> Moment,
    ) -> bool {
        let mut elsewhere = self.elsewhere.iter();
        elsewhere.any(|ledger| ledger.writes(repository.as_str(), now()))
    }

    /// Whether somebody is known to take another member for the owner than we do. A forward would
    /// come back.
    #[must_use]
    pub fn dispute(&self, repository: &Repository<'_>, now: Moment) -> Option<Verdict> {
        let mut obstacles = self.obstacles.iter().filter(|obstacle| {
            matches!(
                (&obstacle.extent, &obstacle.who),
                (Extent::View(_), Who::Others(_))
            )
        });
        let obstacle = obstacles.find(|obstacle| self.is_in_the_way(obstacle, repository))?;
        Some(self.verdict_on(obstacle, now))
    }

    /// When a dispute becomes too old to be waited for, and what this says of a write may change by
    /// itself; the first such moment after `now`.
    #[must_use]
    pub fn next_refusal(&self, now: Moment) -> Option<Moment> {
        let since = self
            .obstacles
            .iter()
            .filter_map(|obstacle| obstacle.standing_since);
        let until = since.map(|since| since.saturating_add(self.patience));
        until.filter(|until| *until >= now).min()
    }

    /// The view that is in force.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The replica in use, as far as it is known.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        self.ledger.replica()
    }

    /// Whether everybody was asked, and this process knows what others may be writing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waits.is_none()
    }

    /// Who may be writing what, for an operator.
    #[must_use]
    pub fn disputes(&self) -> Vec<String> {
        let told = |obstacle: &Obstacle| {
            let what = match &obstacle.extent {
                Extent::View(view) => self.view.difference(view),
                Extent::Repositories(names) => {
                    format!("writes to {} repositories under way", names.len())
                }
                Extent::Any(Unknown::SeenInRequest) => Unknown::SeenInRequest.to_string(),
                Extent::Any(unknown) => unknown.to_string(),
            };
            match &obstacle.who {
                Who::Ourselves => {
                    format!("an earlier replica of this member may be writing ({what})")
                }
                Who::Others(members) => {
                    let ids: Vec<&str> = members.iter().map(MemberId::as_str).collect();
                    let has = if obstacle.standing_since.is_some() {
                        "has another view"
                    } else {
                        "may still be writing under another view"
                    };
                    format!(
                        "{} {has} ({what}): writes in dispute wait or are refused",
                        ids.join(", ")
                    )
                }
            }
        };
        self.obstacles.iter().map(told).collect()
    }

    fn is_in_the_way(&self, obstacle: &Obstacle, repository: &Repository<'_>) -> bool {
        match (&obstacle.extent, &obstacle.who) {
            (Extent::Any(_), _) => true,
            (Extent::Repositories(names), _) => {
                names.iter().any(|name| **name == *repository.as_str())
            }
            (Extent::View(view), Who::Others(_)) => self.view.is_disputed(repository, view),
            // What it owned then, it wrote with the other replica.
            (Extent::View(view), Who::Ourselves) => {
                let members = self.view.members();
                let ours = &members.get(members.local()).id;
                view.owner(repository).is_none_or(|owner| owner == ours)
            }
        }
    }

    fn verdict_on(&self, obstacle: &Obstacle, now: Moment) -> Verdict {
        let wait = match &obstacle.who {
            Who::Ourselves => Wait::OwnReplica,
            Who::Others(members) => Wait::Others(members.clone()),
        };
        let stands = obstacle.standing_since;
        if stands.is_some_and(|since| now.saturating_sub(since) > self.patience) {
            Verdict::Refuse(wait)
        } else {
            Verdict::Hold(wait)
        }
    }
}

impl Ownership {
    pub(super) fn snapshot(&mut self, now: Moment) -> Arc<Snapshot> {
        let obstacles = self.obstacles(now);
        let replica = self.ledger.replica().clone();
        let elsewhere = self.past.iter().filter(|ledger| ledger.replica != replica);
        Arc::new(Snapshot {
            generation: self.generation,
            round: self.round,
            ledger: self.ledger.clone(),
            view: self.view.clone(),
            waits: self.wait(),
            obstacles,
            elsewhere: elsewhere.cloned().collect(),
            patience: self.rules.patience,
            longest_absence: self.longest_absence(),
        })
    }

    /// Everything that may be in the way of a write of ours, each extent once.
    fn obstacles(&mut self, now: Moment) -> Vec<Obstacle> {
        let mut obstacles: Vec<Obstacle> = Vec::new();
        let mut known: HashMap<(ExtentKey, bool), usize> = HashMap::new();
        for (id, party) in &self.parties {
            for (extent, until) in party.claims() {
                if self.is_ours(extent) {
                    continue;
                }
                let stands = until.is_none() && !matches!(extent, Extent::Repositories(_));
                let at = *known.entry((extent.key(), stands)).or_insert_with(|| {
                    obstacles.push(Obstacle {
                        extent: extent.clone(),
                        who: Who::Others(Vec::new()),
                        standing_since: stands.then_some(now),
                    });
                    obstacles.len() - 1
                });
                if let Who::Others(members) = &mut obstacles[at].who
                    && members.len() < NAMED
                    && !members.contains(&id.member)
                {
                    members.push(id.member.clone());
                }
            }
        }
        self.date(&mut obstacles);
        let replica = self.ledger.replica();
        let earlier = self.own_past.iter();
        let earlier = earlier.filter(|timed| timed.claim.replica != *replica);
        let earlier = earlier.filter(|_| !omits(Rule::MindEarlierReplica));
        obstacles.extend(earlier.map(|timed| Obstacle {
            extent: timed.claim.extent.clone(),
            who: Who::Ourselves,
            standing_since: None,
        }));
        obstacles
    }

    /// A dispute is as old as it was before, whoever else has joined it.
    fn date(&mut self, obstacles: &mut [Obstacle]) {
        let mut standing = HashMap::new();
        for obstacle in obstacles.iter_mut() {
            let Some(since) = &mut obstacle.standing_since else {
                continue;
            };
            let key = obstacle.extent.key();
            if let Some((_, before)) = self.standing.get(&key) {
                *since = *before;
            }
            // With the extent itself: its key must not come to stand for another.
            standing.insert(key, (obstacle.extent.clone(), *since));
        }
        self.standing = standing;
    }
}
