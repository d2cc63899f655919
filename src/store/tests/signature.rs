//! Whether a request is signed as AWS has it, reckoned from what came alone.

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::server::Request;

pub(super) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(super) const SECRET_KEY: &str = "a-very+secret/key";

/// What is wrong with it.
pub(super) fn fault(request: &Request, service: &str) -> Option<String> {
    let authorization = request.field("authorization").unwrap_or_default();
    let Some(told) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return Some("it has no signature".to_owned());
    };
    let part = |name: &str| {
        let mut parts = told.split(", ");
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return Some(format!("{told} is no signature"));
    };
    let scope: Vec<&str> = credential.split('/').collect();
    let [ACCESS_KEY, day, region, of, "aws4_request"] = scope.as_slice() else {
        return Some(format!("the scope {credential}"));
    };
    let payload = request.field("x-amz-content-sha256").unwrap_or_default();
    if *of != service || payload != hex(digest(&SHA256, &request.body).as_ref()) {
        return Some(format!("{of}, or the digest of the body"));
    }
    for needed in ["host", "x-amz-date", "x-amz-content-sha256"] {
        if !signed.split(';').any(|name| name == needed) {
            return Some(format!("{needed} is not signed"));
        }
    }
    let mut query: Vec<String> = request.query.split('&').map(str::to_owned).collect();
    query.sort();
    let mut canonical = [&*request.method, &*request.path, &*query.join("&"), ""].join("\n");
    for name in signed.split(';') {
        let value = request.field(name).unwrap_or("(missing)");
        canonical += &format!("{name}:{value}\n");
    }
    canonical += &format!("\n{signed}\n{payload}");
    let time = request.field("x-amz-date").unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hashed = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in [day, region, of, &"aws4_request", &&*to_sign] {
        let made = sign(&Key::new(HMAC_SHA256, &key), step.as_bytes());
        key = made.as_ref().to_vec();
    }
    (hex(&key) != signature).then(|| format!("the signature of\n{canonical}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
