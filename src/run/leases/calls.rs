//! The rules' calls, as the store takes them: one attempt each, given up when its time is over.

use std::sync::Arc;

use tokio::time::timeout;

use crate::shard::leases::record::{Lease, ViewRecord};
use crate::shard::leases::{Answer, Call, Condition, Tag};
use crate::store::{self, Expected, Item, Key, KeyError, Put, Store, Trouble};

/// Names of items. Member ids are names too.
const VIEW: &str = "view";
const LEASES: &str = "lease";

/// What came of a call, and what was wrong with the store if something was.
pub(crate) async fn carried_out(
    store: Arc<dyn Store>,
    call: Call,
) -> (Answer, Result<(), Trouble>) {
    // A panic in a store's client is an answer as well: the rules wait for one to every call.
    let made = tokio::spawn(async move { timeout(store::CALL, make(&*store, call)).await });
    let trouble = match made.await {
        Ok(Ok(made)) => return made,
        Ok(Err(_)) => Trouble::slow(),
        Err(_) => Trouble::odd("its client failed: please report what the log says of a panic"),
    };
    (Answer::Unknown, Err(trouble))
}

async fn make(store: &dyn Store, call: Call) -> (Answer, Result<(), Trouble>) {
    let key = match key_of(&call) {
        Ok(key) => key,
        Err(error) => return (Answer::Unknown, Err(Trouble::odd(error.to_string()))),
    };
    match call {
        Call::ReadView => read(store, &key, ViewRecord::from_bytes, Answer::View).await,
        Call::ReadLease(_) => read(store, &key, Lease::from_bytes, Answer::Lease).await,
        Call::PutView(condition, record) => write(store, &key, condition, record.to_bytes()).await,
        Call::PutLease(condition, lease) => write(store, &key, condition, lease.to_bytes()).await,
        Call::List => match store.list(&key).await {
            Ok(keys) => {
                let ids = keys.iter().filter_map(|key| key.name().parse().ok());
                (Answer::Listed(ids.collect()), Ok(()))
            }
            Err(trouble) => (Answer::Unknown, Err(trouble)),
        },
    }
}

fn key_of(call: &Call) -> Result<Key, KeyError> {
    match call {
        Call::ReadView | Call::PutView(..) => VIEW.parse(),
        Call::List => LEASES.parse(),
        Call::ReadLease(id) => LEASES.parse::<Key>()?.child(id.as_str()),
        Call::PutLease(_, lease) => LEASES.parse::<Key>()?.child(lease.id.as_str()),
    }
}

async fn read<T, E: std::fmt::Display>(
    store: &dyn Store,
    key: &Key,
    parse: impl Fn(&[u8]) -> Result<T, E>,
    answer: impl Fn(Option<(T, Tag)>) -> Answer,
) -> (Answer, Result<(), Trouble>) {
    match store.get(key).await {
        Ok(None) => (answer(None), Ok(())),
        Ok(Some(Item { value, tag })) => match parse(&value) {
            Ok(record) => (answer(Some((record, Tag(tag.as_str().into())))), Ok(())),
            Err(error) => (
                Answer::Unreadable,
                Err(Trouble::odd(format!("{key} of {}: {error}", store.place()))),
            ),
        },
        Err(trouble) => (Answer::Unknown, Err(trouble)),
    }
}

async fn write<E: std::fmt::Display>(
    store: &dyn Store,
    key: &Key,
    condition: Condition,
    value: Result<Vec<u8>, E>,
) -> (Answer, Result<(), Trouble>) {
    let value = match value {
        Ok(value) => value,
        Err(error) => return (Answer::Unknown, Err(Trouble::odd(error.to_string()))),
    };
    let expected = match condition {
        Condition::Absent => Expected::Absent,
        Condition::Unchanged(Tag(tag)) => Expected::Tag(store::Tag::new(tag)),
        #[cfg(test)]
        Condition::Always => return (Answer::Unknown, Err(Trouble::odd("never asked for"))),
    };
    match store.put(key, &expected, &value).await {
        Put::Done(tag) => (Answer::Done(Tag(tag.as_str().into())), Ok(())),
        Put::Conflict => (Answer::Conflict, Ok(())),
        Put::Unknown(trouble) => (Answer::Unknown, Err(trouble)),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::store::ProbeKey;

    /// Its client does not survive a call.
    #[derive(Debug)]
    struct Broken;

    #[async_trait]
    impl Store for Broken {
        fn place(&self) -> &str {
            "broken"
        }

        async fn get(&self, _: &Key) -> Result<Option<Item>, Trouble> {
            panic!("on purpose")
        }

        async fn put(&self, _: &Key, _: &Expected, _: &[u8]) -> Put {
            panic!("on purpose")
        }

        async fn list(&self, _: &Key) -> Result<Vec<Key>, Trouble> {
            panic!("on purpose")
        }

        async fn forget(&self, _: &ProbeKey) -> Result<(), Trouble> {
            panic!("on purpose")
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_of_which_nothing_is_known() {
        for call in [Call::ReadView, Call::List] {
            let (answer, told) = carried_out(Arc::new(Broken), call).await;
            assert!(matches!(answer, Answer::Unknown), "{answer:?}");
            assert!(told.unwrap_err().to_string().contains("its client failed"));
        }
    }
}
