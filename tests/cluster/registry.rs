//! Enough of a registry for pushes and pulls. `Location` is built the way CNCF distribution builds
//! it: from `Forwarded`, else from `X-Forwarded-*`, else from `Host`.

use std::collections::HashMap;
use std::sync::Mutex;

use super::message::{Head, sha256};

/// What all replicas of a cluster share.
#[derive(Default)]
pub struct Storage {
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    uploads: Mutex<HashMap<String, Vec<u8>>>,
    manifests: Mutex<HashMap<String, Vec<u8>>>,
}

/// A whole response for this request.
pub(super) fn answer(storage: &Storage, name: &str, head: &Head, body: Vec<u8>) -> Vec<u8> {
    let mut words = head.start.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        storage,
        head,
        method,
        path,
        query,
    };
    let reply = request.reply(body);
    let mut wire = format!("HTTP/1.1 {} Replied\r\nX-Replica: {name}\r\n", reply.status);
    for (field, value) in &reply.fields {
        wire += &format!("{field}: {value}\r\n");
    }
    wire += &format!("Content-Length: {}\r\n\r\n", reply.body.len());
    let mut wire = wire.into_bytes();
    if method != "HEAD" {
        wire.extend(reply.body);
    }
    wire
}

struct Request<'a> {
    storage: &'a Storage,
    head: &'a Head,
    method: &'a str,
    path: &'a str,
    query: &'a str,
}

#[derive(Default)]
struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request<'_> {
    fn reply(&self, body: Vec<u8>) -> Reply {
        let path = self.path;
        if let Some((name, session)) = path.split_once("/blobs/uploads/") {
            return self.upload(name, session, body);
        }
        if let Some((_, digest)) = path.rsplit_once("/blobs/") {
            return found(self.storage.blobs.lock().unwrap().get(digest));
        }
        if path.contains("/manifests/") {
            let mut manifests = self.storage.manifests.lock().unwrap();
            return match self.method {
                "PUT" => {
                    manifests.insert(path.to_owned(), body);
                    Reply {
                        status: 201,
                        fields: vec![("Location", self.location(path))],
                        ..Reply::default()
                    }
                }
                "DELETE" if manifests.remove(path).is_some() => Reply {
                    status: 202,
                    ..Reply::default()
                },
                _ => found(manifests.get(path)),
            };
        }
        let text = if path.ends_with("/tags/list") {
            r#"{"tags":["one"]}"#
        } else {
            "{}"
        };
        Reply {
            status: 200,
            body: text.into(),
            ..Reply::default()
        }
    }

    fn upload(&self, name: &str, session: &str, body: Vec<u8>) -> Reply {
        let mut uploads = self.storage.uploads.lock().unwrap();
        if session.is_empty() {
            let session = format!("upload-{}", uploads.len());
            uploads.insert(session.clone(), Vec::new());
            return self.goes_on(name, &session);
        }
        let Some(received) = uploads.get_mut(session) else {
            return Reply {
                status: 404,
                body: b"BLOB_UPLOAD_UNKNOWN".into(),
                ..Reply::default()
            };
        };
        received.extend(body);
        if self.method != "PUT" {
            return self.goes_on(name, session);
        }
        let digest = format!("sha256:{}", sha256(received));
        if !self.query.contains(&format!("digest={digest}")) {
            return Reply {
                status: 400,
                body: b"DIGEST_INVALID".into(),
                ..Reply::default()
            };
        }
        let blob = std::mem::take(received);
        self.storage
            .blobs
            .lock()
            .unwrap()
            .insert(digest.clone(), blob);
        let location = self.location(&format!("{name}/blobs/{digest}"));
        let fields = vec![("Location", location), ("Docker-Content-Digest", digest)];
        Reply {
            status: 201,
            fields,
            ..Reply::default()
        }
    }

    fn goes_on(&self, name: &str, session: &str) -> Reply {
        let path = format!("{name}/blobs/uploads/{session}?_state=SECRET-STATE");
        Reply {
            status: 202,
            fields: vec![("Location", self.location(&path))],
            ..Reply::default()
        }
    }

    /// Distribution's URL builder, `registry/api/v2/urls.go`.
    fn location(&self, path: &str) -> String {
        let field = |name| self.head.one(name).unwrap_or_default();
        let (mut scheme, mut host) = ("http".to_owned(), field("host").to_owned());
        let forwarded = field("forwarded");
        if forwarded.is_empty() {
            let (proto, first) = (field("x-forwarded-proto"), field("x-forwarded-host"));
            if !proto.is_empty() {
                scheme = proto.to_owned();
            }
            if let Some(first) = first.split(',').next().filter(|first| !first.is_empty()) {
                host = first.trim().to_owned();
            }
        }
        for pair in forwarded.split(',').next().unwrap_or_default().split(';') {
            match pair.trim().split_once('=') {
                Some(("proto", value)) => scheme = value.trim_matches('"').to_owned(),
                Some(("host", value)) => host = value.trim_matches('"').to_owned(),
                _ => {}
            }
        }
        format!("{scheme}://{host}{path}")
    }
}

fn found(content: Option<&Vec<u8>>) -> Reply {
    match content {
        Some(content) => Reply {
            status: 200,
            body: content.clone(),
            ..Reply::default()
        },
        None => Reply {
            status: 404,
            body: b"UNKNOWN".into(),
            ..Reply::default()
        },
    }
}
