//! Items as those of a DynamoDB table: its conditional writes and consistent reads, and nothing else of it.
//!
//! The tag is a random number, written with the value.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::aws::{self, Signer};
use super::endpoint::Endpoint;
use super::{Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble, TroubleKind, random_number};
use crate::config::DynamoDbSettings;
use crate::upstream::Answer;

/// Partition and sort key of the table, both strings.
const FLEET: &str = "fleet";
const ITEM: &str = "item";
/// An item has 400 KB at most, with its names.
const VALUE_LENGTH: usize = 380 * 1024;
/// Most pages of a list, of 1 MB of items each.
const PAGES: usize = 100;
/// Most characters of a code that are quoted.
const CODE_LENGTH: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    place: String,
    table: String,
    fleet: String,
    endpoint: Endpoint,
    signer: Signer,
}

/// What an operation returned, or why it did not.
enum Returned {
    Done(Answer),
    /// An error, by its own name.
    Failed(String, Answer),
}

/// As it is written.
#[derive(Deserialize)]
struct Got {
    #[serde(rename = "Item")]
    item: Option<RawItem>,
}

#[derive(Deserialize)]
struct RawItem {
    body: Binary,
    tag: Text,
}

#[derive(Deserialize)]
struct Binary {
    #[serde(rename = "B")]
    value: String,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    value: String,
}

#[derive(Deserialize)]
struct Queried {
    #[serde(rename = "Items")]
    items: Vec<Named>,
    #[serde(rename = "LastEvaluatedKey")]
    last: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    item: Text,
}

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "Table")]
    table: Table,
}

#[derive(Deserialize)]
struct Table {
    #[serde(rename = "KeySchema")]
    keys: Vec<KeyPart>,
    #[serde(rename = "Replicas", default)]
    replicas: Vec<Value>,
    #[serde(rename = "GlobalTableVersion")]
    global: Option<String>,
    #[serde(rename = "MultiRegionConsistency")]
    consistency: Option<String>,
}

#[derive(Deserialize)]
struct KeyPart {
    #[serde(rename = "AttributeName")]
    name: String,
    #[serde(rename = "KeyType")]
    kind: String,
}

impl DynamoDb {
    /// Nothing is asked yet. Made within a runtime: it begins to look the endpoint's name up.
    ///
    /// # Errors
    /// Settings that name no place.
    pub(crate) fn open(settings: &DynamoDbSettings) -> Result<Self, String> {
        let signer = Signer::new("dynamodb", &settings.region, settings.profile.as_deref());
        Self::signed_by(signer, settings)
    }

    pub(super) fn signed_by(signer: Signer, settings: &DynamoDbSettings) -> Result<Self, String> {
        let DynamoDbSettings {
            table,
            fleet,
            region,
            endpoint,
            ca,
            profile: _,
        } = settings;
        let url = match endpoint {
            Some(url) => url.clone(),
            None => aws::url("dynamodb", region)?,
        };
        Ok(Self {
            place: settings.to_string(),
            table: table.clone(),
            fleet: fleet.clone(),
            endpoint: Endpoint::open(&url, ca.as_deref())?,
            signer,
        })
    }

    /// Does one operation, once.
    async fn call(&self, operation: &str, input: &Value) -> Result<Returned, Trouble> {
        let target = format!("DynamoDB_20120810.{operation}");
        let fields = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &*target),
        ];
        let body = input.to_string();
        let body = Some(body.as_bytes());
        let asked = self
            .signer
            .ask(&self.endpoint, ("POST", "/"), &fields, body);
        let answer = asked.await?;
        Ok(match answer.status.as_u16() {
            200 => Returned::Done(answer),
            _ => Returned::Failed(code(&answer), answer),
        })
    }

    /// The output of an operation that has no failure of its own.
    async fn output<T: serde::de::DeserializeOwned>(
        &self,
        operation: &str,
        input: &Value,
    ) -> Result<T, Trouble> {
        match self.call(operation, input).await? {
            Returned::Done(answer) => serde_json::from_slice(&answer.body).map_err(|error| {
                let what = format!(
                    "an output of {operation} that cannot be read: line {}",
                    error.line()
                );
                Trouble::new(TroubleKind::Odd, what)
            }),
            Returned::Failed(code, answer) => Err(fault(&code, &answer)),
        }
    }

    fn key(&self, key: &Key) -> Value {
        json!({ FLEET: { "S": self.fleet }, ITEM: { "S": key.as_str() } })
    }
}

#[async_trait]
impl Store for DynamoDb {
    fn place(&self) -> &str {
        &self.place
    }

    async fn misfit(&self) -> Result<Option<String>, Trouble> {
        let asked = json!({ "TableName": self.table });
        let Described { table } = self.output("DescribeTable", &asked).await?;
        // Each region takes writes by its own conditions, and the last one stays.
        let is_global = table.global.is_some() || !table.replicas.is_empty();
        if is_global && table.consistency.as_deref() != Some("STRONG") {
            let what = "is a global table whose regions write without each other: make one with multi-region strong \
                        consistency, or in one region";
            return Ok(Some(what.to_owned()));
        }
        let is_key = |name, kind| {
            let mut keys = table.keys.iter();
            keys.any(|key| key.name == name && key.kind == kind)
        };
        if !is_key(FLEET, "HASH") || !is_key(ITEM, "RANGE") {
            let what = format!(
                "has other keys: make a table with the partition key `{FLEET}` and the sort key `{ITEM}`, both strings"
            );
            return Ok(Some(what));
        }
        Ok(None)
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble> {
        let input = json!({
            "TableName": self.table,
            "Key": self.key(key),
            "ConsistentRead": true,
        });
        let got: Got = self.output("GetItem", &input).await?;
        let Some(RawItem { body, tag }) = got.item else {
            return Ok(None);
        };
        let value = STANDARD.decode(body.value).map_err(|_| {
            Trouble::new(TroubleKind::Odd, format!("the value of {key} is no base64"))
        })?;
        Ok(Some(Item {
            value: value.into(),
            tag: Tag::new(tag.value),
        }))
    }

    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put {
        if value.len() > VALUE_LENGTH {
            let what = format!("a value of {} bytes: {VALUE_LENGTH} are taken", value.len());
            return Put::Unknown(Trouble::new(TroubleKind::Refused, what));
        }
        let tag = match random_number() {
            Ok(number) => format!("{number:032x}"),
            Err(trouble) => return Put::Unknown(trouble),
        };
        let mut item = self.key(key);
        item["body"] = json!({ "B": STANDARD.encode(value) });
        item["tag"] = json!({ "S": tag });
        let mut input = json!({
            "TableName": self.table,
            "Item": item,
            "ExpressionAttributeNames": { "#tag": "tag" },
        });
        match expected {
            Expected::Absent => input["ConditionExpression"] = json!("attribute_not_exists(#tag)"),
            Expected::Tag(there) => {
                input["ConditionExpression"] = json!("#tag = :there");
                input["ExpressionAttributeValues"] = json!({ ":there": { "S": there.as_str() } });
            }
        }
        match self.call("PutItem", &input).await {
            Ok(Returned::Done(_)) => Put::Done(Tag::new(tag)),
            Ok(Returned::Failed(code, answer)) => {
                if answer.status == 400 && code == "ConditionalCheckFailedException" {
                    return Put::Conflict;
                }
                Put::Unknown(fault(&code, &answer))
            }
            Err(trouble) => Put::Unknown(trouble),
        }
    }

    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble> {
        let mut input = json!({
            "TableName": self.table,
            "ConsistentRead": true,
            "KeyConditionExpression": "#fleet = :fleet AND begins_with(#item, :below)",
            "ProjectionExpression": "#item",
            "ExpressionAttributeNames": { "#fleet": FLEET, "#item": ITEM },
            "ExpressionAttributeValues": {
                ":fleet": { "S": self.fleet },
                ":below": { "S": format!("{below}/") },
            },
        });
        let mut keys = Vec::new();
        for _ in 0..PAGES {
            let page: Queried = self.output("Query", &input).await?;
            let names = page.items.into_iter().map(|named| named.item.value);
            keys.extend(names.filter_map(|name| name.parse().ok()));
            let Some(last) = page.last else {
                return Ok(keys);
            };
            input["ExclusiveStartKey"] = last;
        }
        let what = format!("more than {PAGES} pages of keys below {below}");
        Err(Trouble::new(TroubleKind::Odd, what))
    }

    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble> {
        let input = json!({ "TableName": self.table, "Key": self.key(probe.key()) });
        let _: Value = self.output("DeleteItem", &input).await?;
        Ok(())
    }
}

/// What an error means to whoever waits for another answer.
fn fault(code: &str, answer: &Answer) -> Trouble {
    let status = answer.status.as_u16();
    let kind = match (status, code) {
        (
            _,
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException",
        ) => TroubleKind::Failing,
        (_, "TransactionConflictException" | "ReplicatedWriteConflictException") => {
            TroubleKind::Contended
        }
        (408 | 429 | 500..=599, _) => TroubleKind::Failing,
        (300..=499, _) => TroubleKind::Refused,
        _ => TroubleKind::Odd,
    };
    let mut what = format!("it answered {status}");
    if !code.is_empty() {
        what += " ";
        what += code;
    }
    what += match code {
        "ResourceNotFoundException" => ": make the table, or name another",
        "AccessDeniedException" => {
            ": let these credentials do dynamodb:DescribeTable, GetItem, PutItem, DeleteItem and Query on the table"
        }
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            ": look at the credentials, and at this machine's clock"
        }
        _ => "",
    };
    Trouble::new(kind, what)
}

/// The error's own name, as far as it may stand in a log.
fn code(answer: &Answer) -> String {
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let kind = said.as_ref().and_then(|said| said["__type"].as_str());
    let kind = kind.unwrap_or_default();
    let name = kind.rsplit_once('#').map_or(kind, |(_, name)| name);
    let fit = name.chars().filter(char::is_ascii_alphanumeric);
    fit.take(CODE_LENGTH).collect()
}
