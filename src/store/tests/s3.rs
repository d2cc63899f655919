//! S3 over HTTP: the contract against a stand-in that holds its conditions, and what each answer is taken for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use reqsign_core::StaticEnv;
use ring::digest::{SHA256, digest};

use super::contract;
use super::server::{Reply, Request, Server};
use super::signature::{self, ACCESS_KEY, SECRET_KEY};
use crate::config::S3Settings;
use crate::store::aws::Signer;
use crate::store::s3::S3;
use crate::store::{CALL, Expected, Key, Put, Store, Tag, TroubleKind, prove};

const REGION: &str = "us-east-1";
/// A real one, as a URL with the bucket in its path, which takes these credentials: the contract is tried there too.
const ENDPOINT: &str = "SHARDLET_TEST_S3";

fn signer(more: &[(&str, &str)]) -> Signer {
    let mut envs = HashMap::from([
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ]);
    envs.extend(more.iter().copied());
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let environment = StaticEnv {
        home_dir: None,
        envs: envs.into_iter().map(own).collect(),
    };
    Signer::within(environment, "s3", REGION, None)
}

fn settings(url: &str) -> S3Settings {
    S3Settings {
        bucket: "registry".to_owned(),
        prefix: "shardlet/fleet".to_owned(),
        region: REGION.to_owned(),
        endpoint: Some(url.parse().unwrap()),
        path_style: true,
        ca: None,
        profile: None,
    }
}

fn store(url: &str) -> S3 {
    S3::signed_by(signer(&[]), &settings(url)).unwrap()
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>"
    );
    Reply::new(status, body)
}

/// What a bucket does.
#[derive(Default)]
struct Bucket {
    /// As some do that speak like S3: they take the fields of a condition, and write all the same.
    ignores_conditions: bool,
    objects: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
}

impl Bucket {
    fn answer(&self, request: &Request) -> Reply {
        if let Some(fault) = signature::fault(request, "s3") {
            return error(403, "SignatureDoesNotMatch")
                .field("x-fault", fault.replace('\n', " | "));
        }
        let Some(name) = request.path.strip_prefix("/registry/") else {
            return error(404, "NoSuchBucket");
        };
        let mut objects = self.objects.lock().unwrap();
        match &*request.method {
            "GET" if name.is_empty() => list(&objects, &request.query),
            "GET" => match objects.get(name) {
                Some((value, tag)) => Reply::new(200, value.clone()).field("ETag", tag),
                None => error(404, "NoSuchKey"),
            },
            "PUT" => {
                let there = objects.get(name).map(|(_, tag)| &**tag);
                let wanted = request.field("if-match");
                let holds_conditions = !self.ignores_conditions;
                if request.field("if-none-match") == Some("*")
                    && there.is_some()
                    && holds_conditions
                {
                    return error(412, "PreconditionFailed");
                }
                if wanted.is_some() && there.is_none() && holds_conditions {
                    return error(404, "NoSuchKey");
                }
                if wanted.is_some() && wanted != there && holds_conditions {
                    return error(412, "PreconditionFailed");
                }
                let sum = digest(&SHA256, &request.body);
                let sum = sum.as_ref().iter().take(16);
                let tag = format!(
                    "\"{}\"",
                    sum.map(|byte| format!("{byte:02x}")).collect::<String>()
                );
                objects.insert(name.to_owned(), (request.body.clone(), tag.clone()));
                Reply::new(200, "").field("ETag", tag)
            }
            "DELETE" => {
                objects.remove(name);
                Reply::new(204, "")
            }
            other => panic!("{other}"),
        }
    }
}

/// Two keys a page.
fn list(objects: &BTreeMap<String, (Vec<u8>, String)>, query: &str) -> Reply {
    let value = |name: &str| {
        let mut parts = query.split('&').filter_map(|part| part.split_once('='));
        let value = parts.find(|(known, _)| *known == name)?.1;
        Some(value.replace("%2F", "/").replace("%3D", "="))
    };
    let (prefix, from) = (value("prefix").unwrap(), value("continuation-token"));
    // Tokens have what has to be escaped.
    let from = from.map(|token| token.strip_prefix("a/b=").unwrap().to_owned());
    let from = from.unwrap_or_default();
    let names: Vec<&String> = objects
        .keys()
        .filter(|name| name.starts_with(&prefix) && **name > from)
        .collect();
    let mut body =
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for name in names.iter().take(2) {
        body += &format!("<Contents><Key>{name}</Key><Size>2</Size></Contents>");
    }
    let more = names.len() > 2;
    body += &format!("<IsTruncated>{more}</IsTruncated>");
    if more {
        body += &format!(
            "<NextContinuationToken>a/b={}</NextContinuationToken>",
            names[1]
        );
    }
    Reply::new(200, body + "</ListBucketResult>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_ignores_conditions_is_refused_by_its_fault() {
    let bucket = Bucket {
        ignores_conditions: true,
        ..Bucket::default()
    };
    let server = Server::start(move |request| bucket.answer(request)).await;
    let store: Arc<dyn Store> = Arc::new(store(&server.url));
    let unproven = prove(&store).await.unwrap_err();
    assert_eq!(
        unproven.to_string(),
        format!(
            "the store s3://registry/shardlet/fleet at {} takes a write whose condition does not hold: it creates an \
             item that is there already. Two members could write one repository, so leases do not run on it: name a \
             store that holds its conditions",
            server.url
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_the_contract() {
    let bucket = Bucket::default();
    let server = Server::start(move |request| bucket.answer(request)).await;
    contract::keeps(Arc::new(store(&server.url))).await;
    if let Ok(url) = std::env::var(ENDPOINT) {
        contract::keeps(Arc::new(store(&url))).await;
    }
}

/// What a put is told when it is answered this.
async fn put(reply: Reply, expected: &Expected) -> Put {
    let server = Server::start(move |_| reply.clone()).await;
    store(&server.url).put(&key("view"), expected, b"{}").await
}

#[tokio::test]
async fn only_what_is_certain_is_a_conflict() {
    let tagged = Expected::Tag(Tag::new("\"1\""));
    for (status, code, absent, replaced) in [
        (412, "PreconditionFailed", true, true),
        (404, "NoSuchKey", false, true),
        (404, "NoSuchBucket", false, false),
        (409, "ConditionalRequestConflict", false, false),
        (409, "OperationAborted", false, false),
        (304, "NotModified", false, false),
        (400, "InvalidArgument", false, false),
        (403, "AccessDenied", false, false),
        (501, "NotImplemented", false, false),
        (500, "InternalError", false, false),
        (503, "SlowDown", false, false),
    ] {
        for (expected, conflicts) in [(&Expected::Absent, absent), (&tagged, replaced)] {
            let ended = put(error(status, code), expected).await;
            assert_eq!(
                matches!(ended, Put::Conflict),
                conflicts,
                "{code}: {ended:?}"
            );
            assert!(!matches!(ended, Put::Done(_)), "{code}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_told_is_unknown_and_says_why() {
    use TroubleKind::{Contended, Failing, Odd, Refused, Slow, Unreachable};
    let redirect = error(301, "PermanentRedirect").field("x-amz-bucket-region", "eu-west-1");
    for (reply, kind, why) in [
        (Reply::Silence, Slow, "it does not answer in time"),
        (Reply::End, Unreachable, "the connection broke off"),
        (Reply::new(200, ""), Odd, "its ETag not told"),
        (
            error(200, "InternalError"),
            Failing,
            "it answered 200 InternalError",
        ),
        (error(503, "SlowDown"), Failing, "it answered 503 SlowDown"),
        (Reply::new(502, "<html>secret"), Failing, "it answered 502"),
        (Reply::new(429, ""), Failing, "it answered 429"),
        (
            error(409, "OperationAborted"),
            Contended,
            "it answered 409 OperationAborted",
        ),
        (
            error(501, "NotImplemented"),
            Refused,
            "it has no conditional writes",
        ),
        (
            error(404, "NoSuchBucket"),
            Refused,
            "make the bucket, or name another",
        ),
        (error(403, "<b>x\u{1b}</b>"), Refused, "it answered 403"),
        (redirect, Refused, "the bucket's region is eu-west-1"),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let began = std::time::Instant::now();
        let ended = store(&server.url)
            .put(&key("view"), &Expected::Absent, b"{}")
            .await;
        let Put::Unknown(trouble) = ended else {
            panic!("{why}: {ended:?}");
        };
        assert_eq!(trouble.kind, kind, "{trouble}");
        let text = trouble.to_string();
        assert!(text.contains(why), "{text}");
        assert!(
            !text.contains("secret") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert!(began.elapsed() < 2 * CALL, "{why}");
        assert_eq!(server.asked.lock().unwrap().len(), 1, "{why}: tried again");
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let trouble = store(&url).get(&key("view")).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Unreachable);
    let unnamed = store("http://no-such-host.invalid:9000");
    let trouble = unnamed.get(&key("view")).await.unwrap_err();
    assert!(
        matches!(trouble.kind, TroubleKind::Unreachable | TroubleKind::Slow),
        "{trouble}"
    );
}

#[tokio::test]
async fn only_a_missing_object_is_no_item() {
    for (reply, is_none) in [
        (error(404, "NoSuchKey"), true),
        (error(404, "NoSuchBucket"), false),
        (Reply::new(404, ""), false),
        (Reply::new(404, "<html>"), false),
        (error(403, "AccessDenied"), false),
        (Reply::new(200, "{}"), false),
    ] {
        let told = format!("{reply:?}");
        let server = Server::start(move |_| reply.clone()).await;
        let read = store(&server.url).get(&key("view")).await;
        assert_eq!(matches!(read, Ok(None)), is_none, "{told}: {read:?}");
        assert!(is_none || read.is_err(), "{told}: {read:?}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_no_empty_one() {
    let endless = "<ListBucketResult><Contents><Key>a</Key></Contents><IsTruncated>true</IsTruncated>\
                   <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
    for body in [
        "",
        "{}",
        "<ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        endless,
    ] {
        let server = Server::start(move |_| Reply::new(200, body)).await;
        let listed = store(&server.url).list(&key("lease")).await;
        assert!(listed.is_err(), "{body}: {listed:?}");
    }
}

#[tokio::test]
async fn a_request_says_what_it_expects_and_is_signed() {
    let server = Server::start(|_| Reply::new(200, "").field("ETag", "\"2\"")).await;
    let store = store(&server.url);
    let token = signer(&[("AWS_SESSION_TOKEN", "session")]);
    let with_token = S3::signed_by(token, &settings(&server.url)).unwrap();
    for (store, expected, field) in [
        (&store, Expected::Absent, ("if-none-match", "*")),
        (
            &with_token,
            Expected::Tag(Tag::new("\"1\"")),
            ("if-match", "\"1\""),
        ),
    ] {
        let put = store.put(&key("lease/zot_1.a"), &expected, b"{}").await;
        assert!(matches!(put, Put::Done(tag) if tag == Tag::new("\"2\"")));
        let asked = server.last();
        assert_eq!(
            (&*asked.method, &*asked.path),
            ("PUT", "/registry/shardlet/fleet/lease/zot_1.a")
        );
        assert_eq!(asked.field(field.0), Some(field.1));
        assert_eq!(asked.body, b"{}");
        assert_eq!(signature::fault(&asked, "s3"), None);
    }
    assert_eq!(server.last().field("x-amz-security-token"), Some("session"));
}

#[tokio::test]
async fn the_bucket_is_named_in_the_path_or_in_the_host() {
    let server = Server::start(|_| Reply::new(200, "").field("ETag", "\"2\"")).await;
    let mut settings = settings(&server.url.replace("127.0.0.1", "localhost"));
    settings.path_style = false;
    let error = S3::signed_by(signer(&[]), &{
        let mut by_address = settings.clone();
        by_address.endpoint = Some(server.url.parse().unwrap());
        by_address
    });
    let error = error.map(drop).unwrap_err();
    assert_eq!(
        error,
        "registry.127.0.0.1: the host is neither a DNS name nor an IP address"
    );
    let store = S3::signed_by(signer(&[]), &settings).unwrap();
    assert_eq!(store.object(&key("view")), "/shardlet/fleet/view");
    settings.path_style = true;
    let store = S3::signed_by(signer(&[]), &settings).unwrap();
    assert_eq!(store.object(&key("view")), "/registry/shardlet/fleet/view");
}
