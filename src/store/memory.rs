//! A store in this process: for tests, and for trying.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    items: BTreeMap<Key, Item>,
    /// Of all items, so that the tag of one is never that of another.
    writings: u64,
}

/// The one of this name in this process: all members that name it agree over it.
pub(super) fn named(name: &str) -> Arc<Memory> {
    static NAMED: Mutex<BTreeMap<String, Arc<Memory>>> = Mutex::new(BTreeMap::new());
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.entry(name.to_owned()).or_default().clone()
}

impl Memory {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    fn place(&self) -> &str {
        "memory"
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble> {
        Ok(self.held().items.get(key).cloned())
    }

    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put {
        let mut held = self.held();
        let holds = match (held.items.get(key), expected) {
            (None, Expected::Absent) => true,
            (Some(there), Expected::Tag(tag)) => there.tag == *tag,
            (Some(_), Expected::Absent) | (None, Expected::Tag(_)) => false,
        };
        if !holds {
            return Put::Conflict;
        }
        held.writings += 1;
        let tag = Tag::new(held.writings.to_string());
        let item = Item {
            value: Bytes::copy_from_slice(value),
            tag: tag.clone(),
        };
        held.items.insert(key.clone(), item);
        Put::Done(tag)
    }

    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble> {
        let held = self.held();
        let keys = held.items.keys().filter(|key| below.is_above(key));
        Ok(keys.cloned().collect())
    }

    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble> {
        self.held().items.remove(probe.key());
        Ok(())
    }
}
