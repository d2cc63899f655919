//! `status`, `reload` and `drain` against an admin listener and a command socket that say what the
//! test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread::{JoinHandle, spawn};

use super::{SMALL, run, write};

/// An admin listener that gives these answers, each on a connection of its own, and goes. Commands
/// are answered first, at a socket.
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    folder: tempfile::TempDir,
    /// The heads of the requests.
    asked: JoinHandle<Vec<String>>,
}

/// Reads one request, answers it, and gives its head.
fn answer(mut connection: impl Read + Write, answer: &str) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    connection.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(head).unwrap().to_lowercase()
}

impl Admin {
    pub(super) fn answering(answers: &[(u16, &str)]) -> Self {
        Self::commanded(&[], answers)
    }

    /// These answers to commands, then those to questions.
    fn commanded(commands: &[(u16, &str)], answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
        let message = |(status, body): &(u16, &str)| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        };
        let commands: Vec<_> = commands.iter().map(message).collect();
        let answers: Vec<_> = answers.iter().map(message).collect();
        // Before anybody knocks: who finds it closing would take it for silent.
        let listener = (!answers.is_empty()).then_some(listener);
        let socket = (!commands.is_empty()).then_some(socket);
        let asked = spawn(move || {
            let commanded = commands
                .iter()
                .map(|text| answer(socket.as_ref().unwrap().accept().unwrap().0, text));
            let mut asked: Vec<String> = commanded.collect();
            let looked = answers
                .iter()
                .map(|text| answer(listener.as_ref().unwrap().accept().unwrap().0, text));
            asked.extend(looked);
            asked
        });
        Self {
            address,
            folder,
            asked,
        }
    }

    /// Runs a command against it: exit code, output, errors, and what was asked.
    fn told(self, command: &[&str]) -> (i32, String, String, Vec<String>) {
        let admin = self.address.to_string();
        let socket = self.folder.path().join("admin.sock");
        let socket = socket.to_str().unwrap();
        let mut arguments = [command, &["--admin", &admin]].concat();
        if command[0] != "status" {
            arguments.extend(["--socket", socket]);
        }
        let (code, out, err) = run(&arguments);
        let asked = self.asked.join().unwrap();
        let err = err.replace(&admin, "ADMIN").replace(socket, "SOCKET");
        (code, out, err, asked)
    }
}

/// A status document with nothing in it.
pub(super) fn status(draining: bool) -> String {
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
    let (code, out, err, asked) = Admin::commanded(&[(200, TAKEN)], &[]).told(&["reload"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "the configuration is in force\nlisten.clients.address has changed and waits for a restart\n"
    );
    assert!(
        asked[0].starts_with("post /api/v1/reload http/1.1\r\n"),
        "{asked:?}"
    );
}

#[test]
fn a_reload_that_is_refused() {
    let (code, out, err, _) = Admin::commanded(&[(422, REFUSED)], &[]).told(&["reload"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "proxy.yaml:6:3: unknown key\n6 | \u{fffd}[2J\n\n\
         the configuration is refused, the one before goes on\n"
    );
    let (code, out, err, _) =
        Admin::commanded(&[(422, REFUSED)], &[]).told(&["reload", "--format", "json"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["taken"], false);
    assert_eq!(document["needs_restart"], serde_json::json!([]));
}

#[test]
fn a_drain_is_begun() {
    let (code, out, err, asked) = Admin::commanded(&[(202, "{}")], &[]).told(&["drain"]);
    let expected = (0, "draining: what is in flight is finished\n", "");
    assert_eq!((code, out.as_str(), err.as_str()), expected);
    assert!(
        asked[0].starts_with("post /api/v1/drain http/1.1\r\n"),
        "{asked:?}"
    );
}

#[test]
fn a_drain_is_waited_for_until_nobody_listens() {
    let draining = status(true);
    let answers = [(200, &*draining), (503, "cut"), (200, &*draining)];
    let admin = Admin::commanded(&[(202, "{}")], &answers);
    let (code, out, err, asked) = admin.told(&["drain", "--wait"]);
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
    let admin = Admin::commanded(&[(202, "{}")], &[(200, &*before), (200, &*next)]);
    let (code, out, err, _) = admin.told(&["drain", "--wait", "--format", "json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        document,
        serde_json::json!({ "draining": true, "ended": true })
    );
}

#[test]
fn the_member_says_where_its_socket_is() {
    let told = |commands: serde_json::Value| {
        let mut document: serde_json::Value = serde_json::from_str(&status(false)).unwrap();
        document["commands"] = commands;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        let body = document.to_string();
        let length = body.len();
        let asked = spawn(move || {
            let text = format!(
                "HTTP/1.1 200 X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            answer(listener.accept().unwrap().0, &text)
        });
        let (code, _, err) = run(&["reload", "--admin", &admin]);
        assert!(asked.join().unwrap().starts_with("get /api/v1/status"));
        (code, err)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let length = TAKEN.len();
    let taken = format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n{TAKEN}");
    let commanded = spawn(move || answer(socket.accept().unwrap().0, &taken));
    let found = told(serde_json::json!({ "socket": path }));
    assert_eq!(found, (0, String::new()));
    let asked = commanded.join().unwrap();
    assert!(asked.starts_with("post /api/v1/reload http/1.1\r\n"));

    let elsewhere = folder.path().join("elsewhere.sock");
    for (commands, message) in [
        (
            serde_json::json!({ "socket": elsewhere }),
            "in its container\n",
        ),
        (
            serde_json::json!({ "problem": "no socket for commands (because)" }),
            "it has no socket for commands (because); set listen.admin.socket, or send it SIGHUP or SIGTERM\n",
        ),
        (serde_json::json!({}), "it tells no socket for commands\n"),
    ] {
        let (code, err) = told(commands);
        assert_eq!(code, 1);
        assert!(err.ends_with(message), "{err}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let refused = r#"{ "error": "it is closing" }"#;
    let admin = |command: &str, answers: &[(u16, &str)]| match command {
        "status" => Admin::answering(answers),
        _ => Admin::commanded(answers, &[]),
    };
    for (command, what) in [
        ("reload", "no reload"),
        ("drain", "no drain"),
        ("status", "no status"),
    ] {
        let (code, out, err, _) = admin(command, &[(403, refused)]).told(&[command]);
        assert_eq!((code, out.as_str()), (1, ""), "{command}");
        assert!(
            err.contains(&format!("{what} "))
                && err.contains("ADMIN")
                && err.ends_with("it is closing\n"),
            "{err}"
        );
        let (code, _, err, _) = admin(command, &[(500, "<html>")]).told(&[command]);
        assert_eq!(code, 1, "{command}");
        assert!(
            err.ends_with("it answered 500 Internal Server Error\n"),
            "{err}"
        );
        let (code, _, err, _) = admin(command, &[]).told(&[command]);
        assert_eq!(code, 1, "{command}");
        assert!(err.ends_with("nobody listens there\n"), "{err}");
    }
    let (code, _, err, _) = admin("reload", &[(200, "{}")]).told(&["reload"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("no answer of a shardlet admin listener"),
        "{err}"
    );
}

#[test]
fn a_doctor_takes_no_password_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let login = write(folder.path(), "login.txt", "name:secret\n");
    let doctor = |config: &str, more: &[&str]| {
        let file = write(folder.path(), "proxy.yaml", config);
        let arguments = ["doctor", "-c", file.to_str().unwrap(), "--member", "a"];
        let login = ["--write", "--credentials", login.to_str().unwrap()];
        run(&[&arguments[..], &login, more].concat())
    };
    let refused = |at: &str| format!("{at} is no address of this machine");
    // An address for documents: nobody has it.
    let (code, out, err) = doctor(SMALL, &["--admin", "192.0.2.1:9"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(&refused("192.0.2.1:9")), "{err}");
    // Another machine's configuration.
    let copied = format!("{SMALL}listen: {{ clients: {{ address: '192.0.2.1:443' }} }}\n");
    let (code, _, err) = doctor(&copied, &["--admin", "127.0.0.1:9"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains(&refused("192.0.2.1:443")), "{err}");
    let (_, _, err) = doctor(SMALL, &["--admin", "127.0.0.1:9"]);
    assert!(!err.contains("is no address of this machine"), "{err}");
}

#[test]
fn the_admin_listener_is_that_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let file = write(folder.path(), "proxy.yaml", text);
        file.to_str().unwrap().to_owned()
    };
    // Nothing else of it has to be right: it may be what was refused.
    let at = |admin: &Admin| {
        let address = admin.address;
        file(&format!(
            "pears: 1\nlisten: {{ admin: {{ address: '{address}' }} }}\n"
        ))
    };
    let admin = Admin::answering(&[(200, &status(false))]);
    let (code, out, err) = run(&["status", "--config", &at(&admin)]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("zot-1: ready"), "{out}");

    for command in ["drain", "leave"] {
        let admin = Admin::commanded(&[(202, "{}")], &[(200, &*status(false))]);
        let socket = admin.folder.path().join("admin.sock");
        let socket = socket.to_str().unwrap();
        let file = at(&admin);
        let (code, out, err) = run(&[command, "--wait", "--socket", socket, "-c", &file]);
        assert_eq!((code, err.as_str()), (0, ""), "{command}");
        assert!(out.ends_with("ended\n"), "{out}");
        let asked = admin.asked.join().unwrap();
        let posted = format!("post /api/v1/{command} ");
        assert!(asked[0].starts_with(&posted), "{asked:?}");
    }
}

#[test]
fn a_configuration_that_does_not_tell_where_the_sidecar_is_leads_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (text, message) in [
        ("listen: [", "neither JSON nor YAML"),
        (
            "listen: { admin: { address: here } }",
            "listen.admin.address is here",
        ),
    ] {
        let file = write(folder.path(), "proxy.yaml", text);
        for command in ["status", "reload", "drain", "leave"] {
            let (code, out, err) = run(&[command, "-c", file.to_str().unwrap()]);
            assert_eq!((code, out.as_str()), (1, ""), "{command}");
            assert!(
                err.contains(message) && err.contains("name it by --admin"),
                "{err}"
            );
        }
    }
    let missing = folder.path().join("missing.yaml");
    let (code, _, err) = run(&["drain", "-c", missing.to_str().unwrap()]);
    assert!(code == 1 && err.contains("missing.yaml"), "{err}");
}
