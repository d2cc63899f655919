//! One party: a peer, or a member of a view before ours that may not know it yet. What it may be
//! writing, and how the asking goes.

use std::time::Duration;

use super::NoAnswer;
use super::claim::{Claim, Extent, Moment, ProcessId, ReplicaId, TimedClaims, Unknown};
use super::omit::{Rule, omits};
use crate::shard::members::{MemberAddress, MemberId};
use crate::shard::view::Fingerprint;

/// Questions in a row that a party must leave unanswered before it counts as gone.
pub(super) const LEAST_UNANSWERED: u32 = 3;

/// Who somebody is: a member at another address may be another process.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartyId {
    /// Its id.
    pub member: MemberId,
    /// Where it is asked, as the list has it.
    pub address: PartyAddress,
}

/// An address that can be ordered.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartyAddress(String);

impl From<&MemberAddress> for PartyAddress {
    fn from(address: &MemberAddress) -> Self {
        Self(address.to_string())
    }
}

impl PartyAddress {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn told(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Party {
    /// Whether our view lists it.
    pub(super) listed: bool,
    /// Whether we ask it ourselves, or know it by witnesses only.
    pub(super) asked: bool,
    /// Whether it came on the list while we knew of everybody, and nobody knew of it.
    pub(super) is_new: bool,
    /// What its process told last.
    pub(super) told: Option<Told>,
    /// What processes before that one may still be writing, and what witnesses told.
    pub(super) timed: TimedClaims,
    /// The last round of questions in which one to it has ended, whichever way.
    pub(super) ended_in: u64,
    pub(super) unanswered: Option<Unanswered>,
    /// Since when nothing was heard of it: the first question since it answered one, or a request
    /// after that. By us, or by a witness.
    pub(super) unheard_since: Option<Moment>,
    /// It is there and cannot be asked, and why.
    pub(super) closed_to_us: Option<String>,
    /// What its requests show that it has not told: it may have another view, or another replica.
    pub(super) untold: Option<Untold>,
}

/// What a process told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) process: ProcessId,
    /// The view in force, and those under which it still writes.
    pub(super) claims: Vec<Claim>,
    /// It knows all that its replica may be writing, from processes before it too.
    pub(super) vouches: bool,
}

/// What a request has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untold {
    /// None once there were several views.
    pub(super) view: Option<Fingerprint>,
    pub(super) extent: Extent,
    /// None if it was not another one than it told.
    pub(super) replica: Option<ReplicaId>,
    pub(super) shown_at: Moment,
    /// Whether a question to it has got no answer since.
    pub(super) asked_in_vain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// When the first of them was asked; of those that were refused, if there are any.
    pub(super) since: Moment,
    /// When the last was.
    pub(super) last: Moment,
    pub(super) count: u32,
    pub(super) refused: bool,
}

impl Unanswered {
    /// When all that it may have had in hand has ended. Who refuses died before that, and its
    /// replica has `aftermath`. Who lets the time pass may have lived, and died, for as long as
    /// members may be cut off from each other, which is `aftermath` too.
    pub(super) fn ends(&self, aftermath: Duration) -> Moment {
        let parts = if self.refused || omits(Rule::AllowForPartition) {
            1
        } else {
            2
        };
        self.since.saturating_add(aftermath.saturating_mul(parts))
    }
}

impl Party {
    pub(super) fn new(asked: bool) -> Self {
        Self {
            listed: false,
            asked,
            is_new: false,
            told: None,
            timed: TimedClaims::default(),
            ended_in: 0,
            unanswered: None,
            unheard_since: None,
            closed_to_us: None,
            untold: None,
        }
    }

    /// The replica of its process, as far as that is told.
    pub(super) fn told_replica(&self) -> Option<&ReplicaId> {
        let told = self.told.as_ref()?.claims.first()?;
        Some(&told.replica)
    }

    /// The view in force of its process, as far as that is told and known.
    pub(super) fn told_view(&self) -> Option<&Fingerprint> {
        let told = self.told.as_ref()?.claims.first()?;
        told.extent.view()
    }

    /// A request of its shows what it has not told. Says whether that is new.
    pub(super) fn shows(
        &mut self,
        view: Fingerprint,
        extent: Extent,
        replica: Option<ReplicaId>,
        now: Moment,
        aftermath: Duration,
    ) -> bool {
        let Some(untold) = &mut self.untold else {
            self.untold = Some(Untold {
                view: Some(view),
                extent,
                replica,
                shown_at: now,
                asked_in_vain: false,
            });
            return true;
        };
        let another_view = untold.view.is_some_and(|shown| shown != view);
        let another_replica = replica.is_some() && untold.replica != replica;
        if let Some(before) = untold.replica.take_if(|_| another_replica) {
            let extent = untold.extent.clone();
            let process = self.told.as_ref().map(|told| told.process.clone());
            let claim = Claim {
                extent,
                replica: before,
            };
            let until = now.saturating_add(aftermath);
            self.timed.add(process.unwrap_or_default(), claim, until);
        }
        if another_view {
            (untold.view, untold.extent) = (None, Extent::Any(Unknown::SeenInRequest));
        }
        untold.replica = replica.or(untold.replica.take());
        untold.shown_at = now;
        another_view || another_replica
    }

    /// A request that came after the question may have been sent after the answer was made: what was
    /// known before that answer counts until it is asked again.
    pub(super) fn contradicts(&mut self, shown_at: Moment) {
        if let Some(untold) = &mut self.untold {
            untold.shown_at = untold.shown_at.max(shown_at);
            return;
        }
        let known = self.told.as_ref().and_then(|told| told.claims.first());
        self.untold = known.map(|claim| Untold {
            view: claim.extent.view().copied(),
            extent: claim.extent.clone(),
            replica: None,
            shown_at,
            asked_in_vain: false,
        });
    }

    /// A question of this moment got no answer. Says whether the asking is over with that.
    pub(super) fn did_not_answer(
        &mut self,
        asked_at: Moment,
        last_request: Option<Moment>,
        why: &NoAnswer,
        round_began: Moment,
        aftermath: Duration,
    ) -> bool {
        let over = self.spoke(last_request, round_began, aftermath)
            || self.is_unheard_of(last_request, why)
            || omits(Rule::WaitForAnswer);
        if *why == NoAnswer::NotAsked {
            return over;
        }
        let since = *self.unheard_since.get_or_insert(asked_at);
        let since = last_request.map_or(since, |at| since.max(at));
        self.unheard_since = Some(since);
        let lasted = asked_at >= since.saturating_add(aftermath);
        // Another member is where one was that is listed no more.
        let nobody = match why {
            NoAnswer::Refused => true,
            NoAnswer::Replaced => !self.listed,
            NoAnswer::Silent | NoAnswer::Closed(_) | NoAnswer::NotAsked => false,
        };
        nobody || lasted || over
    }

    /// A request that comes so long after the round began is of one that was told by now: it asks
    /// too, and is told our view then. Otherwise it is cut off from us, though not we from it.
    fn spoke(
        &self,
        last_request: Option<Moment>,
        round_began: Moment,
        aftermath: Duration,
    ) -> bool {
        let told = round_began.saturating_add(aftermath);
        last_request.is_some_and(|at| at >= told)
    }

    /// Whether it is new on the list, and nothing of it was heard yet.
    fn is_unheard_of(&self, last_request: Option<Moment>, why: &NoAnswer) -> bool {
        let nothing = self.told.is_none() && self.untold.is_none() && self.timed.is_empty();
        let is_there = matches!(why, NoAnswer::Closed(_)) || last_request.is_some();
        self.is_new && nothing && !is_there
    }

    /// It is alive: silence begins anew.
    pub(super) fn heard(&mut self) {
        self.unanswered = None;
    }

    /// Who lets the time pass may live on for a while, and who refuses is no more: its replica has
    /// `aftermath` from there on.
    pub(super) fn was_silent(&mut self, asked_at: Moment, refused: bool) {
        let silence = self.unanswered.get_or_insert(Unanswered {
            since: asked_at,
            last: asked_at,
            count: 0,
            refused,
        });
        if refused && !silence.refused {
            silence.refused = true;
            if !omits(Rule::CountFromRefusal) {
                silence.since = asked_at;
            }
        }
        silence.last = asked_at;
        silence.count = silence.count.saturating_add(1);
    }

    /// Whether it, and whatever its replica had in hand, is gone: it was asked again after all of
    /// this had its time, and never answered.
    pub(super) fn is_gone(&self, aftermath: Duration) -> bool {
        self.unanswered.is_some_and(|silence| {
            let enough = silence.count >= LEAST_UNANSWERED || omits(Rule::AskAgain);
            let lasted = silence.last >= silence.ends(aftermath);
            enough && (lasted || omits(Rule::WaitInSilence))
        })
    }

    /// Takes what it told. Says whether that is new. Claims of a process that is no more go on for
    /// `aftermath`: its replica has not died with it.
    pub(super) fn take(
        &mut self,
        new: Told,
        asked_at: Moment,
        now: Moment,
        aftermath: Duration,
    ) -> bool {
        self.heard();
        (self.closed_to_us, self.unheard_since) = (None, None);
        let until = now.saturating_add(aftermath);
        let in_doubt = self.untold.is_some();
        self.settle_untold(&new.process, new.claims.first(), asked_at, until);
        // It knows better than any witness.
        let changed = self.timed.forget(&new.process) || in_doubt;
        if self.told.as_ref() == Some(&new) {
            return changed;
        }
        let process = new.process.clone();
        let before = self.told.replace(new);
        let ended = before.filter(|before| before.process != process);
        if let Some(ended) = ended.filter(|_| !omits(Rule::KeepEarlierProcess)) {
            for claim in ended.claims {
                self.timed.add(ended.process.clone(), claim, until);
            }
        }
        true
    }

    /// What was shown by a request is told now, or is no more. Unless the answer is older than
    /// the request; and unless it was another process that has shown it.
    fn settle_untold(
        &mut self,
        process: &ProcessId,
        in_force: Option<&Claim>,
        asked_at: Moment,
        until: Moment,
    ) {
        let Some(untold) = self.untold.take() else {
            return;
        };
        let view = untold.view.as_ref();
        let told = in_force.filter(|claim| view.is_some() && claim.extent.view() == view);
        let before = self.told.clone().filter(|told| told.process != *process);
        // Where none was told before, it is this process that has shown it.
        if let Some(before) = before {
            let extent = told.map_or(&untold.extent, |claim| &claim.extent).clone();
            let replica = before.claims.first().map(|claim| &claim.replica);
            let replica = untold.replica.as_ref().or(replica).cloned();
            let replica = replica.unwrap_or_default();
            self.timed
                .add(before.process, Claim { extent, replica }, until);
        }
        let shown = untold.replica.as_ref();
        let told = told.filter(|claim| shown.is_none_or(|shown| *shown == claim.replica));
        if told.is_none() && asked_at <= untold.shown_at {
            self.untold = Some(untold);
        }
    }

    /// Everything it may be writing, each with the end if it has one.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&Extent, Option<Moment>)> {
        let forgotten = self.unanswered.is_some() && omits(Rule::KeepLastKnown);
        let told = self.told.iter().filter(move |_| !forgotten);
        let told = told.flat_map(|told| &told.claims);
        let told = told.map(|claim| (&claim.extent, None));
        let timed = self.timed.iter();
        let timed = timed.map(|timed| (&timed.claim.extent, Some(timed.until)));
        // Whoever answers is asked at once, which takes a moment; who cannot be asked is in doubt.
        let cannot_tell = self.unanswered.is_some() || self.closed_to_us.is_some();
        let untold = self.untold.iter();
        let untold = untold.filter(move |untold| cannot_tell || untold.asked_in_vain);
        let untold = untold.map(|untold| (&untold.extent, None));
        told.chain(timed).chain(untold)
    }
}
