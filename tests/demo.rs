//! `shardlet demo` as somebody runs it who has just cloned the repository: the real binary, the
//! lines it prints, and the way it ends.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Far more than a debug build on a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is printed last.
const RUNNING: &str = "Running. Ctrl-C ends it.";

/// A demo, its temporary files apart from those of others.
struct Demo {
    process: Child,
    story: String,
    temporary: tempfile::TempDir,
}

fn command(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardlet"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        // Those of another cluster must not count.
        .env("SHARDLET_MEMBER", "nobody")
        .env("SHARDLET_HASH_KEY", "some other key..")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Demo {
    /// Runs it and reads the story to its end.
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut process = command(temporary.path(), arguments).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut story = String::new();
        while !story.contains(RUNNING) {
            let Some(line) = lines.next() else { break };
            story += &(line.unwrap() + "\n");
        }
        let demo = Self {
            process,
            story,
            temporary,
        };
        assert!(
            demo.story.contains(RUNNING),
            "it ended early:\n{}",
            demo.story
        );
        demo
    }

    /// The printed lines that begin with a word.
    fn lines(&self, word: &str) -> Vec<&str> {
        let begins = |line: &&str| line.split(' ').next() == Some(word);
        self.story
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(begins)
            .collect()
    }

    /// Sends a signal; gives the exit status, how long the end took, and what was on stderr.
    fn end(mut self, signal: &str) -> (ExitStatus, Duration, String) {
        let started = Instant::now();
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let mut errors = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        let status = self.process.wait().unwrap();
        let took = started.elapsed();
        assert_eq!(
            fs::read_dir(self.temporary.path()).unwrap().count(),
            0,
            "files are left"
        );
        (status, took, errors)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Has ended already, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Status and body of the GET that a printed curl line stands for.
fn get(line: &str) -> (u16, String) {
    let url = line.split(' ').next_back().unwrap().trim_matches('\'');
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Runs a printed line.
fn shardlet(line: &str) -> Output {
    let words = line.split(' ').skip(1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardlet"));
    command.args(words).output().unwrap()
}

#[test]
fn the_printed_lines_work_and_ctrl_c_ends_it() {
    let demo = Demo::start(&["--port", "0"]);
    let answers: Vec<(&str, (u16, String))> = demo
        .lines("curl")
        .into_iter()
        .map(|line| (line, get(line)))
        .collect();
    assert_eq!(answers.len(), 8, "{}", demo.story);
    for (line, (status, body)) in &answers {
        assert_eq!(*status, 200, "{line}: {body}");
    }
    let body = |part: &str| {
        let (_, (_, body)) = answers
            .iter()
            .find(|(line, _)| line.contains(part))
            .unwrap();
        body.as_str()
    };
    assert_eq!(body("_catalog"), r#"{"repositories":["demo/hello"]}"#);
    assert_eq!(body("tags/list"), r#"{"name":"demo/hello","tags":["v1"]}"#);
    assert!(
        body("owner?repo=").contains("member-3"),
        "{}",
        body("owner?repo=")
    );
    assert!(body("manifests/v1").contains("application/vnd.oci.image.layer.v1.tar+gzip"));

    // A client that keeps its connection open does not hold up the end.
    let first = demo.lines("curl")[0].split('/').nth(2).unwrap();
    let mut idle = TcpStream::connect(first).unwrap();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(idle.read(&mut [0; 512]).unwrap() > 0);

    let commands = demo.lines("shardlet");
    assert_eq!(commands.len(), 4, "{}", demo.story);
    for line in &commands {
        let said = shardlet(line);
        assert!(said.status.success(), "{line}: {said:?}");
    }
    let gone = commands[3].replace("drain", "status");
    let until = Instant::now() + PATIENCE;
    while shardlet(&gone).status.success() {
        assert!(Instant::now() < until, "it has not drained");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pull = demo.lines("curl")[2];
    assert_eq!(get(pull).0, 200, "the others go on");

    let (status, took, errors) = demo.end("-INT");
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!errors.contains("ERROR"), "{errors}");
}

#[test]
fn the_owner_alone_was_asked() {
    let demo = Demo::start(&["--port", "0"]);
    let counts = demo.lines("registry");
    assert_eq!(
        counts,
        [
            "registry of member-1     0",
            "registry of member-2     0",
            "registry of member-3    10  the owner",
        ]
    );
    let (status, _, log) = demo.end("-TERM");
    assert_eq!(status.code(), Some(0));
    let lines = |member: &str, plan: &str| {
        let of = |line: &&str| line.starts_with(member) && line.contains(plan);
        log.lines().filter(of).count()
    };
    assert_eq!(lines("member-1", " forward member-3 "), 7, "{log}");
    assert_eq!(lines("member-2", " forward member-3 "), 3, "{log}");
    assert_eq!(lines("member-3", " local "), 10, "{log}");
    assert_eq!(log.lines().count(), 20, "{log}");
    // All bodies would come too late if they waited for an acknowledgement, which comes after 40 ms.
    let bodies = log.lines().filter(|line| {
        line.starts_with("member-1") && (line.contains(" PATCH ") || line.contains("/manifests/"))
    });
    let took = bodies.map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let unit = words.iter().position(|word| *word == "ms").unwrap();
        words[unit - 1].parse::<f64>().unwrap()
    });
    assert!(took.fold(f64::MAX, f64::min) < 40.0, "{log}");
}

#[test]
fn taken_ports_are_no_obstacle_and_once_ends_by_itself() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--once", "--quiet", "--port", &port];
    let Output {
        status,
        stdout,
        stderr,
    } = command(temporary.path(), &arguments).output().unwrap();
    let (story, errors) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(status.code(), Some(0), "{story}{errors}");
    assert_eq!(errors, "");
    assert!(
        story.contains("the owner") && !story.contains(RUNNING),
        "{story}"
    );
    assert!(!story.contains(&format!("127.0.0.1:{port}")), "{story}");
    assert!(story.contains(&port) && story.contains("stand"), "{story}");
}

#[test]
fn a_member_that_dies_stops_neither_pulls_nor_other_pushes() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--once", "--fail", "--quiet", "--port", "0"];
    let output = command(temporary.path(), &arguments).output().unwrap();
    let story = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{story}{errors}");
    let line = |words: &str| {
        let found = story.lines().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("{words} in\n{story}"))
    };
    assert!(line("Killing").contains("member-3"));
    assert!(line("pull demo/hello:v1 through member-1").contains("goes on"));
    assert!(line("push team/app:v1 through member-2").contains("goes on"));
    let taken = line("was taken by member-3 after");
    let seconds = taken.trim_end_matches(" s").rsplit(' ').next().unwrap();
    assert!(seconds.parse::<f64>().unwrap() >= 1.0, "{taken}");
}

#[test]
fn kept_files_are_configuration() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = temporary.path().join("my cluster");
    let folder = kept.to_str().unwrap();
    let arguments = ["--once", "--quiet", "--port", "0", "--keep", folder];
    let output = command(temporary.path(), &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for member in ["member-1", "member-2", "member-3"] {
        let output = Command::new(env!("CARGO_BIN_EXE_shardlet"))
            .args(["check", "--strict"])
            .arg(kept.join(member).join("proxy.yaml"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(member), "{said}");
    }
    let again = command(temporary.path(), &arguments).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("is not empty")
    );
}
