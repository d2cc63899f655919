//! A store proves at the start that its conditions hold: some take them and write all the same.
//!
//! What one client can see is seen here, on items that nobody else knows. That the store also holds its conditions
//! while it fails, or between its sites, is for its makers to promise.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Expected, Item, Key, ProbeKey, Put, Store, Trouble, TroubleKind, random_number};

/// So many write at once. A store that looks first and writes then is caught by chance, so they do it often.
const WRITERS: usize = 8;
/// So many items they all create.
const CREATED: usize = 3;
/// So often each of them changes one item.
const CHANGES: usize = 4;
/// So often it tries to, at most.
const ATTEMPTS: usize = 60;
/// So often a step is tried that has no clear end.
const TRIES: usize = 5;
/// Before a step is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Why leases cannot run on a store.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// It does what makes two writers of one. It will do so again.
    Faulty { place: String, fault: Fault },
    /// It is not made for it, by how it is set up.
    Misfit { place: String, why: String },
    /// It did not say. It may say so later.
    Untold {
        place: String,
        step: &'static str,
        trouble: Trouble,
    },
}

/// What a store does that none may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    CreatesOver,
    CreatesTwice,
    TakesForeignTag,
    TakesOldTag,
    TakesTagTwice,
    ReplacesNothing,
    RefusesWhatHolds,
    ReadsAnother,
    TagsDiffer,
    ListsNot,
}

/// Proves it, in a few hundred small calls.
///
/// # Errors
/// See [`Unproven`].
pub(crate) async fn prove(store: &Arc<dyn Store>) -> Result<(), Unproven> {
    let number = random_number().map_err(|trouble| Unproven::Untold {
        place: store.place().to_owned(),
        step: "naming items",
        trouble,
    })?;
    let proof = Proof {
        store: store.clone(),
        number,
        items: AtomicU32::new(0),
        values: AtomicU32::new(0),
    };
    let proved = proof.run().await;
    proof.clean_up().await;
    proved
}

struct Proof {
    store: Arc<dyn Store>,
    number: u128,
    /// How many items it has named.
    items: AtomicU32,
    /// How many values it has made. None is made twice: the same bytes may have the same tag.
    values: AtomicU32,
}

impl Proof {
    async fn run(&self) -> Result<(), Unproven> {
        let misfit = self.tried("asking how it is set up", || self.store.misfit());
        if let Some(why) = misfit.await? {
            let place = self.store.place().to_owned();
            return Err(Unproven::Misfit { place, why });
        }
        let (one, other) = (self.item(), self.item());
        let first = self.written(&one, &Expected::Absent).await?;
        let foreign = self.written(&other, &Expected::Absent).await?;
        self.refused(&one, &Expected::Absent, &first, Fault::CreatesOver)
            .await?;
        let of_other = Expected::Tag(foreign.tag);
        self.refused(&one, &of_other, &first, Fault::TakesForeignTag)
            .await?;
        let old = Expected::Tag(first.tag);
        let second = self.written(&one, &old).await?;
        self.refused(&one, &old, &second, Fault::TakesOldTag)
            .await?;
        self.listed(&one).await?;
        self.refused_where_nothing_is(&Expected::Tag(second.tag))
            .await?;
        for _ in 0..CREATED {
            self.created_once().await?;
        }
        self.changed_in_turn().await?;
        Ok(())
    }

    fn item(&self) -> ProbeKey {
        ProbeKey::new(self.number, self.items.fetch_add(1, Ordering::Relaxed))
    }

    fn value(&self) -> Vec<u8> {
        let count = self.values.fetch_add(1, Ordering::Relaxed);
        format!("{:032x} {count}", self.number).into_bytes()
    }

    /// Writes what has to be written, and reads it.
    async fn written(&self, probe: &ProbeKey, expected: &Expected) -> Result<Item, Unproven> {
        const STEP: &str = "writing an item";
        let mut trouble = never();
        let mut tried = Vec::new();
        for _ in 0..TRIES {
            let value = self.value();
            let put = self.store.put(probe.key(), expected, &value).await;
            tried.push(value.clone());
            let there = self.read(probe).await?;
            match (put, there) {
                (Put::Done(tag), Some(there)) if there.value == value => {
                    if there.tag == tag {
                        return Ok(there);
                    }
                    return Err(self.faulty(Fault::TagsDiffer));
                }
                (Put::Done(_), _) => return Err(self.faulty(Fault::ReadsAnother)),
                // By a try that did not learn of it.
                (Put::Conflict | Put::Unknown(_), Some(there))
                    if tried.iter().any(|value| there.value == *value) =>
                {
                    return Ok(there);
                }
                (Put::Conflict, _) => return Err(self.faulty(Fault::RefusesWhatHolds)),
                (Put::Unknown(why), _) => trouble = why,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.untold(STEP, trouble))
    }

    /// Tries to write what must not be written over what is there.
    async fn refused(
        &self,
        probe: &ProbeKey,
        expected: &Expected,
        there: &Item,
        fault: Fault,
    ) -> Result<(), Unproven> {
        const STEP: &str = "refusing a write whose condition does not hold";
        let mut trouble = never();
        for _ in 0..TRIES {
            let put = self.store.put(probe.key(), expected, &self.value()).await;
            if let Put::Done(_) = put {
                return Err(self.faulty(fault));
            }
            // Nobody else writes it.
            if self.read(probe).await?.as_ref() != Some(there) {
                return Err(self.faulty(fault));
            }
            match put {
                Put::Unknown(why) => trouble = why,
                Put::Done(_) | Put::Conflict => return Ok(()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.untold(STEP, trouble))
    }

    async fn refused_where_nothing_is(&self, expected: &Expected) -> Result<(), Unproven> {
        const STEP: &str = "refusing to replace what is not there";
        let probe = self.item();
        let mut trouble = never();
        for _ in 0..TRIES {
            let put = self.store.put(probe.key(), expected, &self.value()).await;
            if matches!(put, Put::Done(_)) || self.read(&probe).await?.is_some() {
                return Err(self.faulty(Fault::ReplacesNothing));
            }
            match put {
                Put::Unknown(why) => trouble = why,
                Put::Done(_) | Put::Conflict => return Ok(()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.untold(STEP, trouble))
    }

    async fn listed(&self, probe: &ProbeKey) -> Result<(), Unproven> {
        let folder = ProbeKey::folder();
        let keys = self.tried("listing items", || self.store.list(&folder));
        match keys.await?.contains(probe.key()) {
            true => Ok(()),
            false => Err(self.faulty(Fault::ListsNot)),
        }
    }

    /// Of many that create one item at once, one does.
    async fn created_once(&self) -> Result<(), Unproven> {
        const STEP: &str = "deciding between writes at the same time";
        let probe = self.item();
        let mut trouble = None;
        for _ in 0..TRIES {
            let mut writers = JoinSet::new();
            for _ in 0..WRITERS {
                let (store, key, value) = (self.store.clone(), probe.key().clone(), self.value());
                writers.spawn(
                    async move { (store.put(&key, &Expected::Absent, &value).await, value) },
                );
            }
            let mut winners = Vec::new();
            for (put, value) in writers.join_all().await {
                match put {
                    Put::Done(tag) => winners.push(Item {
                        value: value.into(),
                        tag,
                    }),
                    Put::Conflict => {}
                    Put::Unknown(why) => trouble = Some(why),
                }
            }
            match (winners.as_slice(), self.read(&probe).await?) {
                ([], None) if trouble.is_none() => {
                    return Err(self.faulty(Fault::RefusesWhatHolds));
                }
                ([], None) => {}
                // By one that did not learn of it.
                ([], Some(_)) => return Ok(()),
                ([winner], Some(there)) if *winner == there => return Ok(()),
                ([_, ..], _) => return Err(self.faulty(Fault::CreatesTwice)),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.untold(STEP, trouble.unwrap_or_else(never)))
    }

    /// Many add one to the same item, again and again: each change that they are told of has to be in what is there
    /// at the end.
    async fn changed_in_turn(&self) -> Result<(), Unproven> {
        const STEP: &str = "changing an item, many at the same time";
        let probe = self.item();
        let first = self.written(&probe, &Expected::Absent).await?;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, key) = (self.store.clone(), probe.key().clone());
            writers.spawn(async move { add(&*store, &key, writer).await });
        }
        let (mut told, mut trouble) = (0, None);
        for (done, why) in writers.join_all().await {
            told += done;
            trouble = why.or(trouble);
        }
        let there = self.read(&probe).await?;
        let sum = there.map_or(0, |there| sum_of(&there));
        if sum.saturating_sub(sum_of(&first)) < told {
            return Err(self.faulty(Fault::TakesTagTwice));
        }
        if told == 0 {
            return Err(self.untold(STEP, trouble.unwrap_or_else(never)));
        }
        Ok(())
    }

    async fn read(&self, probe: &ProbeKey) -> Result<Option<Item>, Unproven> {
        self.tried("reading an item", || self.store.get(probe.key()))
            .await
    }

    async fn tried<T, F>(&self, step: &'static str, ask: impl Fn() -> F) -> Result<T, Unproven>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut trouble = never();
        for _ in 0..TRIES {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(why) => trouble = why,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.untold(step, trouble))
    }

    async fn clean_up(&self) {
        for of in 0..self.items.load(Ordering::Relaxed) {
            let probe = ProbeKey::new(self.number, of);
            if let Err(error) = self.store.forget(&probe).await {
                let place = self.store.place();
                tracing::debug!(%error, "{place} keeps the items of a proof: they can be removed");
                return;
            }
        }
    }

    fn faulty(&self, fault: Fault) -> Unproven {
        Unproven::Faulty {
            place: self.store.place().to_owned(),
            fault,
        }
    }

    fn untold(&self, step: &'static str, trouble: Trouble) -> Unproven {
        Unproven::Untold {
            place: self.store.place().to_owned(),
            step,
            trouble,
        }
    }
}

/// Adds one until it was told [`CHANGES`] times that it has. Returns how often it was, and what else it was told.
async fn add(store: &dyn Store, key: &Key, writer: usize) -> (usize, Option<Trouble>) {
    let (mut done, mut trouble) = (0, None);
    for attempt in 0..ATTEMPTS {
        let put = match store.get(key).await {
            Ok(Some(there)) => {
                // No two values are the same: those could have the same tag.
                let value = format!("{writer} {attempt} {}", sum_of(&there) + 1);
                let expected = Expected::Tag(there.tag);
                store.put(key, &expected, value.as_bytes()).await
            }
            Ok(None) => Put::Conflict,
            Err(why) => Put::Unknown(why),
        };
        match put {
            Put::Done(_) => done += 1,
            Put::Conflict => {}
            Put::Unknown(why) => {
                trouble = Some(why);
                tokio::time::sleep(PAUSE).await;
            }
        }
        if done == CHANGES {
            break;
        }
    }
    (done, trouble)
}

/// The number behind the last space.
fn sum_of(item: &Item) -> usize {
    let text = str::from_utf8(&item.value).unwrap_or_default();
    let count = text.rsplit(' ').next();
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn never() -> Trouble {
    Trouble::new(TroubleKind::Odd, "nothing was tried")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TAKEN: &str = "takes a write whose condition does not hold";
        let what = match self {
            Self::CreatesOver => "it creates an item that is there already",
            Self::CreatesTwice => {
                "of many that create one item at once, more than one is told that it did"
            }
            Self::TakesForeignTag => "it replaces an item by the tag of another item",
            Self::TakesOldTag => "it replaces an item by a tag that the item no longer has",
            Self::TakesTagTwice => {
                "of many that replace one writing at once, more than one is told that it did"
            }
            Self::ReplacesNothing => "it replaces an item that is not there",
            Self::RefusesWhatHolds => return f.write_str("refuses a write whose condition holds"),
            Self::ReadsAnother => return f.write_str("does not read what was written last"),
            Self::TagsDiffer => {
                return f
                    .write_str("tells another tag when an item is read than when it was written");
            }
            Self::ListsNot => {
                return f.write_str("does not list an item that has just been written");
            }
        };
        write!(f, "{TAKEN}: {what}")
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulty { place, fault } => write!(
                f,
                "the store {place} {fault}. Two members could write one repository, so leases do not run on it: name a \
                 store that holds its conditions"
            ),
            Self::Misfit { place, why } => {
                write!(f, "the store {place} cannot keep leases: it {why}")
            }
            Self::Untold {
                place,
                step,
                trouble,
            } => write!(
                f,
                "the store {place} has not proved that its conditions hold ({step}: {trouble}): leases wait until it has"
            ),
        }
    }
}

impl std::error::Error for Unproven {}
