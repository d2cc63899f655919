//! A store that does to each call what a test says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::store::memory::Memory;
use crate::store::{Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble, TroubleKind};

/// A call that comes.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Get,
    Put(Expected),
    List,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Honest,
    /// Honest, so long after it came.
    Late(Duration),
    /// Not done, and that is not told.
    Lost,
    /// Done, and that is not told.
    Untold,
    /// Not done, as if its condition did not hold.
    Conflict,
    /// Done, whatever its condition.
    Lie,
    /// Looks whether the condition holds, and writes then, whatever has come between.
    LooksFirst,
    /// Reads what was there before the last writing, or lists nothing.
    Stale,
    /// Reads with another tag than it was written with.
    OtherTag,
}

/// Honest but for its mood, which is asked for at each call.
pub(crate) struct Unruly {
    inner: Arc<dyn Store>,
    mood: Box<dyn Fn(&Call) -> Mood + Send + Sync>,
    before: Mutex<HashMap<Key, Option<Item>>>,
}

impl Unruly {
    pub(crate) fn new(mood: impl Fn(&Call) -> Mood + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Memory::default()),
            mood: Box::new(mood),
            before: Mutex::default(),
        }
    }

    async fn mood(&self, call: &Call) -> Result<Mood, Trouble> {
        let mood = (self.mood)(call);
        if let Mood::Late(wait) = mood {
            tokio::time::sleep(wait).await;
        }
        if mood == Mood::Lost {
            return Err(untold());
        }
        Ok(mood)
    }

    /// Writes, whatever is there.
    async fn force(&self, key: &Key, value: &[u8]) -> Put {
        loop {
            let expected = match self.inner.get(key).await {
                Ok(Some(there)) => Expected::Tag(there.tag),
                Ok(None) => Expected::Absent,
                Err(trouble) => return Put::Unknown(trouble),
            };
            match self.inner.put(key, &expected, value).await {
                Put::Conflict => {}
                ended @ (Put::Done(_) | Put::Unknown(_)) => return ended,
            }
        }
    }

    async fn holds(&self, key: &Key, expected: &Expected) -> bool {
        let there = self.inner.get(key).await.unwrap();
        match expected {
            Expected::Absent => there.is_none(),
            Expected::Tag(tag) => there.is_some_and(|there| there.tag == *tag),
        }
    }
}

#[async_trait]
impl Store for Unruly {
    fn place(&self) -> &str {
        "unruly"
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble> {
        let mood = self.mood(&Call::Get).await?;
        if mood == Mood::Stale {
            return Ok(self.before.lock().unwrap().get(key).cloned().flatten());
        }
        let there = self.inner.get(key).await?;
        if mood == Mood::Untold {
            return Err(untold());
        }
        if mood == Mood::OtherTag {
            return Ok(there.map(|there| Item {
                tag: Tag::new(format!("W/{}", there.tag.as_str())),
                ..there
            }));
        }
        Ok(there)
    }

    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put {
        let call = Call::Put(expected.clone());
        let mood = match self.mood(&call).await {
            Ok(mood) => mood,
            Err(trouble) => return Put::Unknown(trouble),
        };
        if mood == Mood::Conflict {
            return Put::Conflict;
        }
        let before = self.inner.get(key).await.unwrap();
        let ended = if mood == Mood::Lie {
            self.force(key, value).await
        } else if mood == Mood::LooksFirst {
            let holds = self.holds(key, expected).await;
            tokio::task::yield_now().await;
            if !holds {
                return Put::Conflict;
            }
            self.force(key, value).await
        } else {
            self.inner.put(key, expected, value).await
        };
        if let Put::Done(_) = ended {
            self.before.lock().unwrap().insert(key.clone(), before);
        }
        if mood == Mood::Untold {
            return Put::Unknown(untold());
        }
        ended
    }

    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble> {
        let mood = self.mood(&Call::List).await?;
        if mood == Mood::Untold {
            return Err(untold());
        }
        if mood == Mood::Stale {
            return Ok(Vec::new());
        }
        self.inner.list(below).await
    }

    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble> {
        self.inner.forget(probe).await
    }
}

impl fmt::Debug for Unruly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unruly")
    }
}

fn untold() -> Trouble {
    Trouble::new(TroubleKind::Slow, "no answer in time")
}
