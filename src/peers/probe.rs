//! Active checks of the local replica and of every peer, one task each. A verdict changes after
//! several results in a row; requests read the verdicts and never wait for a check.
//!
//! A check is not only due by the clock: a party that has news (it has just started, its replica
//! has died, it drains) says so with its own question, and is asked back at once.

mod question;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Probes;
use crate::member::generation::{Generation, PeerRef};
use crate::member::peer_state::{PeerState, Told};
use crate::member::state::State;
use crate::peers::wire::MemberState;
use crate::shard::{Health, Tracker};
use question::{Answer, ReplicaPath};

/// How far an interval may be off, as a part of it: members that start together must not probe
/// in step for ever.
const JITTER: f64 = 0.1;
/// Into how many parts an interval is cut while the results speak against the verdict, which is
/// then settled soon.
const HASTE: u32 = 4;
/// The least time between two checks of one party, whatever calls for them.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Questions that a party may leave unanswered before it counts as asked: one may get lost, and who
/// is really gone must not keep everybody from writing. Whoever is there and cannot be asked (its
/// certificate is wrong, it has no connection to spare) may be writing, so it never does.
const ATTEMPTS: u32 = 3;

/// What the checks of one generation work with.
#[derive(Clone)]
pub(crate) struct Checks {
    /// The member.
    pub state: Arc<State>,
    /// The generation that they belong to.
    pub generation: Arc<Generation>,
    /// How often, how patiently, and what.
    pub probes: Probes,
}

/// How the asking of one party for its view comes along.
#[derive(Default)]
struct Asking {
    // Since the last time that somebody was there.
    silences: u32,
    failures: u32,
}

enum Progress {
    None,
    /// Somebody is there, may be writing, and does not tell.
    Tried,
    /// It has told, or nobody is there.
    Asked,
}

impl Asking {
    /// `silent`: nobody seems to be there.
    fn note(&mut self, answer: &Answer, silent: bool) -> Progress {
        match answer {
            Answer::State(_) | Answer::TurnedAway | Answer::Unreadable(_) => {
                return Progress::Asked;
            }
            Answer::Silent(_) => self.silences = self.silences.saturating_add(1),
            Answer::Failed(_) => {
                self.silences = 0;
                self.failures = self.failures.saturating_add(1);
            }
            Answer::Unresolved if silent && self.silences == 0 => return Progress::Asked,
            Answer::Unresolved => {}
        }
        if self.silences >= ATTEMPTS {
            Progress::Asked
        } else if self.failures >= ATTEMPTS {
            Progress::Tried
        } else {
            Progress::None
        }
    }
}

impl Checks {
    /// Checks the local replica for ever: 200 and 401 mean alive (a registry with authentication
    /// answers 401 to `/v2/`), anything else and silence mean dead. Peers hear of a change at once.
    pub(crate) async fn watch_replica(self, host: String) {
        let peer_state = self.generation.replica().clone();
        let mut tracker = Tracker::resumed(self.probes.thresholds, peer_state.verdict());
        let mut path = ReplicaPath::new(&self.probes.path);
        loop {
            let result = self.ask_replica(&mut path, &host).await;
            let verdict = tracker.record(result.is_ok());
            if tracker.is_back() {
                peer_state.breaker.retry_soon();
            }
            if let Some(verdict) = verdict {
                peer_state.set_verdict(verdict);
                self.state.metrics.replica_up(verdict == Health::Up);
                match result {
                    Ok(()) => tracing::info!("the local replica is up"),
                    Err(reason) => tracing::warn!(%reason, "the local replica is down"),
                }
                self.generation.tell_news();
            }
            self.pause(&peer_state, &tracker).await;
        }
    }

    /// Checks one peer for ever, through the same listener and certificates as its requests; also
    /// one that is a member no more, which may come back.
    pub(crate) async fn watch_party(self, party: PeerRef) {
        let peer_state = self.generation.peer_state_of(party).clone();
        let mut tracker = Tracker::resumed(self.probes.thresholds, peer_state.verdict());
        let began = Instant::now();
        let mut asking = Asking::default();
        loop {
            let answer = self.ask_party(party).await;
            let silent = match answer {
                // Its name may only be late, and then nobody was asked.
                Answer::Unresolved => {
                    self.generation.upstream_of(party).failed_lookups() >= ATTEMPTS
                }
                Answer::Silent(_) => true,
                Answer::State(_)
                | Answer::TurnedAway
                | Answer::Unreadable(_)
                | Answer::Failed(_) => {
                    peer_state.is_heard();
                    false
                }
            };
            let progress = asking.note(&answer, silent);
            self.take(party, answer, &mut tracker);
            self.note_progress(party, progress);
            self.count_silence(party, silent, began.elapsed());
            if self.generation.was_tried(party) {
                self.pause(&peer_state, &tracker).await;
            } else {
                tokio::time::sleep(jittered(LEAST_PAUSE)).await;
            }
        }
    }

    fn note_progress(&self, party: PeerRef, progress: Progress) {
        match progress {
            Progress::None => {}
            Progress::Asked => self.generation.set_asked(party),
            Progress::Tried if self.generation.set_tried(party) => {
                let member = &self.generation.member_of(party).id;
                tracing::error!(%member, "somebody is at this peer's address and cannot be asked for its view: no \
                    repository is written here until it can be, or nobody is there");
            }
            Progress::Tried => {}
        }
    }

    /// A member that was taken off the list counts no more once it, and whatever its replica had in
    /// hand, has been silent for long enough.
    fn count_silence(&self, party: PeerRef, silent: bool, asked_for: Duration) {
        let PeerRef::FormerMember(at) = party else {
            return;
        };
        let former_member = &self.generation.former_members()[at];
        let peer_state = self.generation.peer_state_of(party);
        // One that was never heard counts from our first question on.
        let silence = peer_state.silence().unwrap_or(asked_for);
        let gone = silent && silence >= self.generation.timeouts.aftermath;
        if gone != former_member.is_gone() && (gone || !silent) {
            let member = &former_member.member.id;
            if gone {
                tracing::info!(%member, "a member that was taken off the list is silent now");
            } else {
                tracing::warn!(%member, "a member that was taken off the list is back");
            }
            self.generation.set_gone(party, gone);
        }
    }

    /// Notes what a party said, or that it said nothing.
    fn take(&self, party: PeerRef, answer: Answer, tracker: &mut Tracker) {
        let (verdict, reason) = match answer {
            Answer::State(told) => {
                let (up, closing) = (told.replica_up, told.closing);
                self.take_state(party, *told);
                if closing {
                    (tracker.conclude(Health::Down), "it is closing".to_owned())
                } else if up {
                    (tracker.record(true), String::new())
                } else {
                    // It has made sure already.
                    (
                        tracker.conclude(Health::Down),
                        "its replica is down".to_owned(),
                    )
                }
            }
            Answer::TurnedAway => {
                self.take_told(party, Told::turned_away());
                let reason = "it takes our certificate for none of a member's";
                (tracker.record(false), reason.to_owned())
            }
            Answer::Unreadable(reason) => {
                self.take_told(party, Told::unreadable());
                (tracker.record(false), reason)
            }
            Answer::Failed(reason) | Answer::Silent(reason) => (tracker.record(false), reason),
            Answer::Unresolved => (
                tracker.record(false),
                "its name does not resolve".to_owned(),
            ),
        };
        let peer_state = self.generation.peer_state_of(party);
        if tracker.is_back() {
            peer_state.breaker.retry_soon();
        }
        let Some(health) = verdict else {
            return;
        };
        peer_state.set_verdict(health);
        let member = &self.generation.member_of(party).id;
        if health == Health::Up {
            tracing::info!(%member, "peer is up");
        } else {
            tracing::warn!(%member, %reason, "peer is down");
        }
        if let PeerRef::Peer(peer) = party {
            self.generation.metrics.peer_up(peer, health == Health::Up);
        }
    }

    fn take_state(&self, party: PeerRef, told: MemberState) {
        let member = &self.generation.member_of(party).id;
        if self
            .generation
            .peer_state_of(party)
            .set_draining(told.draining)
        {
            if let PeerRef::Peer(peer) = party {
                self.generation.metrics.peer_draining(peer, told.draining);
            }
            if told.draining {
                tracing::info!(%member, "peer drains: it gets no reads that others can serve");
            }
        }
        let Ok(view) = told.view.parse() else {
            // Of a release that we do not know.
            return self.take_told(party, Told::unreadable());
        };
        let ours = &self.generation.view;
        // It describes its view only where it is not ours.
        let same = view == *ours.fingerprint();
        let description = if same {
            Some(ours.describe())
        } else {
            told.description
        };
        let also = told.also;
        self.take_told(
            party,
            Told {
                view: Some(view),
                description,
                also,
                lists_us: true,
                start: told.start,
            },
        );
    }

    /// Notes a party's views, and where they differ from ours.
    fn take_told(&self, party: PeerRef, told: Told) {
        let (generation, peer_state) = (&self.generation, self.generation.peer_state_of(party));
        let same = told.view == Some(*generation.view.fingerprint());
        let known = generation.others();
        peer_state.set_told(told, generation.timeouts.aftermath);
        let others = peer_state.others(&generation.view);
        generation.set_others(party, &others);
        let known: Vec<String> = known
            .iter()
            .filter(|(known, _)| *known == party)
            .map(|(_, difference)| difference.to_string())
            .collect();
        // What an generation has inherited is new to the log: it may be our view that has changed.
        let told_before = known
            .iter()
            .cloned()
            .eq(others.iter().map(ToString::to_string));
        let new = !(told_before && generation.was_asked(party));
        if let PeerRef::Peer(peer) = party {
            generation.metrics.peer_view_same(peer, same);
        }
        let member = &generation.member_of(party).id;
        match others.first() {
            Some(difference) if new && same => {
                tracing::info!(%member, %difference, "a peer still writes under another view than ours");
            }
            Some(difference) if new => {
                tracing::error!(%member, %difference,
                    "a peer has another view: writes to the repositories on which they disagree are refused");
            }
            None if !known.is_empty() => tracing::info!(%member, "a peer agrees with our view now"),
            Some(_) | None => {}
        }
    }

    async fn pause(&self, peer_state: &PeerState, tracker: &Tracker) {
        let pause = if tracker.is_undecided() {
            jittered(self.probes.interval / HASTE)
        } else {
            jittered(self.probes.interval)
        };
        let least = pause.min(LEAST_PAUSE);
        tokio::time::sleep(least).await;
        tokio::select! {
            () = tokio::time::sleep(pause - least) => {}
            () = peer_state.woken() => {}
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pauses are merely in step.
    let _ = getrandom::fill(&mut random);
    let swing = f64::from(random[0]) / f64::from(u8::MAX) * 2.0 - 1.0;
    pause.mul_f64(1.0 + swing * JITTER)
}
