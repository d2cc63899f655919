use super::*;
use crate::shard::route::RouteError;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// One failure of each kind, in the order of declaration.
fn every_failure() -> Vec<Failure> {
    let owner: crate::shard::members::MemberId = "zot-2".parse().unwrap();
    let view = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let mut all = vec![
        Failure::Route(RouteError::UnknownEndpoint),
        Failure::Private,
    ];
    all.extend(Malformed::ALL.map(Failure::BadRequest));
    all.extend([
        Failure::LoopDetected,
        Failure::MethodNotAllowed,
        Failure::UpgradeRefused,
        Failure::HttpVersion,
        Failure::HeaderTimeout,
        Failure::BodyTimeout,
        Failure::BodyTooSlow,
        Failure::HeadersTooLarge,
        Failure::UriTooLong,
        Failure::OwnerDown {
            owner: owner.clone(),
        },
        Failure::Misdirected {
            owner: owner.clone(),
            view,
        },
        Failure::PeerMisdirected { owner },
        Failure::ViewsDiffer,
        Failure::ReplicaDown,
        Failure::QueueFull,
        Failure::QueueTimeout,
        Failure::TransfersFull,
        Failure::ConnectionsFull,
        Failure::Starting,
        Failure::Reloading,
        Failure::LeaseOver,
        Failure::Handover,
        Failure::Draining,
        Failure::Unresolved,
        Failure::UpstreamRefused,
        Failure::UpstreamConnectTimeout,
        Failure::UpstreamTls,
        Failure::UpstreamTimeout,
        Failure::UpstreamReset,
        Failure::UpstreamProtocol,
        Failure::ClientGone,
        Failure::ClientStalled,
        Failure::ClientTooSlow,
        Failure::ClientAbuse,
        Failure::Internal,
    ]);
    all
}

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for failure in every_failure() {
        let a = failure.answer();
        let retry = a.retry_after.map_or("-".to_owned(), |s| format!("{s}s"));
        let (severity, connection) = (format!("{:?}", a.severity), format!("{:?}", a.connection));
        writeln!(
            table,
            "{:<24} {} {:<15} {retry:>3} {severity:<5} {connection:<5} {}",
            a.reason, a.status, a.code, a.message
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_documentation_is_the_table() {
    let mut wanted = String::from(
        "# Answers of our own\n\nEach is OCI error JSON with the request id, and is counted in \
         `shardlet_rejects_total` under its reason. 499 is only logged.\n\n\
         | reason | status | code | Retry-After | what happened |\n|---|---|---|---|---|\n",
    );
    for failure in every_failure() {
        let a = failure.answer();
        let message = if matches!(failure, Failure::Route(_)) {
            "(400 or 404) the path names no repository and no known endpoint, \
             or is written in a forbidden way"
        } else {
            &a.message
        };
        let retry = a
            .retry_after
            .map_or("–".to_owned(), |seconds| format!("{seconds} s"));
        writeln!(
            wanted,
            "| `{}` | {} | `{}` | {retry} | {message} |",
            a.reason, a.status, a.code
        )
        .unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/answers.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page, wanted, "run the tests once with UPDATE_DOCS=1");
}

#[test]
fn reasons_are_exactly_those_of_the_table() {
    let listed: BTreeSet<_> = REASONS.into_iter().collect();
    let used: BTreeSet<_> = every_failure().iter().map(Failure::reason).collect();
    assert_eq!(listed, used);
    assert_eq!(listed.len(), REASONS.len(), "a reason is listed twice");
    assert_eq!(
        used.len(),
        every_failure().len(),
        "two failures share a reason"
    );
}

#[test]
fn who_is_told_to_wait_is_told_how_long() {
    for failure in every_failure() {
        let answer = failure.answer();
        let waits = matches!(answer.status, 429 | 503);
        assert_eq!(waits, answer.retry_after.is_some(), "{failure:?}");
    }
}

#[test]
fn an_answer_is_oci_error_json_under_the_request_id() {
    let body = Failure::OwnerDown {
        owner: "zot-2".parse().unwrap(),
    }
    .response("id-1", false)
    .1;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    insta::assert_json_snapshot!(json, @r#"
    {
      "errors": [
        {
          "code": "UNAVAILABLE",
          "detail": {
            "owner": "zot-2",
            "reason": "owner_down",
            "request_id": "id-1"
          },
          "message": "the one member that may serve this request is down; try again when it is back"
        }
      ]
    }
    "#);
}

#[test]
fn a_misdirected_peer_learns_our_view() {
    let view = "000102030405060708090a0b0c0d0e0f";
    let failure = Failure::Misdirected {
        owner: "zot-2".parse().unwrap(),
        view: view.parse().unwrap(),
    };
    let body = failure.response("id-1", false).1;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["errors"][0]["detail"]["view"], view);
    assert_eq!(failure.status(), 421);
}

#[test]
fn a_head_gets_the_headers_and_no_body() {
    let (get, body) = Failure::ConnectionsFull.response("id-1", false);
    let (head, nothing) = Failure::ConnectionsFull.response("id-1", true);
    assert!(nothing.is_empty());
    assert_eq!(get.headers, head.headers);
    assert_eq!(
        head.headers["content-length"],
        body.len().to_string().as_str()
    );
    assert_eq!(head.headers["retry-after"], "5");
    assert_eq!(head.headers["connection"], "close");
    assert_eq!(head.headers["x-request-id"], "id-1");
}

#[test]
fn a_refused_method_is_told_the_others() {
    let (parts, _) = Failure::MethodNotAllowed.response("id-1", false);
    assert_eq!(parts.status, 405);
    assert_eq!(parts.headers["allow"], ALLOWED_METHODS);
}
