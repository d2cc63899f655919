//! Kubernetes over HTTP: the contract against a stand-in that holds its conditions, and what each answer is taken for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::contract;
use super::server::{Reply, Request, Server};
use crate::config::KubernetesSettings;
use crate::store::kubernetes::Kubernetes;
use crate::store::{Expected, Key, Put, Store, Tag, TroubleKind};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/registry/leases";

/// What the cluster puts into a pod.
fn account() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("namespace"), "registry").unwrap();
    std::fs::write(folder.path().join("token"), "first\n").unwrap();
    folder
}

fn store(url: &str, account: &Path) -> Kubernetes {
    let settings = KubernetesSettings {
        fleet: "fleet".to_owned(),
        namespace: None,
    };
    Kubernetes::at(&url.parse().unwrap(), account, &settings).unwrap()
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn error(status: u16, reason: &str) -> Reply {
    let body = json!({ "kind": "Status", "status": "Failure", "reason": reason, "message": "m" });
    Reply::new(status, body.to_string())
}

/// What the API server does.
#[derive(Default)]
struct Cluster {
    held: Mutex<(u64, BTreeMap<String, Value>)>,
}

impl Cluster {
    fn answer(&self, request: &Request) -> Reply {
        if request.field("authorization") != Some("Bearer first") {
            return error(401, "Unauthorized");
        }
        let name = request.path.strip_prefix(PATH).unwrap();
        let name = name.strip_prefix('/').unwrap_or(name).to_owned();
        let mut held = self.held.lock().unwrap();
        let (count, objects) = &mut *held;
        let there = objects.get(&name).cloned();
        let mut object: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match &*request.method {
            "GET" if name.is_empty() => list(objects, &request.query),
            "GET" => match there {
                Some(there) => Reply::new(200, there.to_string()),
                None => error(404, "NotFound"),
            },
            "DELETE" => {
                objects.remove(&name);
                Reply::new(200, "{}")
            }
            "POST" | "PUT" => {
                let named = object["metadata"]["name"].as_str().unwrap().to_owned();
                assert!(
                    named.len() <= 253 && (name.is_empty() || named == name),
                    "{named}"
                );
                let fit =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                assert!(named.bytes().all(fit), "{named}");
                let is_new = request.method == "POST";
                let version = &object["metadata"]["resourceVersion"];
                if is_new && objects.contains_key(&named) {
                    return error(409, "AlreadyExists");
                }
                if !is_new {
                    let Some(there) = there else {
                        return error(404, "NotFound");
                    };
                    if *version != there["metadata"]["resourceVersion"] {
                        return error(409, "Conflict");
                    }
                }
                *count += 1;
                object["metadata"]["resourceVersion"] = json!(count.to_string());
                objects.insert(named, object.clone());
                Reply::new(if is_new { 201 } else { 200 }, object.to_string())
            }
            other => panic!("{other}"),
        }
    }
}

/// Two objects a page.
fn list(objects: &BTreeMap<String, Value>, query: &str) -> Reply {
    let mut parts = query.split('&').filter_map(|part| part.split_once('='));
    assert_eq!(
        parts.next(),
        Some(("labelSelector", "shardlet.io%2Ffleet%3Dfleet"))
    );
    let from = parts.find(|(name, _)| *name == "continue").unwrap().1;
    let from = from.replace("%3D", "=");
    let names: Vec<&String> = objects.keys().filter(|name| **name > from).collect();
    let items: Vec<&Value> = names.iter().take(2).map(|name| &objects[*name]).collect();
    let mut metadata = json!({});
    if names.len() > 2 {
        // Tokens have what has to be escaped; behind every name it is still before the next.
        metadata = json!({ "continue": format!("{}=", names[1]) });
    }
    Reply::new(
        200,
        json!({ "metadata": metadata, "items": items }).to_string(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_keeps_the_contract() {
    let (cluster, account) = (Cluster::default(), account());
    let server = Server::start(move |request| cluster.answer(request)).await;
    contract::keeps(Arc::new(store(&server.url, account.path()))).await;
}

#[tokio::test]
async fn only_what_is_certain_is_a_conflict() {
    for (reply, absent, replaced) in [
        (error(409, "AlreadyExists"), true, false),
        (error(409, "Conflict"), false, true),
        (error(404, "NotFound"), false, true),
        (Reply::new(404, "404 page not found"), false, false),
        (Reply::new(409, ""), false, false),
        (error(403, "Forbidden"), false, false),
        (error(422, "Invalid"), false, false),
        (error(429, "TooManyRequests"), false, false),
        (error(500, "InternalError"), false, false),
        (error(504, "Timeout"), false, false),
        (Reply::new(200, "{}"), false, false),
        (Reply::Silence, false, false),
        (Reply::End, false, false),
    ] {
        let (told, account) = (format!("{reply:?}"), account());
        let server = Server::start(move |_| reply.clone()).await;
        let store = store(&server.url, account.path());
        let tagged = Expected::Tag(Tag::new("1"));
        for (expected, conflicts) in [(Expected::Absent, absent), (tagged, replaced)] {
            let ended = store.put(&key("view"), &expected, b"{}").await;
            assert_eq!(
                matches!(ended, Put::Conflict),
                conflicts,
                "{told}: {ended:?}"
            );
            assert!(!matches!(ended, Put::Done(_)), "{told}: {ended:?}");
        }
        assert_eq!(server.asked.lock().unwrap().len(), 2, "{told}: tried again");
    }
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again_and_never_told() {
    let (cluster, account) = (Cluster::default(), account());
    let server = Server::start(move |request| cluster.answer(request)).await;
    let store = store(&server.url, account.path());
    assert_eq!(store.get(&key("view")).await.unwrap(), None);
    std::fs::write(account.path().join("token"), "second").unwrap();
    let refused = store.get(&key("view")).await.unwrap_err();
    assert_eq!(server.last().field("authorization"), Some("Bearer second"));
    assert_eq!(
        (refused.kind, &*refused.to_string()),
        (TroubleKind::Refused, "it answered 401 Unauthorized")
    );
    std::fs::remove_file(account.path().join("token")).unwrap();
    let refused = store.get(&key("view")).await.unwrap_err();
    assert!(
        refused.to_string().contains("the service account's token"),
        "{refused}"
    );
}

#[tokio::test]
async fn another_keys_object_is_no_item() {
    let account = account();
    let server = Server::start(|_| {
        let annotations = json!({ "shardlet.io/key": "other", "shardlet.io/value": "e30=" });
        let metadata = json!({ "resourceVersion": "1", "annotations": annotations });
        Reply::new(200, json!({ "metadata": metadata }).to_string())
    })
    .await;
    let read = store(&server.url, account.path()).get(&key("view")).await;
    assert_eq!(
        read.unwrap_err().to_string(),
        "the object of view is another's"
    );
}
