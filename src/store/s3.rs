//! Items as objects of S3, or of what speaks like it: conditional writes by If-None-Match and If-Match.
//!
//! The tag is the ETag. S3 makes it from the bytes, so a value that was there before has the tag that it had before.

mod answer;

use async_trait::async_trait;
use bytes::Bytes;

use super::aws::{self, Signer};
use super::endpoint::{Endpoint, escaped};
use super::{Expected, Item, Key, ProbeKey, Put, Store, Tag, Trouble, TroubleKind};
use crate::config::S3Settings;
use crate::upstream::Answer;
use answer::{Listing, fault, put_ended, says};

/// Most bytes of a value. S3 takes more, but not within a second from anywhere.
const VALUE_LENGTH: usize = 1024 * 1024;
/// Most pages of a list, of 1,000 keys each.
const PAGES: usize = 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct S3 {
    place: String,
    /// In the path; empty if the host names it.
    bucket: String,
    /// With a slash at its end.
    prefix: String,
    endpoint: Endpoint,
    signer: Signer,
}

impl S3 {
    /// Nothing is asked yet. Made within a runtime: it begins to look the endpoint's name up.
    ///
    /// # Errors
    /// Settings that name no place.
    pub(crate) fn open(settings: &S3Settings) -> Result<Self, String> {
        let signer = Signer::new("s3", &settings.region, settings.profile.as_deref());
        Self::signed_by(signer, settings)
    }

    pub(super) fn signed_by(signer: Signer, settings: &S3Settings) -> Result<Self, String> {
        let S3Settings {
            bucket,
            prefix,
            region,
            endpoint,
            path_style,
            ca,
            profile: _,
        } = settings;
        let mut url = match endpoint {
            Some(url) => url.clone(),
            None => aws::url("s3", region)?,
        };
        if !path_style {
            let host = format!("{bucket}.{}", url.address.host);
            url.address.host = host.parse().map_err(|error| format!("{host}: {error}"))?;
        }
        Ok(Self {
            place: settings.to_string(),
            bucket: if *path_style {
                format!("/{bucket}")
            } else {
                String::new()
            },
            prefix: format!("{prefix}/"),
            endpoint: Endpoint::open(&url, ca.as_deref())?,
            signer,
        })
    }

    pub(super) fn object(&self, key: &Key) -> String {
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
