//! Items as Lease objects of the Kubernetes that this process runs in.
//!
//! The tag is the resourceVersion: whoever replaces an object names the one that it read. The value is in an annotation,
//! the key too, since an object's name has fewer characters than a key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, escaped, sha256};
use super::{CALL, Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble, TroubleKind};
use crate::config::{KubernetesSettings, ServiceUrl};
use crate::upstream::{Answer, Question};

/// Where the cluster puts what a pod needs to speak to it.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// All annotations of an object have 256 KiB, and base64 makes four bytes of three.
const VALUE_LENGTH: usize = 180 * 1024;
/// Most pages of a list.
const PAGES: usize = 20;
/// Objects a page.
const PAGE: usize = 500;
/// Most bytes of a token.
const TOKEN_LENGTH: usize = 64 * 1024;

const FLEET: &str = "shardlet.io/fleet";
const KEY: &str = "shardlet.io/key";
const VALUE: &str = "shardlet.io/value";

/// See the module.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    place: String,
    fleet: String,
    /// Of the namespace's leases.
    path: String,
    endpoint: Endpoint,
    token: PathBuf,
}

/// A Lease, as far as it is ours.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lease {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// What people see of it in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
}

#[derive(Deserialize)]
struct Leases {
    metadata: Page,
    items: Vec<Lease>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "continue", default)]
    next: String,
}

/// Why it was not done.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    reason: String,
}

impl Kubernetes {
    /// Nothing is asked yet. Made within a runtime: it begins to look the endpoint's name up.
    ///
    /// # Errors
    /// A process that is not in a pod.
    pub(crate) fn open(settings: &KubernetesSettings) -> Result<Self, String> {
        let told = |name: &str| {
            std::env::var(name).map_err(|_| {
                format!("{name} is not set, so this is no pod of Kubernetes: run in one, or name another store")
            })
        };
        let host = told("KUBERNETES_SERVICE_HOST")?;
        let port = told("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let url = format!("https://{host}:{port}");
        Self::at(&url.parse()?, Path::new(ACCOUNT), settings)
    }

    pub(super) fn at(
        url: &ServiceUrl,
        account: &Path,
        settings: &KubernetesSettings,
    ) -> Result<Self, String> {
        let mut settings = settings.clone();
        let namespace = match settings.namespace {
            Some(namespace) => namespace,
            None => own_namespace(account)?,
        };
        settings.namespace = Some(namespace.clone());
        Ok(Self {
            place: settings.to_string(),
            fleet: settings.fleet,
            path: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            endpoint: Endpoint::open(url, Some(&account.join("ca.crt")))?,
            token: account.join("token"),
        })
    }

    /// Legible, and no other key's: of what names cannot have, a digest tells.
    fn name(&self, key: &Key) -> String {
        let legible: String = key
            .as_str()
            .chars()
            .map(|char| {
                if char.is_ascii_alphanumeric() {
                    char
                } else {
                    '-'
                }
            })
            .collect();
        let sum = sha256(key.as_str().as_bytes());
        let sum: String = sum.chars().take(12).collect();
        format!("{}-{legible}-{sum}", self.fleet)
    }

    fn object(&self, key: &Key) -> String {
        format!("{}/{}", self.path, self.name(key))
    }

    async fn ask(
        &self,
        method: &'static str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, Trouble> {
        // The cluster replaces it every hour or so.
        let token = tokio::fs::read_to_string(&self.token).await;
        let refused = |why: &dyn std::fmt::Display| {
            let what = format!(
                "the service account's token, {}: {why}",
                self.token.display()
            );
            Trouble::new(TroubleKind::Refused, what)
        };
        let token = token.map_err(|error| refused(&error))?;
        let token = token.trim();
        if token.is_empty() || token.len() > TOKEN_LENGTH {
            return Err(refused(&"it holds no token"));
        }
        let target = self.endpoint.target(target);
        let mut question = Question::new(method, &target, self.endpoint.authority())
            .field("Authorization", &format!("Bearer {token}"))
            .field("Accept", "application/json");
        if let Some(body) = body {
            question = question
                .field("Content-Type", "application/json")
                .body(body);
        }
        self.endpoint.ask(&question, CALL).await
    }

    fn lease(&self, key: &Key, expected: &Expected, value: &[u8]) -> Lease {
        let resource_version = match expected {
            Expected::Absent => None,
            Expected::Tag(tag) => Some(tag.as_str().to_owned()),
        };
        let one = |name: &str, value: String| (name.to_owned(), value);
        Lease {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            metadata: Metadata {
                name: self.name(key),
                resource_version,
                labels: [one(FLEET, self.fleet.clone())].into(),
                annotations: [
                    one(KEY, key.to_string()),
                    one(VALUE, STANDARD.encode(value)),
                ]
                .into(),
            },
            spec: Spec {
                holder_identity: Some(key.to_string()),
            },
        }
    }
}

#[async_trait]
impl Store for Kubernetes {
    fn place(&self) -> &str {
        &self.place
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble> {
        // Without a resourceVersion it is read from where it was written, not from a cache.
        let answer = self.ask("GET", &self.object(key), None).await?;
        match answer.status {
            StatusCode::OK => {
                let lease: Lease = read(&answer)?;
                if lease.metadata.annotations.get(KEY).map(String::as_str) != Some(key.as_str()) {
                    let what = format!("the object of {key} is another's");
                    return Err(Trouble::new(TroubleKind::Odd, what));
                }
                let value = lease.metadata.annotations.get(VALUE);
                let value = value.and_then(|value| STANDARD.decode(value).ok());
                let odd = || {
                    Trouble::new(
                        TroubleKind::Odd,
                        format!("the object of {key} has no value"),
                    )
                };
                Ok(Some(Item {
                    value: value.ok_or_else(odd)?.into(),
                    tag: tag(&lease)?,
                }))
            }
            // Only that: a path that is not there is no missing object.
            StatusCode::NOT_FOUND if reason(&answer) == "NotFound" => Ok(None),
            _ => Err(fault(&answer)),
        }
    }

    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put {
        if value.len() > VALUE_LENGTH {
            let what = format!("a value of {} bytes: {VALUE_LENGTH} are taken", value.len());
            return Put::Unknown(Trouble::new(TroubleKind::Refused, what));
        }
        let lease = self.lease(key, expected, value);
        let body = match serde_json::to_vec(&lease) {
            Ok(body) => body,
            Err(error) => return Put::Unknown(Trouble::new(TroubleKind::Odd, error.to_string())),
        };
        let asked = match expected {
            Expected::Absent => self.ask("POST", &self.path, Some(&body)).await,
            Expected::Tag(_) => self.ask("PUT", &self.object(key), Some(&body)).await,
        };
        match asked {
            Ok(answer) => put_ended(&answer, expected),
            Err(trouble) => Put::Unknown(trouble),
        }
    }

    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble> {
        let selector = escaped(&format!("{FLEET}={}", self.fleet));
        let mut keys = Vec::new();
        let mut from = String::new();
        for _ in 0..PAGES {
            let target = format!(
                "{}?labelSelector={selector}&limit={PAGE}&continue={from}",
                self.path
            );
            let answer = self.ask("GET", &target, None).await?;
            if answer.status != StatusCode::OK {
                return Err(fault(&answer));
            }
            let page: Leases = read(&answer)?;
            let all = page.items.iter();
            let named = all.filter_map(|lease| lease.metadata.annotations.get(KEY)?.parse().ok());
            keys.extend(named.filter(|key| below.is_above(key)));
            if page.metadata.next.is_empty() {
                return Ok(keys);
            }
            from = escaped(&page.metadata.next);
        }
        let what = format!("more than {PAGES} pages of objects");
        Err(Trouble::new(TroubleKind::Odd, what))
    }

    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble> {
        let answer = self.ask("DELETE", &self.object(probe.key()), None).await?;
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(fault(&answer)),
        }
    }
}

/// What became of a put. The reasons tell what 409 alone does not: who is overloaded answers so, too.
fn put_ended(answer: &Answer, expected: &Expected) -> Put {
    match (answer.status.as_u16(), expected, &*reason(answer)) {
        (200 | 201, _, _) => match read::<Lease>(answer).and_then(|lease| tag(&lease)) {
            Ok(tag) => Put::Done(tag),
            Err(trouble) => Put::Unknown(trouble),
        },
        (409, Expected::Absent, "AlreadyExists")
        | (409, Expected::Tag(_), "Conflict")
        | (404, Expected::Tag(_), "NotFound") => Put::Conflict,
        _ => Put::Unknown(fault(answer)),
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let what = format!("an answer that cannot be read: line {}", error.line());
        Trouble::new(TroubleKind::Odd, what)
    })
}

fn tag(lease: &Lease) -> Result<Tag, Trouble> {
    let version = lease.metadata.resource_version.as_deref();
    let odd = || Trouble::new(TroubleKind::Odd, "an object without a resourceVersion");
    version.map(Tag::new).ok_or_else(odd)
}

/// What an answer that is no success means to whoever waits for another.
fn fault(answer: &Answer) -> Trouble {
    let (status, reason) = (answer.status.as_u16(), reason(answer));
    let kind = match status {
        408 | 429 | 500..=599 => TroubleKind::Failing,
        409 => TroubleKind::Contended,
        300..=499 => TroubleKind::Refused,
        _ => TroubleKind::Odd,
    };
    let mut what = format!("it answered {status}");
    if !reason.is_empty() {
        what += " ";
        what += &reason;
    }
    if status == 403 {
        what += ": let the service account get, list, create, update and delete leases of coordination.k8s.io";
    }
    Trouble::new(kind, what)
}

/// The reason, as far as it may stand in a log.
fn reason(answer: &Answer) -> String {
    let status: Option<Status> = serde_json::from_slice(&answer.body).ok();
    let reason = status.map(|status| status.reason).unwrap_or_default();
    let fit = reason.chars().filter(char::is_ascii_alphanumeric);
    fit.take(64).collect()
}

/// The namespace that the cluster says this pod is in.
fn own_namespace(account: &Path) -> Result<String, String> {
    let file = account.join("namespace");
    let help = "name it: `namespace: …`";
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("the pod's namespace, {}: {error}; {help}", file.display()))?;
    let namespace = text.trim();
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if namespace.is_empty() || !namespace.bytes().all(is_fit) {
        return Err(format!("{} names no namespace; {help}", file.display()));
    }
    Ok(namespace.to_owned())
}
