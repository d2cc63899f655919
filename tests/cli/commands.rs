//! `status`, `reload` and `drain` against an admin listener that says what the test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{JoinHandle, spawn};

use super::run;

/// An admin listener that gives these answers, each on a connection of its own, and goes.
struct Admin {
    address: SocketAddr,
    /// The heads of the requests.
    asked: JoinHandle<Vec<String>>,
}

impl Admin {
    fn answering(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Vec<_> = answers
            .iter()
            .map(|(status, body)| {
                let length = body.len();
                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            })
            .collect();
        // Before anybody knocks: who finds it closing would take it for silent.
        let listener = (!answers.is_empty()).then_some(listener);
        let asked = spawn(move || {
            let answer = |answer: &String| {
                let (mut connection, _) = listener.as_ref().unwrap().accept().unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    connection.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                connection.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(head).unwrap().to_lowercase()
            };
            answers.iter().map(answer).collect()
        });
        Self { address, asked }
    }

    /// Runs a command against it: exit code, output, errors, and what was asked.
    fn told(self, command: &[&str]) -> (i32, String, String, Vec<String>) {
        let admin = self.address.to_string();
        let arguments: Vec<&str> = command.iter().copied().chain(["--admin", &admin]).collect();
        let (code, out, err) = run(&arguments);
        let asked = self.asked.join().unwrap();
        (code, out, err.replace(&admin, "ADMIN"), asked)
    }
}

/// A status document with nothing in it.
fn status(draining: bool) -> String {
    let replica = serde_json::json!({
        "address": "", "health": "up", "in_flight": 0, "in_flight_limit": 1, "queued": 0, "queue_limit": 0
    });
    let requests = serde_json::json!({
        "in_flight": 0, "ended": 0, "rejected": 0, "fallbacks": 0, "retries": 0
    });
    serde_json::json!({
        "member": "zot-1", "version": "0.1.0", "uptime_seconds": 1, "ready": !draining,
        "draining": draining, "listeners": [],
        "view": { "fingerprint": "", "placement": "zot", "members": [], "pins": [] },
        "replica": replica, "requests": requests
    })
    .to_string()
}

const TAKEN: &str =
    r#"{ "taken": true, "problems": [], "needs_restart": ["listen.clients.address"] }"#;
const REFUSED: &str =
    r#"{ "taken": false, "problems": ["proxy.yaml:6:3: unknown key\n6 | \u001b[2J\n"] }"#;

#[test]
fn a_reload_that_is_taken() {
    let (code, out, err, asked) = Admin::answering(&[(200, TAKEN)]).told(&["reload"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "the configuration is in force\nlisten.clients.address has changed and waits for a restart\n"
    );
    assert!(
        asked[0].starts_with("post /api/v1/reload http/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("\r\nx-shardlet-command: reload\r\n"),
        "{asked:?}"
    );
}

#[test]
fn a_reload_that_is_refused() {
    let (code, out, err, _) = Admin::answering(&[(422, REFUSED)]).told(&["reload"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "proxy.yaml:6:3: unknown key\n6 | \u{fffd}[2J\n\n\
         the configuration is refused, the one before goes on\n"
    );
    let (code, out, err, _) =
        Admin::answering(&[(422, REFUSED)]).told(&["reload", "--format", "json"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["taken"], false);
    assert_eq!(document["needs_restart"], serde_json::json!([]));
}

#[test]
fn a_drain_is_begun() {
    let (code, out, err, asked) = Admin::answering(&[(202, "{}")]).told(&["drain"]);
    let expected = (0, "draining: what is in flight is finished\n", "");
    assert_eq!((code, out.as_str(), err.as_str()), expected);
    assert!(
        asked[0].starts_with("post /api/v1/drain http/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("\r\nx-shardlet-command: drain\r\n"),
        "{asked:?}"
    );
}

#[test]
fn a_drain_is_waited_for_until_nobody_listens() {
    let draining = status(true);
    let answers = [
        (202, "{}"),
        (200, &*draining),
        (503, "cut"),
        (200, &*draining),
    ];
    let (code, out, err, asked) = Admin::answering(&answers).told(&["drain", "--wait"]);
    let expected = (0, "draining: what is in flight is finished\nended\n", "");
    assert_eq!((code, out.as_str(), err.as_str()), expected);
    assert!(
        asked[3].starts_with("get /api/v1/status http/1.1\r\n"),
        "{asked:?}"
    );
}

#[test]
fn the_next_process_is_not_waited_for() {
    let (before, next) = (status(true), status(false));
    let answers = [(202, "{}"), (200, &*before), (200, &*next)];
    let command = ["drain", "--wait", "--format", "json"];
    let (code, out, err, _) = Admin::answering(&answers).told(&command);
    assert_eq!((code, err.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        document,
        serde_json::json!({ "draining": true, "ended": true })
    );
}

#[test]
fn what_is_wrong_is_said() {
    let refused = r#"{ "error": "commands are not taken from web pages" }"#;
    for (command, what) in [
        ("reload", "no reload"),
        ("drain", "no drain"),
        ("status", "no status"),
    ] {
        let (code, out, err, _) = Admin::answering(&[(403, refused)]).told(&[command]);
        assert_eq!((code, out.as_str()), (1, ""), "{command}");
        assert!(
            err.contains(&format!("{what} "))
                && err.contains("ADMIN")
                && err.ends_with("commands are not taken from web pages\n"),
            "{err}"
        );
        let (code, _, err, _) = Admin::answering(&[(500, "<html>")]).told(&[command]);
        assert_eq!(code, 1, "{command}");
        assert!(
            err.ends_with("it answered 500 Internal Server Error\n"),
            "{err}"
        );
        let (code, _, err, _) = Admin::answering(&[]).told(&[command]);
        assert_eq!(code, 1, "{command}");
        assert!(err.ends_with("nobody listens there\n"), "{err}");
    }
    let (code, _, err, _) = Admin::answering(&[(200, "{}")]).told(&["reload"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("no answer of a shardlet admin listener"),
        "{err}"
    );
}
