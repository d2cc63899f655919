//! Active checks of the local replica and of every peer, one task each. A verdict changes after
//! several results in a row; requests read the verdicts and never wait for a check.
//!
//! A check is not only due by the clock: a party that has changed (it has just started, its replica
//! has died, it drains) says so with its own question, and is asked back at once. So the clock may
//! be slow in a large cluster: a member asks [`QUESTIONS_PER_INTERVAL`] parties in each interval,
//! and a peer that requests are forwarded to is watched by these themselves.

mod question;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::config::Probes;
use crate::member::generation::{Generation, PeerRef};
use crate::member::peer_state::PeerState;
use crate::member::state::State;
use crate::observe::recent::ChangeKind;
use crate::peers::wire;
use crate::shard::ownership::{Event, NoAnswer, PartyId, Reply};
use crate::shard::{Health, Tracker};
use question::{Heard, ReplicaPath};

/// How far an interval may be off, as a part of it: members that start together must not probe
/// in step for ever.
const JITTER: f64 = 0.1;
/// Into how many parts an interval is cut while the results speak against the verdict, which is
/// then settled soon.
const HASTE: u32 = 4;
/// A party that is silent is asked so many times in `timeouts.aftermath`, at the least: only who is
/// asked can be silent.
const SILENT_PARTS: u32 = 4;
/// The least time between two checks of one party, whatever calls for them.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// So many parties are asked in each interval; where there are more, each is asked less often.
const QUESTIONS_PER_INTERVAL: u32 = 64;
/// So many questions are under way at once.
const QUESTIONS_AT_ONCE: usize = 64;
/// A name that was never resolved counts as nobody's after so many look-ups.
const LOOKUPS: u32 = 3;
/// An answer that is later than its time by so much was not waited for: we were stopped ourselves.
const STOPPED: Duration = Duration::from_secs(1);

/// What the checks of one generation work with.
#[derive(Clone)]
pub(crate) struct Checks {
    state: Arc<State>,
    generation: Arc<Generation>,
    probes: Probes,
    turn: Arc<Semaphore>,
}

impl Checks {
    /// The checks of the generation in force.
    pub(crate) fn new(state: Arc<State>, generation: Arc<Generation>) -> Self {
        Self {
            state,
            probes: generation.probes.clone(),
            generation,
            turn: Arc::new(Semaphore::new(QUESTIONS_AT_ONCE)),
        }
    }

    /// Checks the local replica for ever: 200 and 401 mean alive (a registry with authentication
    /// answers 401 to `/v2/`), anything else and silence mean dead. Peers hear of a change at once.
    pub(crate) async fn watch_replica(self, host: String) {
        let replica = self.generation.replica().clone();
        let mut tracker = Tracker::resumed(self.probes.thresholds, replica.verdict());
        let mut path = ReplicaPath::new(&self.probes.path);
        loop {
            let result = self.ask_replica(&mut path, &host).await;
            let verdict = tracker.record(result.is_ok());
            if tracker.is_back() {
                replica.breaker.retry_soon();
            }
            let why = result.as_ref().err().map(String::as_str);
            replica.note_check(why.is_none(), why, verdict.is_some());
            if let Some(verdict) = verdict {
                replica.set_verdict(verdict);
                self.state.metrics.replica_up(verdict == Health::Up);
                self.keep_change("the local replica", why);
                match result {
                    Ok(()) => tracing::info!("the local replica is up"),
                    Err(reason) => tracing::warn!(%reason, "the local replica is down"),
                }
                self.generation.tell_change();
                replica.note_change();
            }
            self.pause(&replica, &tracker, Some(self.probes.interval))
                .await;
        }
    }

    /// Checks one peer, through the same listener and certificates as its requests, for ever; one
    /// that is a member no more as long as it counts.
    pub(crate) async fn watch_party(self, party: PeerRef) {
        let peer = self.generation.peer_state_of(party).clone();
        let id = PartyId::of(self.generation.member_of(party));
        let mut tracker = Tracker::resumed(self.probes.thresholds, peer.verdict());
        loop {
            let round = self.state.writes.snapshot().round;
            let asked_at = self.state.writes.now();
            let heard = {
                // Closed never: it lives as long as we do.
                let _turn = self.turn.acquire().await;
                self.ask_party(party, &id).await
            };
            self.judge(party, &heard, &mut tracker);
            let heard = self.tell_leases(party, heard);
            self.take(&id, round, asked_at, heard, &peer);
            let (is_party, was_asked, may_be_gone) = {
                let rules = self.state.writes.rules();
                let may_be_gone = rules.may_be_gone(&id);
                (rules.is_party(&id), rules.was_asked(&id), may_be_gone)
            };
            if let (PeerRef::Former(_), false) = (party, is_party) {
                return;
            }
            if was_asked {
                let most = may_be_gone.then(|| self.generation.aftermath() / SILENT_PARTS);
                self.pause(&peer, &tracker, most).await;
            } else {
                tokio::time::sleep(jittered(LEAST_PAUSE)).await;
            }
        }
    }

    /// Hands on what bears on who may write.
    fn take(&self, id: &PartyId, round: u64, asked_at: Duration, heard: Heard, peer: &PeerState) {
        let told = |reply, contradicted_at| Event::Told {
            party: id.clone(),
            round,
            asked_at,
            contradicted_at,
            reply,
        };
        let no_answer = |why| Event::Unanswered {
            party: id.clone(),
            round,
            asked_at,
            last_request: peer.last_request(),
            why,
        };
        let event = match heard {
            Heard::State(state) => {
                let view = state.report.view.parse().ok();
                let contradicted_at = view.and_then(|view| peer.take_view(&view));
                told(Reply::Report(Box::new(state.report)), contradicted_at)
            }
            Heard::WithoutUs => told(Reply::WithoutUs, None),
            Heard::Unreadable(_) => told(Reply::Unreadable, None),
            Heard::Closed(reason) => no_answer(NoAnswer::Closed(reason)),
            Heard::Replaced(_) => no_answer(NoAnswer::Replaced),
            Heard::Silent(_) => no_answer(NoAnswer::Silent),
            Heard::Refused(_) => no_answer(NoAnswer::Refused),
            Heard::NotAsked(_) => no_answer(NoAnswer::NotAsked),
        };
        self.state.step(event);
        if let Some(PeerRef::Peer(member)) = self.generation.party_of(id) {
            let same = self.state.writes.rules().tells_our_view(id);
            if let Some(same) = same {
                self.generation.metrics.peer_view_same(member, same);
            }
        }
    }

    /// Tells the rules of leases what they want to know. Returns the answer as other rules read it.
    fn tell_leases(&self, party: PeerRef, mut heard: Heard) -> Heard {
        let (Some(leases), PeerRef::Peer(_)) = (self.state.writes.leases(), party) else {
            return heard;
        };
        let peer = self.generation.peer_state_of(party);
        let id = &self.generation.member_of(party).id;
        let mut is_up = peer.verdict() != Health::Down;
        if let Heard::State(told) = &mut heard {
            is_up = told.lease == Some(true);
            if let Some(tenure) = told.tenure {
                leases.hear(id, tenure);
            }
            let view = told
                .report
                .view
                .strip_prefix(wire::LEASED)
                .map(str::to_owned);
            leases.tell(|news| news.differ.insert(id.clone(), view.is_none()));
            if let Some(view) = view {
                if view != self.generation.view.fingerprint().to_string() {
                    leases.poke();
                }
                told.report.view = view;
            }
        }
        leases.tell(|news| news.up.insert(id.clone(), is_up));
        heard
    }

    /// What the answer says of whether requests can be sent there.
    fn judge(&self, party: PeerRef, heard: &Heard, tracker: &mut Tracker) {
        let peer = self.generation.peer_state_of(party);
        let member = &self.generation.member_of(party).id;
        let (verdict, reason) = match heard {
            Heard::State(told) => {
                self.note_draining(party, told.draining);
                peer.set_invites(told.invites);
                if told.closing {
                    (tracker.conclude(Health::Down), "it is closing")
                } else if told.replica_up {
                    (tracker.record(true), "")
                } else {
                    // It has made sure already.
                    (tracker.conclude(Health::Down), "its replica is down")
                }
            }
            Heard::WithoutUs => {
                let reason = "it takes our certificate for none of a member's";
                (tracker.record(false), reason)
            }
            // No fault of its own.
            Heard::NotAsked(_) if tracker.is_undecided() => (None, ""),
            Heard::Unreadable(reason)
            | Heard::Closed(reason)
            | Heard::Replaced(reason)
            | Heard::Silent(reason)
            | Heard::Refused(reason)
            | Heard::NotAsked(reason) => (tracker.record(false), reason.as_str()),
        };
        if tracker.is_back() {
            peer.breaker.retry_soon();
            peer.note_change();
        }
        let answered = matches!(heard, Heard::State(_) | Heard::WithoutUs);
        let why = (!reason.is_empty()).then_some(reason);
        peer.note_check(answered, why, verdict.is_some());
        let Some(health) = verdict else {
            return;
        };
        peer.set_verdict(health);
        let is_wrong = health != Health::Up;
        self.keep_change(member.as_str(), is_wrong.then_some(reason));
        if health == Health::Up {
            tracing::info!(peer = %member, "peer is up");
        } else {
            tracing::warn!(peer = %member, %reason, "peer is down");
        }
        if let PeerRef::Peer(member) = party {
            let up = health == Health::Up;
            self.generation.metrics.peer_up(member, up);
        }
        peer.note_change();
    }

    /// Keeps a change of a verdict for people.
    fn keep_change(&self, who: &str, why: Option<&str>) {
        let text = match why {
            None => format!("{who} is up"),
            Some(why) => format!("{who} is down: {why}"),
        };
        let recent = &self.state.metrics.recent;
        recent.changed(ChangeKind::Member, text);
    }

    fn note_draining(&self, party: PeerRef, draining: bool) {
        let state = self.generation.peer_state_of(party);
        if !state.set_draining(draining) {
            return;
        }
        let member = &self.generation.member_of(party).id;
        if let PeerRef::Peer(peer) = party {
            self.generation.metrics.peer_draining(peer, draining);
        }
        if draining {
            tracing::info!(peer = %member, "peer drains: it gets no reads that others can serve");
        }
        state.note_change();
    }

    /// By how much longer than the interval a pause is, so that the questions of all intervals stay
    /// within their number.
    fn stretch(&self) -> u32 {
        let parties = u32::try_from(self.generation.parties().count()).unwrap_or(u32::MAX);
        parties.div_ceil(QUESTIONS_PER_INTERVAL).max(1)
    }

    async fn pause(&self, peer: &PeerState, tracker: &Tracker, most: Option<Duration>) {
        let pause = if tracker.is_undecided() {
            self.probes.interval / HASTE
        } else {
            self.probes.interval.saturating_mul(self.stretch())
        };
        let pause = most.map_or(pause, |most| pause.min(most));
        let pause = jittered(pause.max(LEAST_PAUSE));
        let least = pause.min(LEAST_PAUSE);
        tokio::time::sleep(least).await;
        tokio::select! {
            () = tokio::time::sleep(pause - least) => {}
            () = peer.woken() => {}
        }
    }
}

/// About this long: what begins together must not stay in step for ever.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pauses are merely in step.
    let _ = getrandom::fill(&mut random);
    let swing = f64::from(random[0]) / f64::from(u8::MAX) * 2.0 - 1.0;
    pause.mul_f64(1.0 + swing * JITTER)
}
