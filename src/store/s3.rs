//! Items as objects of S3, or of what speaks like it: conditional writes by If-None-Match and If-Match.
//!
//! The tag is the ETag. S3 makes it from the bytes, so a value that was there before has the tag that it had before.

mod answer;

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use super::aws::{self, Signer};
use super::endpoint::{Endpoint, escaped};
use super::{Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble, TroubleKind};
use crate::upstream::Answer;
use answer::{Listing, fault, put_ended, says};

/// Longest prefix in bytes: with a key it stays below the 1,024 of an object's name.
const PREFIX_LENGTH: usize = 512;
/// Most bytes of a value. S3 takes more, but not within a second from anywhere.
const VALUE_LENGTH: usize = 1024 * 1024;
/// Most pages of a list, of 1,000 keys each.
const PAGES: usize = 10;

/// Where the objects are, as people write it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) bucket: String,
    /// In front of every key. A slash at its end is ours to put.
    pub(crate) prefix: String,
    pub(crate) region: String,
    /// A URL; that of AWS in the region if none.
    pub(crate) endpoint: Option<String>,
    /// Whether the bucket is named in the path rather than in the host. Where an endpoint is named it usually is.
    pub(crate) path_style: Option<bool>,
    /// The authorities that its certificate is by, if not one that this machine trusts.
    pub(crate) ca: Option<PathBuf>,
    /// The profile in AWS's own files, if not the usual one.
    pub(crate) profile: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct S3 {
    place: String,
    /// In the path; empty if the host names it.
    bucket: String,
    prefix: String,
    endpoint: Endpoint,
    signer: Signer,
}

impl S3 {
    /// Nothing is asked yet. Made within a runtime: it begins to look the endpoint's name up.
    ///
    /// # Errors
    /// Settings that name no place.
    pub(crate) fn open(settings: &Settings) -> Result<Self, String> {
        let signer = Signer::new("s3", &settings.region, settings.profile.as_deref());
        Self::signed_by(signer, settings)
    }

    pub(super) fn signed_by(signer: Signer, settings: &Settings) -> Result<Self, String> {
        let Settings {
            bucket,
            prefix,
            region,
            endpoint,
            path_style,
            ca,
            profile: _,
        } = settings;
        if !is_bucket(bucket) {
            return Err(format!(
                "bucket: {bucket:?} is none: 3 to 63 of a-z, 0-9, '.' and '-'"
            ));
        }
        let host = aws::host("s3", region)?;
        let prefix = prefix.trim_end_matches('/');
        if prefix.len() > PREFIX_LENGTH || !is_prefix(prefix) {
            return Err(format!(
                "prefix: {prefix:?} is none: parts of A-Z, a-z, 0-9, '.', '_' and '-' between slashes, in all at most \
                 {PREFIX_LENGTH} bytes"
            ));
        }
        // A wildcard certificate has one part in front of the region's host.
        let in_path = path_style.unwrap_or(endpoint.is_some() || bucket.contains('.'));
        let url = match endpoint {
            Some(url) if in_path => url.clone(),
            Some(url) => url.replacen("://", &format!("://{bucket}."), 1),
            None if in_path => format!("https://{host}"),
            None => format!("https://{bucket}.{host}"),
        };
        let told = |error| format!("endpoint: {error}");
        Ok(Self {
            place: format!(
                "s3://{bucket}/{prefix} at {}",
                endpoint.as_deref().unwrap_or(region)
            ),
            bucket: if in_path {
                format!("/{bucket}")
            } else {
                String::new()
            },
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
            endpoint: Endpoint::open(&url, ca.as_deref()).map_err(told)?,
            signer,
        })
    }

    fn object(&self, key: &Key) -> String {
        format!("{}/{}{key}", self.bucket, self.prefix)
    }

    async fn ask(
        &self,
        request: (&'static str, &str),
        fields: &[(&'static str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Trouble> {
        self.signer.ask(&self.endpoint, request, fields, body).await
    }

    async fn page(&self, below: &Key, from: Option<&str>) -> Result<Listing, Trouble> {
        let prefix = escaped(&format!("{}{below}/", self.prefix));
        let mut query = format!("{}/?list-type=2&prefix={prefix}", self.bucket);
        if let Some(from) = from {
            query += "&continuation-token=";
            query += &escaped(from);
        }
        let answer = self.ask(("GET", &query), &[], None).await?;
        if answer.status != 200 {
            return Err(fault(&answer));
        }
        Listing::read(&answer.body)
    }
}

#[async_trait]
impl Store for S3 {
    fn place(&self) -> &str {
        &self.place
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble> {
        let answer = self.ask(("GET", &self.object(key)), &[], None).await?;
        match answer.status.as_u16() {
            200 => {
                let tag = answer.field("etag").map(Tag::new);
                let no_tag = || Trouble::new(TroubleKind::Odd, "an object without an ETag");
                let tag = tag.ok_or_else(no_tag)?;
                Ok(Some(Item {
                    tag,
                    value: Bytes::from(answer.body),
                }))
            }
            // Only that: a bucket that is not there is no empty one.
            404 if says(&answer, "NoSuchKey") => Ok(None),
            _ => Err(fault(&answer)),
        }
    }

    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put {
        if value.len() > VALUE_LENGTH {
            let what = format!("a value of {} bytes: {VALUE_LENGTH} are taken", value.len());
            return Put::Unknown(Trouble::new(TroubleKind::Refused, what));
        }
        let condition = match expected {
            Expected::Absent => ("if-none-match", "*"),
            Expected::Tag(tag) => ("if-match", tag.as_str()),
        };
        let asked = self
            .ask(("PUT", &self.object(key)), &[condition], Some(value))
            .await;
        match asked {
            Ok(answer) => put_ended(&answer, expected),
            Err(trouble) => Put::Unknown(trouble),
        }
    }

    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble> {
        let mut keys = Vec::new();
        let mut from = None;
        for _ in 0..PAGES {
            let listing = self.page(below, from.as_deref()).await?;
            let names = listing.names.iter();
            let ours = names.filter_map(|name| name.strip_prefix(&self.prefix)?.parse().ok());
            keys.extend(ours.filter(|key| below.is_above(key)));
            from = listing.next;
            if from.is_none() {
                return Ok(keys);
            }
        }
        let what = format!("more than {PAGES} pages of keys below {below}");
        Err(Trouble::new(TroubleKind::Odd, what))
    }

    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble> {
        let object = self.object(probe.key());
        let answer = self.ask(("DELETE", &object), &[], None).await?;
        match answer.status.as_u16() {
            200 | 204 => Ok(()),
            _ => Err(fault(&answer)),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let is_fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(is_fit)
        && end(bytes.first())
        && end(bytes.last())
        && !name.contains("..")
}

/// Nothing in it has to be escaped, nowhere, and no part of it means another folder.
fn is_prefix(prefix: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(is_fit) && !part.bytes().all(|byte| byte == b'.')
    };
    prefix.is_empty() || prefix.split('/').all(is_part)
}
