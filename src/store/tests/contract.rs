//! What every store does, whatever it is made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::store::memory::Memory;
use crate::store::prove::prove;
use crate::store::{Expected, Item, Key, Put, Store, Tag};

/// So many write at once.
const WRITERS: usize = 8;
/// So often each of them adds one to the same item.
const ADDS: usize = 5;

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps(Arc::new(Memory::default())).await;
}

/// All of it.
pub(super) async fn keeps(store: Arc<dyn Store>) {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    // A store of its own may have the items of other runs.
    let folder: Key = format!("contract/{:016x}", u64::from_ne_bytes(random))
        .parse()
        .unwrap();
    let key = |name: &str| folder.child(name).unwrap();
    reads_what_was_written(&*store, &key("a")).await;
    refuses_what_does_not_hold(&*store, &key("b"), &key("c"), &key("d")).await;
    lists_what_is_below(&*store, &folder).await;
    one_of_many_creates(&store, &key("e")).await;
    loses_no_change(&store, &key("f")).await;
    prove(&store).await.unwrap();
}

pub(super) async fn written(
    store: &dyn Store,
    key: &Key,
    expected: &Expected,
    value: &[u8],
) -> Tag {
    match store.put(key, expected, value).await {
        Put::Done(tag) => tag,
        other @ (Put::Conflict | Put::Unknown(_)) => panic!("{key}: {other:?}"),
    }
}

pub(super) async fn read(store: &dyn Store, key: &Key) -> Option<Item> {
    store.get(key).await.unwrap()
}

async fn reads_what_was_written(store: &dyn Store, key: &Key) {
    assert_eq!(read(store, key).await, None);
    let all: Vec<u8> = (0..=255).collect();
    let long = all.repeat(400);
    let mut expected = Expected::Absent;
    for value in [&b"{}"[..], &all, &long, b"\r\n<Error>", b""] {
        let tag = written(store, key, &expected, value).await;
        let there = read(store, key).await.unwrap();
        assert_eq!(there.value, value);
        assert_eq!(there.tag, tag);
        expected = Expected::Tag(tag);
    }
}

async fn refuses_what_does_not_hold(store: &dyn Store, key: &Key, other: &Key, none: &Key) {
    let first = written(store, key, &Expected::Absent, b"1").await;
    let foreign = written(store, other, &Expected::Absent, b"2").await;
    let second = written(store, key, &Expected::Tag(first.clone()), b"3").await;
    assert_ne!(first, second);
    for expected in [
        Expected::Absent,
        Expected::Tag(first.clone()),
        Expected::Tag(foreign),
    ] {
        let put = store.put(key, &expected, b"4").await;
        assert!(matches!(put, Put::Conflict), "{expected:?}: {put:?}");
    }
    let there = read(store, key).await.unwrap();
    assert_eq!((&*there.value, there.tag), (&b"3"[..], second.clone()));
    let put = store.put(none, &Expected::Tag(second), b"5").await;
    assert!(matches!(put, Put::Conflict), "{put:?}");
    assert_eq!(read(store, none).await, None);
}

async fn lists_what_is_below(store: &dyn Store, folder: &Key) {
    let below = folder.child("list").unwrap();
    assert_eq!(store.list(&below).await.unwrap(), []);
    let names = ["zot-1", "zot-1.example", "zot_2", "0/deep"];
    let keys: BTreeSet<Key> = names
        .iter()
        .map(|name| format!("{below}/{name}").parse().unwrap())
        .collect();
    for key in &keys {
        written(store, key, &Expected::Absent, b"{}").await;
    }
    let beside = folder.child("list2").unwrap();
    written(store, &beside.child("a").unwrap(), &Expected::Absent, b"{}").await;
    let listed = store.list(&below).await.unwrap();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), keys);
    assert_eq!(listed.len(), keys.len());
}

async fn one_of_many_creates(store: &Arc<dyn Store>, key: &Key) {
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let (store, key) = (store.clone(), key.clone());
        writers.spawn(async move {
            let value = number.to_string();
            let put = store.put(&key, &Expected::Absent, value.as_bytes()).await;
            matches!(put, Put::Done(_)).then_some(value)
        });
    }
    let winners: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    let [winner] = winners.as_slice() else {
        panic!("{} of {WRITERS} created {key}", winners.len());
    };
    assert_eq!(read(&**store, key).await.unwrap().value, winner.as_bytes());
}

/// Each change is made to what was read, by whoever was first.
async fn loses_no_change(store: &Arc<dyn Store>, key: &Key) {
    written(&**store, key, &Expected::Absent, b"0").await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, key) = (store.clone(), key.clone());
        writers.spawn(async move {
            for _ in 0..ADDS {
                add(&*store, &key).await;
            }
        });
    }
    writers.join_all().await;
    let there = read(&**store, key).await.unwrap();
    assert_eq!(there.value, (WRITERS * ADDS).to_string().as_bytes());
}

async fn add(store: &dyn Store, key: &Key) {
    loop {
        let there = read(store, key).await.unwrap();
        let count: usize = str::from_utf8(&there.value).unwrap().parse().unwrap();
        let more = (count + 1).to_string();
        let put = store
            .put(key, &Expected::Tag(there.tag), more.as_bytes())
            .await;
        match put {
            Put::Done(_) => return,
            Put::Conflict => {}
            Put::Unknown(why) => panic!("{why}"),
        }
    }
}
