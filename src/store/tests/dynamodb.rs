//! DynamoDB over HTTP: the contract against a stand-in that holds its conditions, and what each answer is taken for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use reqsign_core::StaticEnv;
use serde_json::{Value, json};

use super::contract;
use super::server::{Reply, Request, Server};
use super::signature::{self, ACCESS_KEY, SECRET_KEY};
use crate::config::DynamoDbSettings;
use crate::store::aws::Signer;
use crate::store::dynamodb::DynamoDb;
use crate::store::prove::{Unproven, prove};
use crate::store::{Expected, Key, Put, Store, Tag, TroubleKind};

/// A real one, as a URL, which takes these credentials and has the table: the contract is tried there too.
const ENDPOINT: &str = "SHARDLET_TEST_DYNAMODB";

fn store(url: &str) -> DynamoDb {
    let envs = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let environment = StaticEnv {
        home_dir: None,
        envs: envs.into_iter().map(own).collect::<HashMap<_, _>>(),
    };
    let settings = DynamoDbSettings {
        table: "shardlet".to_owned(),
        fleet: "registry".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(url.parse().unwrap()),
        ca: None,
        profile: None,
    };
    let signer = Signer::within(environment, "dynamodb", "us-east-1", None);
    DynamoDb::signed_by(signer, &settings).unwrap()
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn error(status: u16, code: &str) -> Reply {
    let body =
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "m" });
    Reply::new(status, body.to_string())
}

fn keys() -> Value {
    json!([
        { "AttributeName": "fleet", "KeyType": "HASH" },
        { "AttributeName": "item", "KeyType": "RANGE" },
    ])
}

/// What a table does.
#[derive(Default)]
struct Table {
    items: Mutex<BTreeMap<String, Value>>,
}

impl Table {
    fn answer(&self, request: &Request) -> Reply {
        if signature::fault(request, "dynamodb").is_some() {
            return error(400, "InvalidSignatureException");
        }
        let input: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(input["TableName"], "shardlet");
        let mut items = self.items.lock().unwrap();
        let name = |of: &Value| {
            assert_eq!(of["fleet"]["S"], "registry");
            of["item"]["S"].as_str().unwrap().to_owned()
        };
        let operation = request.field("x-amz-target").unwrap();
        let output = match operation.strip_prefix("DynamoDB_20120810.").unwrap() {
            "DescribeTable" => json!({ "Table": { "KeySchema": keys() } }),
            "GetItem" => {
                assert_eq!(input["ConsistentRead"], true);
                let there = items.get(&name(&input["Key"]));
                there.map_or(json!({}), |item| json!({ "Item": item }))
            }
            "PutItem" => {
                let key = name(&input["Item"]);
                let tag = items.get(&key).map(|item| item["tag"].clone());
                let holds = match input["ConditionExpression"].as_str().unwrap() {
                    "attribute_not_exists(#tag)" => tag.is_none(),
                    "#tag = :there" => {
                        tag == Some(input["ExpressionAttributeValues"][":there"].clone())
                    }
                    other => panic!("{other}"),
                };
                if !holds {
                    return error(400, "ConditionalCheckFailedException");
                }
                items.insert(key, input["Item"].clone());
                json!({})
            }
            "DeleteItem" => {
                items.remove(&name(&input["Key"]));
                json!({})
            }
            "Query" => query(&items, &input),
            other => panic!("{other}"),
        };
        Reply::new(200, output.to_string())
    }
}

/// Two items a page.
fn query(items: &BTreeMap<String, Value>, input: &Value) -> Value {
    assert_eq!(input["ConsistentRead"], true);
    let below = input["ExpressionAttributeValues"][":below"]["S"]
        .as_str()
        .unwrap();
    let from = input["ExclusiveStartKey"]["item"]["S"]
        .as_str()
        .unwrap_or_default();
    let names: Vec<&String> = items
        .keys()
        .filter(|name| name.starts_with(below) && name.as_str() > from)
        .collect();
    let page: Vec<Value> = names
        .iter()
        .take(2)
        .map(|name| json!({ "item": { "S": name } }))
        .collect();
    let mut output = json!({ "Items": page });
    if names.len() > 2 {
        output["LastEvaluatedKey"] =
            json!({ "fleet": { "S": "registry" }, "item": { "S": names[1] } });
    }
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamodb_keeps_the_contract() {
    let table = Table::default();
    let server = Server::start(move |request| table.answer(request)).await;
    contract::keeps(Arc::new(store(&server.url))).await;
    if let Ok(url) = std::env::var(ENDPOINT) {
        contract::keeps(Arc::new(store(&url))).await;
    }
}

#[tokio::test]
async fn only_a_failed_condition_is_a_conflict() {
    use TroubleKind::{Contended, Failing, Refused};
    for (reply, kind) in [
        (error(400, "ConditionalCheckFailedException"), None),
        (error(500, "ConditionalCheckFailedException"), Some(Failing)),
        (error(400, "TransactionConflictException"), Some(Contended)),
        (
            error(400, "ReplicatedWriteConflictException"),
            Some(Contended),
        ),
        (
            error(400, "ProvisionedThroughputExceededException"),
            Some(Failing),
        ),
        (error(400, "ThrottlingException"), Some(Failing)),
        (error(500, "InternalServerError"), Some(Failing)),
        (error(503, "ServiceUnavailable"), Some(Failing)),
        (error(400, "AccessDeniedException"), Some(Refused)),
        (error(400, "ResourceNotFoundException"), Some(Refused)),
        (error(400, "ValidationException"), Some(Refused)),
        (Reply::new(400, "<html>"), Some(Refused)),
        (Reply::Silence, Some(TroubleKind::Slow)),
        (Reply::End, Some(TroubleKind::Unreachable)),
    ] {
        let told = format!("{reply:?}");
        let server = Server::start(move |_| reply.clone()).await;
        for expected in [Expected::Absent, Expected::Tag(Tag::new("1"))] {
            let ended = store(&server.url).put(&key("view"), &expected, b"{}").await;
            match (ended, kind) {
                (Put::Conflict, None) => {}
                (Put::Unknown(trouble), Some(kind)) => {
                    assert_eq!(trouble.kind, kind, "{told}: {trouble}")
                }
                (ended, _) => panic!("{told}: {ended:?}"),
            }
        }
        assert_eq!(server.asked.lock().unwrap().len(), 2, "{told}: tried again");
    }
}

#[tokio::test]
async fn a_table_that_regions_write_without_each_other_is_refused() {
    let replicas = json!([{ "RegionName": "eu-west-1" }]);
    for (table, why) in [
        (json!({ "KeySchema": keys() }), None),
        (json!({ "KeySchema": keys(), "Replicas": [] }), None),
        (
            json!({ "KeySchema": keys(), "Replicas": replicas, "MultiRegionConsistency": "STRONG" }),
            None,
        ),
        (
            json!({ "KeySchema": keys(), "Replicas": replicas, "MultiRegionConsistency": "EVENTUAL" }),
            Some("is a global table"),
        ),
        (
            json!({ "KeySchema": keys(), "Replicas": replicas }),
            Some("is a global table"),
        ),
        (
            json!({ "KeySchema": keys(), "GlobalTableVersion": "2017.11.29" }),
            Some("is a global table"),
        ),
        (
            json!({ "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }] }),
            Some("has other keys"),
        ),
    ] {
        let body = json!({ "Table": table }).to_string();
        let server = Server::start(move |_| Reply::new(200, body.clone())).await;
        let store = store(&server.url);
        let misfit = store.misfit().await.unwrap();
        match why {
            None => assert_eq!(misfit, None),
            Some(why) => {
                assert!(misfit.unwrap().starts_with(why));
                let store: Arc<dyn Store> = Arc::new(store);
                let refused = prove(&store).await.unwrap_err();
                assert!(matches!(refused, Unproven::Misfit { .. }), "{refused}");
                assert_eq!(
                    server.last().field("x-amz-target"),
                    Some("DynamoDB_20120810.DescribeTable")
                );
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_no_missing_item() {
    for reply in [
        Reply::new(200, ""),
        Reply::new(200, "{\"Item\": {}}"),
        Reply::new(
            200,
            "{\"Item\": {\"body\": {\"B\": \"?\"}, \"tag\": {\"S\": \"1\"}}}",
        ),
        error(400, "ResourceNotFoundException"),
    ] {
        let told = format!("{reply:?}");
        let server = Server::start(move |_| reply.clone()).await;
        let read = store(&server.url).get(&key("view")).await;
        assert!(read.is_err(), "{told}: {read:?}");
    }
}
