//! Reads `cluster.coordination.store`: exactly one store, and a place in it.

use std::path::PathBuf;

use super::findings::{Findings, Wrong};
use super::schema::{self, nearest};
use super::section::Section;
use super::settings::{
    DynamoDbSettings, KubernetesSettings, S3Settings, ServiceUrl, StoreSettings,
};
use super::values::{boolean, parsed, path};
use super::yaml::Kind;
use crate::shard::Host;

/// Each store with whether this build has it.
const STORES: [(&str, bool); 3] = [
    ("s3", cfg!(feature = "s3")),
    ("dynamodb", cfg!(feature = "dynamodb")),
    ("kubernetes", cfg!(feature = "kubernetes")),
];
/// The default of prefixes and fleets.
const OURS: &str = "shardlet";
/// The region of an endpoint that has none of its own.
const ANY_REGION: &str = "us-east-1";
/// Longest prefix in bytes: with a key it stays below the 1,024 of an object's name.
const PREFIX_LENGTH: usize = 512;
/// Longest name of a fleet in Kubernetes: with a key and a digest it stays below the 253 of an object's name.
const FLEET_LENGTH: usize = 30;

/// None after a complaint.
pub(super) fn read(coordination: &Section<'_>, out: &mut Findings<'_>) -> Option<StoreSettings> {
    const EXAMPLE: &str =
        "exactly one store, such as `{ s3: { bucket: registry, region: eu-central-1 } }`";
    let Some(node) = coordination.node("store") else {
        coordination.lacks("store", out, Some(EXAMPLE.into()));
        return None;
    };
    if let Kind::Scalar(text) = &node.kind {
        let wrong = Wrong::expected(EXAMPLE);
        let known = nearest(text, STORES.map(|(name, _)| name));
        let wrong = match known {
            Some(name) => wrong.help(format!("write `{name}: {{ … }}`, with its place")),
            None => wrong,
        };
        out.bad_value(node, "cluster.coordination.store", wrong);
        return None;
    }
    let store = coordination.section("store", &schema::STORE, out);
    let written = STORES
        .into_iter()
        .filter(|(name, _)| store.node(name).is_some());
    let written: Vec<(&str, bool)> = written.collect();
    let [(name, is_built)] = written.as_slice() else {
        // An unknown name was complained about.
        if !written.is_empty() {
            let names: Vec<String> = written
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            let message = format!(
                "{} exclude each other: there is one store",
                names.join(" and ")
            );
            out.problem(&node.mark, message, Some("keep one of them".into()));
        } else if node.kind.is_empty() {
            let message = "`cluster.coordination.store` names no store";
            out.problem(&node.mark, message.into(), Some(EXAMPLE.into()));
        }
        return None;
    };
    if !is_built {
        let message = format!("this build has no `{name}` store");
        let help = format!("take a release, or build with the feature `{name}`");
        out.problem(&node.mark, message, Some(help));
        return None;
    }
    match *name {
        "s3" => s3(&store, out).map(StoreSettings::S3),
        "dynamodb" => dynamodb(&store, out).map(StoreSettings::DynamoDb),
        _ => Some(StoreSettings::Kubernetes(kubernetes(&store, out))),
    }
}

fn s3(store: &Section<'_>, out: &mut Findings<'_>) -> Option<S3Settings> {
    let s3 = store.section("s3", &schema::STORE_S3, out);
    let bucket = s3.required("bucket", out, bucket);
    let endpoint = endpoint(&s3, out);
    // A wildcard certificate has one part in front of the region's host.
    let in_path = endpoint.is_some() || bucket.as_ref().is_some_and(|name| name.contains('.'));
    let path_style = s3.or("path_style", out, in_path, boolean);
    if let (false, Some(ServiceUrl { address, .. }), Some(node)) =
        (path_style, &endpoint, s3.node("path_style"))
        && matches!(address.host, Host::Ip(_))
    {
        let message = "`path_style: false` names the bucket in front of the host, and `endpoint` has an address";
        let help = "name the endpoint's host, or leave `path_style` out";
        out.problem(&node.mark, message.into(), Some(help.into()));
    }
    let region = region(&s3, endpoint.as_ref(), out);
    Some(S3Settings {
        prefix: s3.or("prefix", out, OURS.to_owned(), prefix),
        ca: ca(&s3, endpoint.as_ref(), out),
        profile: s3.value("profile", out, profile),
        bucket: bucket?,
        region: region?,
        endpoint,
        path_style,
    })
}

fn dynamodb(store: &Section<'_>, out: &mut Findings<'_>) -> Option<DynamoDbSettings> {
    let dynamodb = store.section("dynamodb", &schema::STORE_DYNAMODB, out);
    let endpoint = endpoint(&dynamodb, out);
    let table = dynamodb.required("table", out, name("the name of a table", 3));
    let region = region(&dynamodb, endpoint.as_ref(), out);
    Some(DynamoDbSettings {
        fleet: dynamodb.or(
            "fleet",
            out,
            OURS.to_owned(),
            name("the name of a fleet", 1),
        ),
        ca: ca(&dynamodb, endpoint.as_ref(), out),
        profile: dynamodb.value("profile", out, profile),
        table: table?,
        region: region?,
        endpoint,
    })
}

fn kubernetes(store: &Section<'_>, out: &mut Findings<'_>) -> KubernetesSettings {
    let kubernetes = store.section("kubernetes", &schema::STORE_KUBERNETES, out);
    let fleet = label("the name of a fleet", FLEET_LENGTH);
    KubernetesSettings {
        fleet: kubernetes.or("fleet", out, OURS.to_owned(), fleet),
        namespace: kubernetes.value("namespace", out, label("the name of a namespace", 63)),
    }
}

fn endpoint(store: &Section<'_>, out: &mut Findings<'_>) -> Option<ServiceUrl> {
    store.value("endpoint", out, parsed("a URL such as `http://minio:9000`"))
}

/// AWS has many, others usually none.
fn region(
    store: &Section<'_>,
    endpoint: Option<&ServiceUrl>,
    out: &mut Findings<'_>,
) -> Option<String> {
    let region = store.value("region", out, |text| {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.len() <= 63 && text.bytes().all(is_fit) {
            return Ok(text.to_owned());
        }
        Err(Wrong::expected("a region such as `eu-central-1`"))
    });
    if store.node("region").is_some() {
        return region;
    }
    // An endpoint that was complained about is there.
    if endpoint.is_none() && store.node("endpoint").is_none() {
        let help = "that of AWS, such as `eu-central-1`; not needed where an `endpoint` is written";
        store.lacks("region", out, Some(help.into()));
        return None;
    }
    Some(ANY_REGION.to_owned())
}

fn ca(
    store: &Section<'_>,
    endpoint: Option<&ServiceUrl>,
    out: &mut Findings<'_>,
) -> Option<PathBuf> {
    let written = store.value("ca", out, path)?;
    if let (Some(ServiceUrl { tls: false, .. }), Some(node)) = (endpoint, store.node("ca")) {
        let message = "`ca` with an endpoint that is spoken to without TLS";
        let help = "write `https://` in `endpoint`, or remove `ca`";
        out.problem(&node.mark, message.into(), Some(help.into()));
    }
    Some(out.file(&written))
}

fn profile(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Wrong::expected("the name of a profile in AWS's files"));
    }
    Ok(text.to_owned())
}

fn bucket(text: &str) -> Result<String, Wrong> {
    let is_fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let bytes = text.as_bytes();
    if (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(is_fit)
        && ends_well(text)
        && !text.contains("..")
    {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::expected("the name of a bucket: 3 to 63 of a-z, 0-9, `.` and `-`");
    Err(match text.split_once('/') {
        Some(_) => wrong.help("what stands behind the bucket's name is `prefix`"),
        None => wrong,
    })
}

/// Nothing in it has to be escaped, nowhere, and no part of it means another folder.
fn prefix(text: &str) -> Result<String, Wrong> {
    let prefix = text.trim_matches('/');
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(is_fit) && !part.bytes().all(|byte| byte == b'.')
    };
    if prefix.len() <= PREFIX_LENGTH && prefix.split('/').all(is_part) {
        return Ok(prefix.to_owned());
    }
    Err(Wrong::expected(format!(
        "parts of A-Z, a-z, 0-9, `.`, `_` and `-` between slashes, at most {PREFIX_LENGTH} bytes"
    )))
}

fn name(what: &'static str, least: usize) -> impl FnOnce(&str) -> Result<String, Wrong> {
    move |text| {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (least..=255).contains(&text.len()) && text.bytes().all(is_fit) {
            return Ok(text.to_owned());
        }
        Err(Wrong::expected(format!(
            "{what}: {least} to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`"
        )))
    }
}

fn label(what: &'static str, most: usize) -> impl FnOnce(&str) -> Result<String, Wrong> {
    move |text| {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.len() <= most && text.bytes().all(is_fit) && ends_well(text) {
            return Ok(text.to_owned());
        }
        Err(Wrong::expected(format!(
            "{what}: 1 to {most} of a-z, 0-9 and `-`, a letter or a digit at both ends"
        )))
    }
}

fn ends_well(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    end(text.as_bytes().first()) && end(text.as_bytes().last())
}
