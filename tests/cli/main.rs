//! The commands through the real binary; `run` and `demo` have tests of their own.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod check;
mod commands;
mod export;
mod import;
mod leased;
mod lines;
mod papers;
mod plan;
mod supervised;

#[allow(dead_code, reason = "the behaviour tests need more of it")]
#[path = "../cluster/authority.rs"]
mod authority;
#[path = "../cluster/bad_pairs.rs"]
mod bad_pairs;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.yaml");

const SMALL: &str = "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  placement: zot\n  members:\n    \
     - { id: a, address: 127.0.0.1:5443 }\n    - { id: b, address: 127.0.0.1:5444 }\n  \
     pins: [{ prefix: team/, member: a }, { prefix: team/app, member: b }]\n";

/// The binary, in an environment without traces of the machine's.
fn shardlet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardlet"));
    for name in [
        "SHARDLET_CONFIG",
        "SHARDLET_MEMBER",
        "SHARDLET_ADDRESS",
        "SHARDLET_HASH_KEY",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(shardlet(arguments).output().unwrap())
}

fn run_with_input(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = shardlet(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    told(child.wait_with_output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn the_shipped_example_passes() {
    let (code, out, err) = run(&["check", "--elsewhere", EXAMPLE]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains(
            "is fine: static mode, 3 members, placement rendezvous, 1 pin, local member to be found"
        ),
        "{out}"
    );
    assert!(
        err.contains("remark: the hash key is the one of the example"),
        "{err}"
    );
    assert!(!err.contains("replace-this-key"), "{err}");
    for other in ["--strict", "--member=zot-1"] {
        let (code, out, _) = run(&["check", other, EXAMPLE]);
        assert_eq!((code, out.as_str()), (1, ""));
    }
}

#[test]
fn five_mistakes_are_all_named_with_their_lines() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/config/tests/five-mistakes.yaml"
    );
    let (code, out, err) = run(&["check", file]);
    assert_eq!((code, out.as_str()), (1, ""));
    for place in ["2:3", "4:34", "7:3", "12:33", "14:15"] {
        assert!(
            err.contains(&format!("{file}:{place}: ")),
            "{place} in {err}"
        );
    }
    assert!(err.ends_with("\n5 problems\n"), "{err}");
    assert!(!err.contains('\x1b'), "no terminal, no colour");
}

#[test]
fn members_by_name_and_count_are_those_of_the_list_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, members: &str| {
        let text =
            format!("cluster: {{ hash_key: loremipsumdolors, insecure: true, {members} }}\n");
        let path = write(folder.path(), name, &text);
        path.to_str().unwrap().to_owned()
    };
    let counted =
        |count: usize| format!("statefulset: {{ name: zot, replicas: {count}, service: peers }}");
    let short = with("short.yaml", &counted(3));
    let grown = with("grown.yaml", &counted(4));
    let member = |at| format!("{{ id: zot-{at}, address: 'zot-{at}.peers:5443' }}");
    let listed = [0, 1, 2].map(member).join(", ");
    let long = with("long.yaml", &format!("members: [{listed}]"));

    let view = |file: &str| {
        let (code, out, err) = run(&["check", "--member", "zot-1", file]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("3 members, placement rendezvous, 0 pins, local member zot-1"));
        out.rsplit_once("view ").unwrap().1.to_owned()
    };
    assert_eq!(view(&short), view(&long));
    let owners = |file: &str| {
        run(&[
            "owner",
            "--config",
            file,
            "a",
            "b",
            "team/app",
            "library/alpine",
        ])
    };
    assert_eq!(owners(&short), owners(&long));
    assert_eq!(owners(&short).0, 0);
    let plan = |arguments: &[&str]| {
        let (code, out, _) = run(&[&["plan", "--format", "json"], arguments].concat());
        assert_eq!(code, 0);
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    assert_eq!(
        plan(&["--from", &long, "--to", &short])["moves"],
        serde_json::json!([])
    );
    let added = plan(&["--from", &short, "--add", "zot-3=zot-3.peers:5443"]);
    assert_eq!(
        plan(&["--from", &short, "--to", &grown])["moves"],
        added["moves"]
    );
    assert!(!added["moves"].as_array().unwrap().is_empty());
}

#[test]
fn a_configuration_from_standard_input() {
    let (code, out, err) = run_with_input(&["check", "-"], SMALL);
    assert_eq!(code, 0, "{err}");
    assert_eq!(err.matches("remark: ").count(), 1, "{err}");
    assert!(
        out.starts_with("<stdin> is fine: static mode, 2 members, placement zot, 2 pins"),
        "{out}"
    );
    let (code, _, err) = run_with_input(&["check", "-"], "clutser: {}\n");
    assert_eq!(code, 1);
    assert!(
        err.starts_with("<stdin>:1:1: unknown key `clutser`\n1 | clutser: {}\n  | ^^^^^^^\n"),
        "{err}"
    );
}

#[test]
fn files_that_cannot_be_read_fail_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    let (code, _, err) = run(&["check", missing.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        err.contains("missing.yaml: cannot be read: No such file"),
        "{err}"
    );
    let binary = folder.path().join("binary.yaml");
    std::fs::write(&binary, b"a: 1\nb: \xff\n").unwrap();
    let (code, _, err) = run(&["check", binary.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        err.contains("binary.yaml: is no text: line 2 is not UTF-8"),
        "{err}"
    );
}

#[test]
fn the_default_file_and_the_variables_are_used() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "proxy.yaml",
        &SMALL.replace("  hash_key: loremipsumdolors\n", ""),
    );
    let key = ("SHARDLET_HASH_KEY", "loremipsumdolors");
    let in_folder = |arguments: &[&str], variables: &[(&str, &str)]| {
        let variables = variables.iter().copied();
        told(
            shardlet(arguments)
                .current_dir(folder.path())
                .envs(variables)
                .output()
                .unwrap(),
        )
    };
    let (code, out, _) = in_folder(
        &["check"],
        &[key, ("SHARDLET_MEMBER", "b"), ("SHARDLET_CONFIG", "")],
    );
    assert_eq!(code, 0);
    assert!(out.contains("local member b by SHARDLET_MEMBER"), "{out}");
    let (code, out, _) = in_folder(
        &["check", "--member", "a"],
        &[key, ("SHARDLET_MEMBER", "b")],
    );
    assert_eq!(code, 0);
    assert!(out.contains("local member a by --member"), "{out}");
    let (code, _, err) = in_folder(&["check"], &[("SHARDLET_HASH_KEY", "too short")]);
    assert_eq!(code, 1);
    assert!(
        err.contains("SHARDLET_HASH_KEY: the hash key has 9 bytes") && !err.contains("too short"),
        "{err}"
    );
    write(folder.path(), "other.yaml", SMALL);
    let (code, out, _) = in_folder(&["owner", "zot-test"], &[("SHARDLET_CONFIG", "other.yaml")]);
    assert_eq!((code, out.as_str()), (0, "zot-test\tb\n"));
}

#[test]
fn this_machine_is_found_by_its_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let member = |port: &str| {
        let text = format!("{SMALL}listen: {{ peers: {{ address: '0.0.0.0:{port}' }} }}\n");
        let file = write(folder.path(), "proxy.yaml", &text);
        run(&["check", file.to_str().unwrap()])
    };
    let (code, out, err) = member("5444");
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("local member b by the local address 127.0.0.1"),
        "{out}"
    );
    let (code, _, err) = member("6000");
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot tell which member this is: no member has an address of this machine"),
        "{err}"
    );
    assert!(err.contains("help: name it: `--member ID`"), "{err}");
}

#[test]
fn owners_with_their_pins() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "small.yaml", SMALL);
    let config = file.to_str().unwrap();
    let (code, out, err) = run(&[
        "owner",
        "-c",
        config,
        "zot-test",
        "team/x",
        "team/app/y",
        "teams",
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "zot-test\tb\nteam/x\ta\tpin team/\nteam/app/y\tb\tpin team/app/\nteams\ta\n"
    );
    let (code, out, _) = run_with_input(
        &["owner", "-c", config, "--format", "json", "-"],
        "zot-test\n\n  team/x \n",
    );
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!([
        { "repository": "zot-test", "owner": "b", "pin": null },
        { "repository": "team/x", "owner": "a", "pin": "team/" }
    ]);
    assert_eq!(json, expected);
}

#[test]
fn names_that_no_repository_can_have_are_reported() {
    let (code, out, err) = run(&["owner", "-c", EXAMPLE, "good", "Bad", "a//b", "\x1b[2J"]);
    assert_eq!(code, 1);
    assert_eq!(out.lines().count(), 1);
    let reported: Vec<&str> = err
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(reported, ["Bad", "a//b", "\\u{1b}[2J"]);
}

#[test]
fn wrong_usage_is_told_from_failure() {
    for arguments in [
        &["owner"][..],
        &["chek"],
        &["check", "--nope"],
        &["check", "a.yaml", "-c", "b.yaml"],
        &["-c", "b.yaml", "check", "a.yaml"],
        &["-c", "b.yaml", "plan", "--from", "a.yaml", "--add", "d=d:1"],
        &["--member", "a", "check"],
        &["-c", "a.yaml", "completions", "bash"],
        &["demo", "-c", "a.yaml"],
        &["owner", "--format", "xml", "a"],
        &["plan"],
        &["plan", "--to", "b.yaml", "--add", "d=d:1"],
        &["plan", "--add", "d"],
        &["import", "zot"],
        &["import", "haproxy", "--frontend", "a"],
        &["reload", "--admin", "localhost"],
        &["drain", "now"],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains("For more information"), "{err}");
    }
}

#[test]
fn every_command_has_examples() {
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["owner", "--help"],
        &["plan", "--help"],
        &["import", "--help"],
        &["import", "zot", "--help"],
        &["export", "--help"],
        &["export", "zot-cluster", "--help"],
        &["import", "haproxy", "--help"],
        &["status", "--help"],
        &["reload", "--help"],
        &["drain", "--help"],
        &["demo", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let (code, out, _) = run(command);
        assert_eq!(code, 0);
        assert!(out.contains("Examples:\n  "), "{command:?}: {out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = shardlet(&["owner", "-c", EXAMPLE, "a"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
