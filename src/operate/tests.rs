mod fixture;

pub(crate) use fixture::{Fixed, activity, healthy, leased, sample};

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
    for text in [super::terminal::render(&status), page_of(&status)] {
        assert!(!text.contains("in force since"), "{text}");
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

fn page_of(status: &Status) -> String {
    page_with(status, &activity())
}

fn page_with(status: &Status, activity: &Activity) -> String {
    page::render(&page::Shown {
        status,
        activity,
        checks: &[],
        asked: None,
        live: false,
    })
}

#[test]
fn the_page_is_pinned() {
    let answer = ask("GET", "/?repo=app/web", false);
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "text/html; charset=utf-8")
    );
    let lines = answer
        .body
        .replace("<section", "\n<section")
        .replace("<tr", "\n<tr");
    insta::assert_snapshot!(lines);
}

#[test]
fn the_page_shows_what_is_wrong_and_escapes_what_it_shows() {
    let page = ask("GET", "/", false).body;
    for wanted in [
        "<h1>zot-1</h1>",
        "<section id=verdict class=\"verdict bad\"",
        "zot-3 has not answered for 10m 12s: connection &lt;refused&gt;.",
        "50 % of repositories are read-only.",
        "<pre>proxy.yaml:6:3: unknown key `pears` in `listen`\n6 |   pears: { address: &lt;0.0.0.0:5443&gt; }",
        "listen.clients.address has changed and waits for a restart.",
        "last reload <span class=bad>refused</span>",
        "&lt;timeout&gt;",
        "app/&lt;web&gt;",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    for raw in ["<timeout>", "<refused>", "<0.0.0.0", "app/<web>"] {
        assert!(!page.contains(raw), "{raw}");
    }
}

#[test]
fn the_page_shows_leases_where_members_hold_them() {
    let page = page_of(&leased());
    for wanted in [
        "<th>state<th>lease<th>share",
        "<span class=\"good nowrap\">8s left</span> <span class=\"soft nowrap\">incarnation 1</span></span>",
        "<br><span class=warning>acknowledged view 11</span><br><span class=warning>wishes to leave</span>",
        "<span class=\"bad nowrap\">taken in 31s</span>",
        "<dd>12, <span class=warning>not settled</span>: view 11 (4 members) may still be written by. \
         It waits for zot-2, zot-3.</dd>",
        "<code>s3://registry/&lt;prod&gt;</code>, level L0",
        "<span class=warning>zot-5 to join</span>",
        "2026-11-22 05:20:00</time> <span class=tag>view 12</span> <span class=soft>3 members</span> \
         zot-4 taken out: nobody renewed the lease</li>",
        "found with 4 members</li>",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    for absent in ["id=leases", "<th>lease", "data-label=lease"] {
        assert!(!page_of(&sample()).contains(absent), "{absent}");
    }
}

#[test]
fn leases_stand_in_the_document() {
    let document = serde_json::to_value(leased()).unwrap();
    insta::assert_json_snapshot!((
        &document["leases"],
        &document["view"]["members"][2]["lease"]
    ));
    let read: Status = serde_json::from_value(document).unwrap();
    assert_eq!(read, leased());
}

#[test]
fn nothing_of_a_dead_member_is_shown_as_well() {
    let mut status = sample();
    status.view.members[2].same_view = Some(true);
    let page = page_of(&status);
    let is_its = |row: &&str| row.contains("scope=row") && row.contains("zot-3");
    let row = page.split("<tr").find(is_its).unwrap();
    for word in ["good", "same", ">ok<", ">up<"] {
        assert!(!row.contains(word), "{word} in {row}");
    }
    let text = terminal::render(&status);
    let row = text
        .lines()
        .find(|line| line.starts_with("zot-3 "))
        .unwrap();
    assert!(
        row.contains("DOWN 10m 10s") && !row.contains("same"),
        "{row}"
    );
}

/// The policy allows nothing inline, and nothing from elsewhere.
#[test]
fn nothing_on_the_page_is_inline() {
    for page in [get("/").body, get("/?live").body, get("/?repo=A").body] {
        for inline in [
            " style=",
            "<style",
            " onclick",
            "javascript:",
            "http://127",
            "https://",
        ] {
            assert!(!page.contains(inline), "{inline}");
        }
        let scripts: Vec<_> = page.match_indices("<script").collect();
        assert_eq!(scripts.len(), 1);
        assert!(page.contains("<script src=/page.js defer></script>"));
    }
    let style = get("/page.css");
    assert_eq!(style.content_type, "text/css; charset=utf-8");
    let script = get("/page.js");
    assert_eq!(script.content_type, "text/javascript; charset=utf-8");
    // It must never build markup of its own from what it is told.
    assert!(!script.body.contains("innerHTML") && script.body.contains("visibilitychange"));
}

#[test]
fn a_good_page_has_no_alarm() {
    let page = page_with(&healthy(), &Activity::default());
    assert!(page.contains("class=\"verdict good\""));
    for alarm in ["class=bad>", "verdict bad", "is wrong with", "class=away"] {
        assert!(!page.contains(alarm), "{alarm}");
    }
    let text = terminal::render(&healthy());
    assert!(!text.contains('!'), "{text}");
}

#[test]
fn a_repository_is_looked_up_on_the_page() {
    let page = get("/?repo=app/web").body;
    for wanted in [
        "value=\"app/web\"",
        "<dt>read from</dt><dd>zot-2, then zot-1</dd>",
        "<dt>a write here</dt><dd>is forwarded to zot-2</dd>",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    let page = get("/?repo=Not%2FV%3Cb%3E").body;
    assert!(page.contains("not a repository name: "), "{page}");
    assert!(
        page.contains("Not/V&lt;b&gt;") && !page.contains("V<b>"),
        "{page}"
    );
    assert!(get("/?repo=+").body.contains("<section id=answer hidden>"));
}

#[test]
fn only_a_live_page_reloads_itself_and_it_has_no_form() {
    let (still, live) = (get("/").body, get("/?live").body);
    assert!(still.contains("<form") && !still.contains("http-equiv=refresh"));
    assert!(!live.contains("<form") && live.contains("http-equiv=refresh"));
}

#[test]
fn every_panel_is_a_document_too() {
    let verdict: serde_json::Value = serde_json::from_str(&get("/api/v1/verdict").body).unwrap();
    assert_eq!(verdict["severity"], "bad");
    let told: Activity = serde_json::from_str(&get("/api/v1/activity").body).unwrap();
    assert_eq!(told, activity());
}
