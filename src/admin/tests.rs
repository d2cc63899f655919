use super::status::*;
use super::*;

/// A server of which nothing but the readiness changes.
pub(crate) struct Fixed {
    pub(crate) ready: bool,
}

impl Observed for Fixed {
    fn status(&self) -> Status {
        sample()
    }

    fn owner(&self, repository: &str) -> Result<OwnerAnswer, NameError> {
        crate::shard::Repository::parse(repository)?;
        Ok(OwnerAnswer {
            repository: repository.into(),
            owner: "zot-2".into(),
            address: "zot-2:5443".into(),
            local: false,
            pinned: false,
            health: HealthStatus::Up,
            view: "000102030405060708090a0b0c0d0e0f".into(),
        })
    }

    fn readiness(&self) -> Vec<Check> {
        let detail = "no answer from the replica for 3 probes <timeout>".to_owned();
        vec![
            Check {
                name: "listeners",
                ok: true,
                detail: String::new(),
            },
            Check {
                name: "replica",
                ok: self.ready,
                detail,
            },
        ]
    }

    fn metrics(&self) -> String {
        "shardlet_draining 0\n".into()
    }
}

/// A cluster in which most things can be seen: one peer is down, one has another view.
pub(crate) fn sample() -> Status {
    let member = |n: usize, health, same_view| MemberStatus {
        id: format!("zot-{n}"),
        address: format!("zot-{n}.registry:5443"),
        weight: if n == 3 { 2 } else { 1 },
        share: if n == 3 { 0.5 } else { 0.25 },
        local: n == 1,
        health,
        same_view,
        resolved: if n == 1 {
            vec![]
        } else {
            vec![format!("10.0.0.{n}:5443")]
        },
    };
    let listener = |name: &str, address: &str, security: &str, connections| ListenerStatus {
        name: name.into(),
        address: address.into(),
        security: security.into(),
        connections,
    };
    Status {
        member: "zot-1".into(),
        version: "0.1.0".into(),
        uptime_seconds: 93_784,
        ready: true,
        draining: false,
        listeners: vec![
            listener("clients", "0.0.0.0:5000", "tls", 17),
            listener("peers", "0.0.0.0:5443", "mtls", 4),
            listener("admin", "127.0.0.1:9900", "none", 1),
        ],
        view: ViewStatus {
            fingerprint: "000102030405060708090a0b0c0d0e0f".into(),
            placement: "rendezvous".into(),
            members: vec![
                member(1, HealthStatus::Up, None),
                member(2, HealthStatus::Up, Some(false)),
                member(3, HealthStatus::Down, None),
            ],
            pins: vec![PinStatus {
                prefix: "infra/base".into(),
                member: "zot-3".into(),
            }],
        },
        replica: ReplicaStatus {
            address: "127.0.0.1:5001".into(),
            health: HealthStatus::Up,
            in_flight: 12,
            in_flight_limit: 256,
            queued: 0,
            queue_limit: 1024,
        },
        requests: RequestTotals {
            in_flight: 14,
            ended: 81_264,
            rejected: 31,
            fallbacks: 7,
            retries: 2,
        },
        certificates: vec![CertificateStatus {
            name: "member".into(),
            expires_unix: 1_900_000_000,
        }],
        warnings: vec!["zot-2 has another view: its configuration differs".into()],
    }
}

fn get(target: &str) -> AdminResponse {
    ask("GET", target, true)
}

fn ask(method: &str, target: &str, ready: bool) -> AdminResponse {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    handle(&Fixed { ready }, method, path, query)
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
    ] {
        assert!(
            answer.body.contains(wanted),
            "{wanted} is not in {}",
            answer.body
        );
    }
    assert!(!answer.body.contains("<timeout>"));
    for elsewhere in ["<script", "http://", "https://"] {
        assert!(!answer.body.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn only_a_live_page_reloads_itself_and_it_has_no_form() {
    let (still, live) = (get("/").body, get("/?live").body);
    assert!(still.contains("<form") && !still.contains("http-equiv=refresh"));
    assert!(!live.contains("<form") && live.contains("http-equiv=refresh"));
}
