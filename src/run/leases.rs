//! Drives the rules of leases: keeps the time, calls the store, and carries out what they say.
//!
//! One task steps them, one event after the other. What they publish is read by requests before anything
//! else that follows from the same step is done.

mod calls;
mod kill;
mod opened;
mod show;

pub(crate) use calls::carried_out;
pub(super) use opened::Leased;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::reload::Reloader;
use crate::member::leases::{Leases, News};
use crate::member::state::State;
use crate::member::state_folder::StateFolder;
use crate::member::writes::Writes;
use crate::shard::leases::record::ViewRecord;
use crate::shard::leases::{
    Answer, CallId, Change, Coordinator, Departure, Effect, Event, Layout, Moment, Phase, UnderWay,
};
use crate::shard::{MemberId, Repository};
use crate::store::{Store, Trouble, Unproven, prove};
use kill::ReplicaKill;

/// How often the rules see the time pass.
const TICK: Duration = Duration::from_millis(100);
/// Before a store is asked again to prove itself.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Driver {
    state: Arc<State>,
    leases: Arc<Leases>,
    reloader: Arc<Reloader>,
    store: Arc<dyn Store>,
    kill: Option<ReplicaKill>,
    coordinator: Coordinator,
    us: MemberId,
    /// Members that worked by a file, and were not seen with a lease yet.
    listed: BTreeSet<MemberId>,
    /// Members that work by other rules, as far as peers have told.
    differing: BTreeSet<MemberId>,
    calls: JoinSet<(CallId, Answer, Result<(), Trouble>)>,
    kills: JoinSet<()>,
    next: VecDeque<Event>,
    /// The view that is to be put in force, and why it could not be.
    layout: Option<Arc<Layout>>,
    unadopted: Option<String>,
    epoch: u64,
    /// What went wrong with the last call, if something did.
    trouble: Option<String>,
    /// The view that was put in force last, and how that and those before it came about.
    known: Option<ViewRecord>,
    history: VecDeque<(SystemTime, Change)>,
    _folder: Option<StateFolder>,
}

/// Writes under way here, as the rules ask for them.
struct Counted<'a> {
    writes: &'a Writes,
    us: &'a MemberId,
}

impl UnderWay for Counted<'_> {
    // By the clock of the ledgers, which stands still while the machine sleeps: so they count for longer.
    fn any(&self, _: Moment) -> bool {
        self.writes.are_under_way()
    }

    fn lost_by(&self, layout: &Layout, _: Moment) -> bool {
        let now = self.writes.now();
        let ledgers = self.writes.ledgers();
        let mut ledgers = ledgers.iter();
        ledgers.any(|ledger| ledger.writes_any(now, |name| is_lost(name, layout, self.us)))
    }
}

fn is_lost(name: &str, layout: &Layout, us: &MemberId) -> bool {
    let repository = Repository::parse(name);
    repository.is_ok_and(|repository| layout.owner(&repository).0 != us)
}

impl Driver {
    /// For ever.
    pub(super) async fn run(mut self) {
        if !self.is_proven().await {
            return std::future::pending().await;
        }
        for member in &self.listed {
            self.next.push_back(Event::Differs(member.clone()));
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(event) = self.next.pop_front() {
                self.step(event);
            }
            tokio::select! {
                Some(answered) = self.calls.join_next() => self.take_answer(answered),
                Some(_) = self.kills.join_next() => self.next.push_back(Event::Tick),
                () = self.leases.has_news() => {
                    let news = self.leases.take_news();
                    self.note_differing(&news);
                    self.next.extend(events(news));
                }
                _ = ticks.tick() => {
                    self.adopt();
                    self.next.push_back(Event::Tick);
                }
            }
        }
    }

    fn note_differing(&mut self, news: &News) {
        for (member, differs) in &news.differ {
            if *differs {
                self.differing.insert(member.clone());
            } else {
                self.differing.remove(member);
            }
        }
    }

    /// Whether leases can be kept in the store. Asks until it tells.
    async fn is_proven(&mut self) -> bool {
        loop {
            match prove(&self.store).await {
                Ok(()) => {
                    self.trouble = None;
                    self.leases.begin();
                    return true;
                }
                Err(unproven @ (Unproven::Faulty { .. } | Unproven::Misfit { .. })) => {
                    tracing::error!("{unproven}: nothing is written by this member");
                    self.trouble = Some(unproven.to_string());
                    self.show();
                    return false;
                }
                Err(unproven @ Unproven::Untold { .. }) => {
                    tracing::warn!("{unproven}: writes wait until it can be asked");
                    self.trouble = Some(unproven.to_string());
                    self.show();
                    sleep(AGAIN).await;
                }
            }
        }
    }

    fn step(&mut self, event: Event) {
        let counted = Counted {
            writes: &self.state.writes,
            us: &self.us,
        };
        let clock = self.leases.now();
        let may_show = matches!(
            event,
            Event::Answered { .. } | Event::Adopted(_) | Event::Wishes(_) | Event::Go(_)
        );
        let effects = self.coordinator.step(event, clock, &counted);
        let mut is_new = false;
        for effect in &effects {
            if let Effect::Publish(snapshot) = effect {
                self.leases.publish(snapshot.clone());
                is_new = true;
            }
        }
        for effect in effects {
            self.carry_out(effect);
        }
        if let Phase::Frozen(_) = self.coordinator.phase() {
            self.leases.has_gone(Departure::Park);
        }
        if is_new || may_show {
            self.show();
        }
        if is_new {
            self.state.rules_changed();
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(_) => {}
            Effect::Call(id, call) => {
                let store = self.store.clone();
                self.calls.spawn(async move {
                    let (answer, trouble) = carried_out(store, call).await;
                    (id, answer, trouble)
                });
            }
            Effect::Adopt(layout) => {
                self.layout = Some(layout);
                self.adopt();
            }
            Effect::CutLost(layout) => self.cut(|name| is_lost(name, &layout, &self.us)),
            Effect::CutAll => self.cut(|_| true),
            Effect::KillReplica => self.kill_replica(),
            Effect::Poke => self.state.generation().tell_change(),
            Effect::Gone(departure) => self.leases.has_gone(departure),
            Effect::Note(note) => self.log(&note),
        }
    }

    /// Puts the view in force that is to be, unless that has failed just now.
    fn adopt(&mut self) {
        let Some(layout) = self.layout.take() else {
            return;
        };
        match self.reloader.adopt(layout.view(), layout.epoch().0) {
            Ok(()) => {
                self.agree(&layout);
                self.epoch = layout.epoch().0;
                self.keep_change();
                self.state.metrics.view_epoch(self.epoch);
                self.next.push_back(Event::Adopted(layout.epoch()));
            }
            Err(error) => {
                if self.unadopted.as_ref() != Some(&error) {
                    tracing::error!(%error, "the view of the store cannot be put in force: trying again");
                    self.unadopted = Some(error);
                }
                self.layout = Some(layout);
            }
        }
    }

    /// Who was listed in a file and has a lease now works by it; who works by other rules and is no
    /// member is of no concern.
    fn agree(&mut self, layout: &Layout) {
        let is_member =
            |id: &MemberId| layout.view().members().owners().any(|(_, at)| at.id == *id);
        self.leases.keep_hearsay(is_member);
        let agreeing: Vec<_> = self.listed.extract_if(.., |id| is_member(id)).collect();
        let listed = &self.listed;
        let gone = self
            .differing
            .extract_if(.., |id| !is_member(id) && !listed.contains(id));
        self.next
            .extend(agreeing.into_iter().chain(gone).map(Event::Agrees));
    }

    fn cut(&self, is_lost: impl Fn(&str) -> bool) {
        for ledger in self.state.writes.ledgers() {
            ledger.cut(&is_lost);
        }
    }

    fn kill_replica(&mut self) {
        if let (Some(kill), true) = (&self.kill, self.kills.is_empty()) {
            tracing::warn!("the replica is killed: it may be working on what others may write");
            let kill = kill.clone();
            // Those of another address that it had are another replica's.
            let in_use = self.state.writes.snapshot().replica().clone();
            let mut doomed = self.state.writes.ledgers();
            doomed.retain(|ledger| *ledger.replica() == in_use);
            doomed.iter().for_each(|ledger| ledger.doom());
            self.kills.spawn(async move {
                let is_dead = kill.run().await;
                doomed.iter().for_each(|ledger| ledger.kill(is_dead));
            });
        }
    }

    fn take_answer(
        &mut self,
        answered: Result<(CallId, Answer, Result<(), Trouble>), tokio::task::JoinError>,
    ) {
        // What may panic in it is caught, and nobody aborts them.
        let Ok((call, answer, told)) = answered else {
            return;
        };
        let result = told
            .as_ref()
            .err()
            .map_or("ok", |trouble| trouble.kind.name());
        self.state.metrics.store_called(result);
        let trouble = told.err().map(|trouble| trouble.to_string());
        if trouble != self.trouble {
            match &trouble {
                Some(trouble) => {
                    tracing::warn!(%trouble, "the store of leases did not do what it was asked")
                }
                None => tracing::info!("the store of leases answers again"),
            }
            self.trouble = trouble;
            self.show();
        }
        self.next.push_back(Event::Answered { call, answer });
    }
}

/// The news as the rules hear them.
fn events(news: News) -> impl Iterator<Item = Event> {
    let News {
        poked,
        wanted,
        up,
        differ,
        wishes,
        go,
    } = news;
    let up = up.into_iter().map(|(member, is_up)| match is_up {
        true => Event::Up(member),
        false => Event::Down(member),
    });
    let differ = differ.into_iter().map(|(member, differs)| match differs {
        true => Event::Differs(member),
        false => Event::Agrees(member),
    });
    let poked = poked.then_some(Event::Poked);
    let wishes = wishes.map(Event::Wishes);
    let go = go.map(Event::Go);
    let wanted = wanted.into_iter().map(Event::Wanted);
    let told = up.chain(differ).chain(wanted).chain(poked);
    told.chain(wishes).chain(go)
}
