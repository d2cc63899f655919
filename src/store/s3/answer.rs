//! What S3's answers mean.

use http::StatusCode;
use serde::Deserialize;

use super::super::{Expected, Put, Tag, Trouble, TroubleKind};
use crate::upstream::Answer;

/// Most characters of a code that are quoted.
const CODE_LENGTH: usize = 64;

/// Keys, and where the next ones begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) names: Vec<String>,
    pub(super) next: Option<String>,
}

/// As it is written: `ListBucketResult`.
#[derive(Deserialize)]
struct RawListing {
    #[serde(rename = "Contents", default)]
    contents: Vec<RawObject>,
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
    #[serde(rename = "NextContinuationToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct RawObject {
    #[serde(rename = "Key")]
    key: String,
}

/// As it is written: `Error`.
#[derive(Deserialize)]
struct RawError {
    #[serde(rename = "Code", default)]
    code: String,
}

impl Listing {
    pub(super) fn read(body: &[u8]) -> Result<Self, Trouble> {
        let odd = |what: &str| Trouble::new(TroubleKind::Odd, what);
        let text = str::from_utf8(body).map_err(|_| odd("a list of objects that is no text"))?;
        let raw: RawListing = quick_xml::de::from_str(text)
            .map_err(|_| odd("a list of objects that cannot be read"))?;
        if raw.is_truncated && raw.next.is_none() {
            return Err(odd(
                "a list of objects that has more pages and does not say where",
            ));
        }
        Ok(Self {
            names: raw.contents.into_iter().map(|object| object.key).collect(),
            next: raw.next.filter(|_| raw.is_truncated),
        })
    }
}

/// What became of a put. Only 412 says that a condition failed, or 404 that there is nothing to match: 409 is said of
/// requests at the same time, of which one may have been done.
pub(super) fn put_ended(answer: &Answer, expected: &Expected) -> Put {
    match (answer.status.as_u16(), expected) {
        // Some requests are answered 200 before they fail, and say so in a body.
        (200 | 201 | 204, _) if code(answer).is_none() => match answer.field("etag") {
            Some(tag) => Put::Done(Tag::new(tag)),
            None => Put::Unknown(Trouble::new(
                TroubleKind::Odd,
                "an object was written, and its ETag not told",
            )),
        },
        (412, _) => Put::Conflict,
        (404, Expected::Tag(_)) if says(answer, "NoSuchKey") => Put::Conflict,
        _ => Put::Unknown(fault(answer)),
    }
}

/// Whether it is an error of this code.
pub(super) fn says(answer: &Answer, expected: &str) -> bool {
    code(answer).is_some_and(|code| code == expected)
}

/// What an answer that is no success means to whoever waits for another.
pub(super) fn fault(answer: &Answer) -> Trouble {
    let code = code(answer).unwrap_or_default();
    let status = answer.status;
    let kind = match (status.as_u16(), &*code) {
        (_, "SlowDown" | "RequestLimitExceeded" | "InternalError" | "ServiceUnavailable") => {
            TroubleKind::Failing
        }
        (_, "RequestTimeout") | (408 | 429 | 500..=599, _)
            if status != StatusCode::NOT_IMPLEMENTED =>
        {
            TroubleKind::Failing
        }
        (409, _) => TroubleKind::Contended,
        (300..=499 | 501, _) => TroubleKind::Refused,
        _ => TroubleKind::Odd,
    };
    let mut what = format!("it answered {}", status.as_u16());
    if !code.is_empty() {
        what += " ";
        what += &code;
    }
    if let Some(region) = answer
        .field("x-amz-bucket-region")
        .filter(|_| status.is_redirection())
    {
        what += ": the bucket's region is ";
        what += &word(region);
    } else if let Some(advice) = advice(&code) {
        what += ": ";
        what += advice;
    }
    Trouble::new(kind, what)
}

fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessDenied" => {
            "let these credentials do s3:GetObject, s3:PutObject and s3:ListBucket below the prefix"
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => {
            "look at the credentials"
        }
        "RequestTimeTooSkewed" => {
            "the clocks of this machine and of the store differ: set this one's"
        }
        "NoSuchBucket" => "make the bucket, or name another",
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => "name the bucket's region",
        "NotImplemented" => "it has no conditional writes",
        _ => return None,
    })
}

/// The code of an error; none if it is none.
fn code(answer: &Answer) -> Option<String> {
    let text = str::from_utf8(&answer.body).ok()?;
    if !text.contains("<Error") {
        return None;
    }
    let raw: RawError = quick_xml::de::from_str(text).ok()?;
    Some(word(&raw.code))
}

/// What may stand in a log.
fn word(text: &str) -> String {
    let fit = text
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || *char == '-');
    fit.take(CODE_LENGTH).collect()
}
