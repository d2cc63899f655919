//! Which writes one generation has admitted and not seen the end of.
//!
//! The order is what matters: a write is counted in first and judged second. Whoever retires the
//! ledger and looks at it afterwards either finds the write or has stopped it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::FixedState;

use super::claim::{Moment, ReplicaId};
use super::omit::{Rule, omits};
use crate::shard::view::OtherView;

/// The writes of one generation to one replica. Only writes lock it, until it is retired.
#[derive(Debug)]
pub struct Ledger {
    pub(super) view: Arc<OtherView>,
    pub(super) replica: ReplicaId,
    entries: Mutex<Entries>,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    retired: bool,
    next: u64,
    /// By numbers that nobody else chooses, so it takes no hash that is hard to guess.
    under_way: HashMap<u64, Entry, FixedState>,
    orphans: Vec<(Arc<str>, Moment)>,
}

#[derive(Clone, Debug)]
struct Entry {
    repository: Arc<str>,
    stage: Stage,
    /// Who waits for it to be cut.
    waits: Option<Waker>,
}

/// How far a write is, where that counts: where members hold leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Its replica has not got the whole of it.
    Coming,
    /// Nor will it ever.
    Cut,
    /// It may have all of it.
    Sent,
    /// The same, and the replica that works on it is being killed.
    Doomed,
    /// The replica was killed, and with it whatever worked on it.
    Killed,
}

/// One write of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteId(u64);

/// How a write has ended, as far as can be seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteEnd {
    /// The replica was sent none of it, or has answered: it does not work on it.
    Done,
    /// Nobody waits for the answer any more. Registries finish storage calls for a client that is gone, so what was
    /// sent as a whole counts until then.
    Orphaned {
        /// When the replica is done with it at the latest.
        until: Moment,
    },
}

/// What is named of writes under way: so many repositories, else the whole view.
const NAMED: usize = 64;

impl Ledger {
    pub(crate) fn new(view: Arc<OtherView>, replica: ReplicaId) -> Arc<Self> {
        Arc::new(Self {
            view,
            replica,
            entries: Mutex::default(),
        })
    }

    /// The replica that its writes go to.
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// Counts a write in; none if the generation is over. One that is not `looked_at` before its last byte may be
    /// whole at any time from now on.
    pub fn begin(&self, repository: &Arc<str>, looked_at: bool) -> Option<WriteId> {
        let mut entries = self.entries();
        if entries.retired {
            return None;
        }
        let id = entries.next;
        entries.next += 1;
        let repository = repository.clone();
        let stage = if looked_at {
            Stage::Coming
        } else {
            Stage::Sent
        };
        let entry = Entry {
            repository,
            stage,
            waits: None,
        };
        entries.under_way.insert(id, entry);
        Some(WriteId(id))
    }

    /// The replica is about to get all of it. Says whether it may: not once it was cut.
    pub(crate) fn send(&self, write: WriteId) -> bool {
        let mut entries = self.entries();
        let coming = entries.under_way.get_mut(&write.0);
        coming
            .filter(|entry| entry.stage == Stage::Coming)
            .map(|entry| entry.stage = Stage::Sent)
            .is_some()
    }

    /// The replica does not get all of it after all.
    pub(crate) fn withhold(&self, write: WriteId) {
        let mut entries = self.entries();
        if let Some(entry) = entries.under_way.get_mut(&write.0)
            && entry.stage == Stage::Sent
        {
            entry.stage = Stage::Cut;
        }
    }

    /// Whether it was cut.
    pub(crate) fn is_cut(&self, write: WriteId) -> bool {
        let entries = self.entries();
        let entry = entries.under_way.get(&write.0);
        entry.is_some_and(|entry| entry.stage == Stage::Cut)
    }

    /// Ready once it was cut. Who has asked last is woken then.
    pub(crate) fn poll_cut(&self, write: WriteId, context: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.entries();
        match entries.under_way.get_mut(&write.0) {
            Some(entry) if entry.stage == Stage::Cut => return Poll::Ready(()),
            Some(entry) => match &mut entry.waits {
                Some(waits) => waits.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            },
            None => {}
        }
        Poll::Pending
    }

    /// Those of which the replica has not got all will never be whole, where this is true of their
    /// repositories.
    pub(crate) fn cut(&self, is_lost: impl Fn(&str) -> bool) {
        let mut woken = Vec::new();
        for entry in self.entries().under_way.values_mut() {
            if entry.stage == Stage::Coming && is_lost(&entry.repository) {
                entry.stage = Stage::Cut;
                woken.extend(entry.waits.take());
            }
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// The replica is being killed. What is sent from now on may go to the next one.
    pub(crate) fn doom(&self) {
        self.entries().restage(Stage::Sent, Stage::Doomed);
    }

    /// It was killed, so that nothing goes on that it was sent before; or it was not.
    pub(crate) fn kill(&self, is_dead: bool) {
        let mut entries = self.entries();
        if is_dead {
            entries.orphans.clear();
            entries.restage(Stage::Doomed, Stage::Killed);
        } else {
            entries.restage(Stage::Doomed, Stage::Sent);
        }
    }

    /// Counts it out.
    pub fn end(&self, write: WriteId, end: WriteEnd) {
        let mut entries = self.entries();
        let Some(Entry {
            repository, stage, ..
        }) = entries.under_way.remove(&write.0)
        else {
            return;
        };
        if let WriteEnd::Orphaned { until } = end
            && matches!(stage, Stage::Sent | Stage::Doomed)
            && !omits(Rule::CountOrphans)
        {
            entries.orphans.retain(|(known, _)| *known != repository);
            entries.orphans.push((repository, until));
        }
    }

    /// Admits no more.
    pub(super) fn retire(&self) {
        self.entries().retired = true;
    }

    /// Whether a write of it may be under way.
    pub fn is_writing(&self, now: Moment) -> bool {
        self.entries().names(now).next().is_some()
    }

    /// Whether a write to this repository may be under way.
    pub(super) fn writes(&self, repository: &str, now: Moment) -> bool {
        let entries = self.entries();
        entries.names(now).any(|known| **known == *repository)
    }

    /// Whether this is true of a repository that may be being written.
    pub(crate) fn writes_any(&self, now: Moment, is_meant: impl Fn(&str) -> bool) -> bool {
        self.entries().names(now).any(|name| is_meant(name))
    }

    /// The repositories with writes under way; none if they are too many to be named.
    pub(super) fn repositories(&self, now: Moment) -> Option<Vec<Box<str>>> {
        let entries = self.entries();
        let mut names: Vec<Box<str>> = Vec::new();
        for repository in entries.names(now) {
            if !names.iter().any(|known| **known == **repository) {
                if names.len() == NAMED {
                    return None;
                }
                names.push(repository.as_ref().into());
            }
        }
        names.sort_unstable();
        Some(names)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn restage(&mut self, from: Stage, to: Stage) {
        let entries = self.under_way.values_mut();
        let meant = entries.filter(|entry| entry.stage == from);
        meant.for_each(|entry| entry.stage = to);
    }

    /// The repositories of what may be under way.
    fn names(&self, now: Moment) -> impl Iterator<Item = &Arc<str>> {
        let orphans = self.orphans.iter().filter(move |(_, until)| now < *until);
        let under_way = self.under_way.values().map(|entry| &entry.repository);
        under_way.chain(orphans.map(|(repository, _)| repository))
    }
}

#[cfg(test)]
impl Ledger {
    /// The same once more, to go on from in another way.
    pub(super) fn copy(&self) -> Arc<Self> {
        let entries = self.entries().clone();
        Arc::new(Self {
            view: self.view.clone(),
            replica: self.replica.clone(),
            entries: Mutex::new(entries),
        })
    }

    /// Whether it is retired, how many writes are under way, and when the orphans end.
    pub(super) fn counts(&self, now: Moment) -> (bool, usize, Vec<Moment>) {
        let entries = self.entries();
        let orphans = entries.orphans.iter().map(|(_, until)| *until);
        let orphans = orphans.filter(|until| now < *until).collect();
        (entries.retired, entries.under_way.len(), orphans)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::shard::{HashKey, MemberId, Members, Pins, Placement, View};

    const UNTIL: Moment = Moment::from_secs(30);

    fn a_ledger() -> Arc<Ledger> {
        let id: MemberId = "zot-1".parse().unwrap();
        let member = crate::shard::Member {
            id: id.clone(),
            address: "zot-1:5443".parse().unwrap(),
            weight: crate::shard::Weight::default(),
        };
        let members = Members::new(vec![member], &id).unwrap();
        let key = HashKey::from([7; 16]);
        let view = View::new(
            members,
            Placement::Rendezvous,
            &key,
            Pins::new(vec![]).unwrap(),
        );
        Ledger::new(Arc::new(OtherView::of(&view)), ReplicaId::default())
    }

    fn orphaned(ledger: &Ledger, write: WriteId) {
        ledger.end(write, WriteEnd::Orphaned { until: UNTIL });
    }

    #[test]
    fn what_is_cut_is_never_sent_and_what_was_sent_is_not_cut() {
        let ledger = a_ledger();
        let begin = |name: &str| ledger.begin(&name.into(), true).unwrap();
        let [lost, kept, sent] = ["a/lost", "a/kept", "b/lost"].map(begin);
        assert!(ledger.send(sent));
        ledger.cut(|name| name.ends_with("lost"));
        assert_eq!(
            [lost, kept, sent].map(|write| ledger.is_cut(write)),
            [true, false, false]
        );
        assert!(!ledger.send(lost) && ledger.send(kept));
        assert!(!ledger.send(kept), "sent once");
        let lost_now = || ledger.writes_any(Moment::ZERO, |name| name.ends_with("lost"));
        ledger.end(lost, WriteEnd::Done);
        assert!(lost_now(), "one was sent, and has no answer yet");
        orphaned(&ledger, sent);
        assert!(lost_now() && !ledger.writes_any(UNTIL, |name| name.ends_with("lost")));
    }

    #[test]
    fn who_waits_for_a_write_to_be_cut_is_woken() {
        #[derive(Default)]
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let [first, last] = [(); 2].map(|()| Arc::new(Woken::default()));
        let ledger = a_ledger();
        let [lost, kept] = ["lost", "kept"].map(|name| ledger.begin(&name.into(), true).unwrap());
        let poll = |write, by: &Arc<Woken>| {
            ledger.poll_cut(write, &mut Context::from_waker(&by.clone().into()))
        };
        for (write, by) in [(lost, &first), (lost, &last), (kept, &first)] {
            assert_eq!(poll(write, by), Poll::Pending);
        }
        ledger.cut(|name| name == "lost");
        assert_eq!(
            [
                first.0.load(Ordering::Relaxed),
                last.0.load(Ordering::Relaxed)
            ],
            [0, 1]
        );
        assert_eq!(poll(lost, &last), Poll::Ready(()));
        assert_eq!(poll(kept, &first), Poll::Pending);
        ledger.end(lost, WriteEnd::Done);
        assert_eq!(poll(lost, &last), Poll::Pending, "it is over");
    }

    #[test]
    fn what_was_withheld_was_never_sent() {
        let ledger = a_ledger();
        let write = ledger.begin(&"a".into(), true).unwrap();
        assert!(ledger.send(write));
        ledger.withhold(write);
        assert!(!ledger.send(write));
        orphaned(&ledger, write);
        assert!(!ledger.is_writing(Moment::ZERO));
    }

    #[test]
    fn a_write_counts_from_its_last_look_on_or_from_the_start_if_there_is_none() {
        let ledger = a_ledger();
        let begin = |looked_at| ledger.begin(&"a".into(), looked_at).unwrap();
        orphaned(&ledger, begin(true));
        assert!(!ledger.is_writing(Moment::ZERO));
        orphaned(&ledger, begin(false));
        assert!(ledger.is_writing(Moment::ZERO));
    }

    #[test]
    fn nothing_goes_on_at_a_replica_that_was_killed() {
        let ledger = a_ledger();
        let begin = |name: &str| ledger.begin(&name.into(), true).unwrap();
        let [orphan, sent, later] = ["a", "b", "c"].map(begin);
        orphaned(&ledger, orphan);
        assert!(ledger.send(sent));
        ledger.doom();
        assert!(ledger.send(later), "to the replica that comes after");
        ledger.kill(true);
        // They see it later.
        orphaned(&ledger, sent);
        assert!(!ledger.writes_any(Moment::ZERO, |name| name != "c"));
        orphaned(&ledger, later);
        assert!(ledger.is_writing(Moment::ZERO));
    }

    #[test]
    fn a_replica_that_could_not_be_killed_goes_on() {
        let ledger = a_ledger();
        let sent = ledger.begin(&"a".into(), true).unwrap();
        assert!(ledger.send(sent));
        ledger.doom();
        ledger.kill(false);
        orphaned(&ledger, sent);
        assert!(ledger.is_writing(Moment::ZERO));
    }
}
