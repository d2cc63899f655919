mod fixture;

pub(crate) use fixture::{Fixed, sample};

use super::status::*;
use super::*;

fn get(target: &str) -> AdminResponse {
    ask("GET", target, true)
}

fn ask(method: &str, target: &str, ready: bool) -> AdminResponse {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let fixed = Fixed {
        unready: !ready,
        ..Fixed::default()
    };
    handle(&fixed, method, path, query)
}

#[test]
fn the_status_document_is_pinned() {
    let answer = get("/api/v1/status");
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    insta::assert_snapshot!(answer.body);
}

#[test]
fn a_status_with_unknown_fields_is_still_read() {
    let mut json: serde_json::Value = serde_json::to_value(sample()).unwrap();
    json["invented_later"] = true.into();
    json["replica"]["invented_later"] = 1.into();
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), sample());
}

#[test]
fn a_status_of_an_earlier_version_is_still_read() {
    let mut json: serde_json::Value = serde_json::to_value(sample()).unwrap();
    let mut without = |at: &str, keys: &[&str]| {
        let object = json.pointer_mut(at).and_then(|part| part.as_object_mut());
        let object = object.unwrap();
        keys.iter()
            .for_each(|key| drop(object.remove(*key).unwrap()));
    };
    without("", &["configuration", "certificates", "warnings"]);
    without(
        "/replica",
        &["circuit", "reads_in_flight", "writes_in_flight"],
    );
    without("/view/members/2", &["circuit", "draining"]);
    let status: Status = serde_json::from_value(json).unwrap();
    assert_eq!(status.configuration, ConfigurationStatus::default());
    assert_eq!(status.view.members[2].circuit, CircuitStatus::Closed);
    for text in [
        super::terminal::render(&status),
        super::page::render(&status, &[], false),
    ] {
        assert!(!text.contains("configuration"), "{text}");
    }
}

#[test]
fn the_owner_is_told_for_an_encoded_name() {
    let answer = get("/api/v1/owner?repo=app%2Fweb");
    let owner: OwnerAnswer = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (owner.repository.as_str(), owner.owner.as_str()),
        ("app/web", "zot-2")
    );
}

#[test]
fn wrong_questions_for_an_owner_are_answered_in_json() {
    for target in [
        "/api/v1/owner",
        "/api/v1/owner?repo=Not/Valid",
        "/api/v1/owner?repo=",
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.status, answer.content_type),
            (400, "application/json"),
            "{target}"
        );
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(
            json["error"].as_str().is_some_and(|error| error.len() > 20),
            "{json}"
        );
    }
}

#[test]
fn readiness_is_short_unless_asked_or_failing() {
    assert_eq!(get("/readyz").body, "ok\n");
    assert_eq!(
        get("/readyz?verbose").body,
        "[+]listeners ok\n[+]replica ok\nreadyz check passed\n"
    );
    let failing = ask("GET", "/readyz", false);
    assert_eq!(failing.status, 503);
    assert_eq!(
        failing.body,
        "[+]listeners ok\n\
         [-]replica failed: no answer from the replica for 3 probes <timeout>\n\
         readyz check failed\n"
    );
}

#[test]
fn health_says_only_that_the_process_runs() {
    assert_eq!(ask("GET", "/healthz", false), get("/healthz"));
    assert_eq!(get("/healthz").body, "ok\n");
}

#[test]
fn metrics_have_the_type_of_prometheus() {
    let answer = get("/metrics");
    assert_eq!(
        answer.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(answer.body, "shardlet_draining 0\n");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (api, page) = (get("/api/v1/nothing"), get("/favicon.ico"));
    assert_eq!((api.status, api.content_type), (404, "application/json"));
    assert_eq!(
        (page.status, page.content_type),
        (404, "text/plain; charset=utf-8")
    );
    for method in ["POST", "DELETE", "get"] {
        assert_eq!(ask(method, "/metrics", true).status, 405, "{method}");
        assert_eq!(ask(method, "/nothing", true).status, 404, "{method}");
    }
    assert_eq!(ask("HEAD", "/api/v1/status", true), get("/api/v1/status"));
}

#[test]
fn the_page_shows_the_member_and_escapes_what_it_shows() {
    let answer = ask("GET", "/", false);
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "text/html; charset=utf-8")
    );
    for wanted in [
        "<h1>zot-1</h1>",
        "differs",
        "width:25.0%",
        "&lt;timeout&gt;",
        "1d 2h",
        "<span class=down>open</span>",
        "<span class=warn>half-open</span>",
        "draining",
        "is not in force",
        "<pre>proxy.yaml:6:3: unknown key `pears` in `listen`\n6 |   pears: { address: &lt;0.0.0.0:5443&gt; }",
        "<code>listen.clients.address</code> has changed and waits for a restart",
        "last reload <span class=down>refused</span>",
    ] {
        assert!(
            answer.body.contains(wanted),
            "{wanted} is not in {}",
            answer.body
        );
    }
    assert!(!answer.body.contains("<timeout>"));
    assert!(!answer.body.contains("<0.0.0.0"));
    for elsewhere in ["<script", "http://", "https://"] {
        assert!(!answer.body.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_reload_that_was_taken_is_no_alarm() {
    let mut status = sample();
    let last = status.configuration.last_reload.as_mut().unwrap();
    (last.taken, last.problems) = (true, Vec::new());
    let (page, text) = (page::render(&status, &[], false), terminal::render(&status));
    assert!(page.contains("last reload <span class=up>taken</span>"));
    for alarm in ["not in force", "REFUSED", "class=alert>"] {
        assert!(!page.contains(alarm) && !text.contains(alarm), "{alarm}");
    }
}

#[test]
fn only_a_live_page_reloads_itself_and_it_has_no_form() {
    let (still, live) = (get("/").body, get("/?live").body);
    assert!(still.contains("<form") && !still.contains("http-equiv=refresh"));
    assert!(!live.contains("<form") && live.contains("http-equiv=refresh"));
}
