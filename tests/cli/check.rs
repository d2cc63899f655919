//! `check`: what would keep a member from starting or working here, and what only another machine knows.

use std::path::{Path, PathBuf};

use super::authority::Authority;
use super::bad_pairs;
use super::{SMALL, run, run_with_input, shardlet, told, write};

const MEMBERS: &str = "  members:\n    - { id: zot-1, address: 127.0.0.1:5443 }\n    \
                       - { id: zot-2, address: 127.0.0.2:5443 }\n";
const KEY: &str = "member: zot-1\ncluster:\n  hash_key: loremipsumdolors\n";

fn names() -> Vec<String> {
    ["zot-1", "127.0.0.1"].map(str::to_owned).into()
}

/// A member's configuration beside its certificates, and the authority that signs them.
fn member(folder: &Path, more: &str) -> (PathBuf, Authority) {
    let authority = Authority::new("cluster authority");
    authority.write(&folder.join("ca.crt"));
    authority.sign(&names()).write(folder, "a");
    let text = format!("{KEY}  tls: {{ ca: ca.crt, cert: a.crt, key: a.key }}\n{MEMBERS}{more}");
    (write(folder, "proxy.yaml", &text), authority)
}

fn check(file: &Path, more: &[&str]) -> (i32, String, String) {
    let arguments: Vec<&str> = [&["check", file.to_str().unwrap()], more].concat();
    run(&arguments)
}

#[test]
fn each_bad_certificate_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (file, authority) = member(folder.path(), "");
    let (code, out, err) = check(&file, &["--strict"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("local member zot-1 by `member` in the file"),
        "{out}"
    );
    for bad in bad_pairs::all(&authority, &names()) {
        bad.write(folder.path(), "a");
        let blamed = folder.path().join(format!("a.{}", bad.file));
        // Elsewhere too: what is there can be looked at.
        for more in [&[][..], &["--elsewhere"]] {
            let (code, out, err) = check(&file, more);
            assert_eq!((code, out.as_str()), (1, ""), "{}: {err}", bad.kind);
            let line = err.lines().next().unwrap();
            assert!(
                line.starts_with(&format!("{}: ", blamed.display())),
                "{err}"
            );
            assert!(line.contains(bad.reason), "{}: {line}", bad.kind);
            assert!(err.ends_with("\n1 problem\n"), "{err}");
        }
        // Nor does it start.
        let (code, out, err) = run(&["-c", file.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (1, ""), "{}: {err}", bad.kind);
        assert!(
            err.contains(bad.reason) && err.contains(blamed.to_str().unwrap()),
            "{err}"
        );
    }
}

#[test]
fn everything_that_is_wrong_with_files_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = member(
        folder.path(),
        "listen: { clients: { tls: { cert: no.crt, key: no.key } } }\n\
         registry: { address: 127.0.0.1:5001, tls: { ca: registry.crt } }\n",
    );
    write(folder.path(), "registry.crt", "no authority");
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let missing = |name: &str| {
        format!(
            "{}: cannot be read: No such file or directory (os error 2)",
            at(name)
        )
    };
    let garbage = format!("{}: holds no certificate in PEM form", at("registry.crt"));
    let (code, _, err) = check(&file, &[]);
    assert_eq!(code, 1);
    let expected = [
        missing("no.crt"),
        missing("no.key"),
        missing("ca.crt"),
        garbage.clone(),
    ];
    assert_eq!(err, format!("{}\n\n4 problems\n", expected.join("\n\n")));

    let (code, _, err) = check(&file, &["--elsewhere"]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with(&garbage) && err.ends_with("\n1 problem\n"),
        "{err}"
    );
    for name in ["no.crt", "no.key", "ca.crt"] {
        let remark = missing(name).replace(": cannot", ": remark: cannot");
        assert!(err.contains(&remark), "{remark} in {err}");
    }
    std::fs::remove_file(folder.path().join("registry.crt")).unwrap();
    assert_eq!(check(&file, &["--elsewhere"]).0, 0);
}

#[test]
fn what_only_another_machine_has_is_a_remark_elsewhere() {
    let text = "cluster:\n  hash_key_file: hash.key\n  tls: { ca: ca.crt, cert: a.crt, key: a.key }\n  \
                members:\n    - { id: a, address: a.invalid:5443 }\n    - { id: b, address: b.invalid:5443 }\n\
                listen: { admin: { address: '192.0.2.1:9900' } }\n";
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "proxy.yaml", text);
    let (code, out, err) = check(&file, &["--elsewhere"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("local member to be found at the start"),
        "{out}"
    );
    assert!(out.contains("view unknown without the hash key"), "{out}");
    for part in [
        "ca.crt",
        "a.crt",
        "a.key",
        "cannot read the hash key",
        "which member this is",
    ] {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!(err.matches("remark: ").count(), 5, "{err}");
    assert_eq!(check(&file, &["--elsewhere", "--strict"]).0, 1);

    // Here each of them is a problem; the hash key first, since without it there is no cluster.
    let (code, _, err) = check(&file, &["--member", "a"]);
    assert!(
        code == 1 && err.contains("cannot read the hash key"),
        "{err}"
    );
    write(folder.path(), "hash.key", "loremipsumdolors");
    let (code, _, err) = check(&file, &[]);
    assert!(
        code == 1 && err.contains("cannot tell which member this is"),
        "{err}"
    );
    let (code, _, err) = check(&file, &["--member", "a"]);
    assert!(code == 1 && err.ends_with("\n4 problems\n"), "{err}");
    assert!(
        err.contains("cannot listen on 192.0.2.1:9900 (listen.admin.address): "),
        "{err}"
    );

    // A key in the environment of the other machine.
    let text = text.replace("  hash_key_file: hash.key\n", "");
    let (code, _, err) = run_with_input(&["check", "--elsewhere", "-"], &text);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("no hash key: it must come from the variable SHARDLET_HASH_KEY"),
        "{err}"
    );
    // Owners without the key would be made up.
    let (code, out, _) = run_with_input(&["owner", "-c", "-", "a"], &text);
    assert_eq!((code, out.as_str()), (1, ""));
}

#[test]
fn a_state_folder_that_cannot_be_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "file", "");
    for (state, good) in [
        ("new/state", true),
        (".", true),
        ("file", false),
        ("file/state", false),
    ] {
        let text = format!("{KEY}  insecure: true\n  state: {state}\n{MEMBERS}");
        let file = write(folder.path(), "proxy.yaml", &text);
        let (code, _, err) = check(&file, &[]);
        assert_eq!(code == 0, good, "{state}: {err}");
        assert_eq!(err.contains("(cluster.state): "), !good, "{err}");
    }
    assert!(!folder.path().join("new").exists(), "a check makes nothing");
}

#[test]
fn no_certificates_and_the_examples_key_are_remarked_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "hash.key", "replace-this-key\n");
    let insecure = "remark: members are not asked for certificates";
    let example = "remark: the hash key is the one of the example";
    for (key, variable) in [
        ("hash_key: replace-this-key", ""),
        ("hash_key_file: hash.key", ""),
        ("placement: rendezvous", "replace-this-key"),
    ] {
        let text = KEY.replace("hash_key: loremipsumdolors", key) + "  insecure: true\n" + MEMBERS;
        let file = write(folder.path(), "proxy.yaml", &text);
        let arguments = ["check", file.to_str().unwrap()];
        let output = shardlet(&arguments)
            .env("SHARDLET_HASH_KEY", variable)
            .output();
        let (code, _, err) = told(output.unwrap());
        assert_eq!(code, 0, "{err}");
        assert!(
            err.contains(insecure) && err.contains(example),
            "{key}: {err}"
        );
        assert!(!err.contains("replace-this-key"), "{err}");
    }
}

#[test]
fn the_configuration_may_be_named_before_and_after_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "other.yaml", SMALL);
    let config = file.to_str().unwrap();
    for arguments in [
        &["check", config][..],
        &["check", "-c", config],
        &["check", "--config", config],
        &["-c", config, "check"],
        &[
            "--config",
            config,
            "check",
            "--strict",
            "--elsewhere",
            "--member",
            "a",
        ],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!(
            code,
            i32::from(arguments.contains(&"--strict")),
            "{arguments:?}: {err}"
        );
        let expected = if code == 0 {
            "is fine: static mode, 2 members"
        } else {
            ""
        };
        assert!(out.contains(expected), "{arguments:?}: {out}");
        assert!(err.contains(config), "{arguments:?}: {err}");
    }
    for arguments in [
        &["-c", config, "owner", "team/x"][..],
        &["owner", "-c", config, "team/x"],
        &["owner", "team/x", "--config", config],
    ] {
        let (code, out, _) = run(arguments);
        assert_eq!((code, out.as_str()), (0, "team/x\ta\tpin team/\n"));
    }
    let change = ["--add", "c=c:5443", "--format", "json"];
    let plans = [
        ["plan", "--from", config],
        ["plan", "-c", config],
        ["-c", config, "plan"],
    ];
    let plans = plans.map(|words| run(&[&words[..], &change].concat()));
    assert_eq!(plans[0].0, 0, "{}", plans[0].2);
    assert!(plans[0] == plans[1] && plans[1] == plans[2]);
}

#[test]
fn a_member_waits_for_its_name() {
    use std::io::{BufRead, BufReader};
    let text = "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members:\n    \
                - { id: a, address: 192.0.2.1:5443 }\n    - { id: b, address: b.invalid:5443 }\n";
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "proxy.yaml", text);
    // A check does not wait.
    let (code, _, err) = check(&file, &[]);
    assert!(
        code == 1 && err.contains("cannot tell which member this is"),
        "{err}"
    );

    let mut command = shardlet(&["-c", file.to_str().unwrap()]);
    let mut member = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(member.stderr.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let is_there = member.try_wait().unwrap().is_none();
    let told = std::time::Instant::now();
    let mut kill = std::process::Command::new("kill");
    let killed = kill.arg(member.id().to_string()).status().unwrap();
    assert!(killed.success());
    // By itself, as process 1 of a container has to.
    assert_eq!(member.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() < std::time::Duration::from_secs(5));
    assert!(
        said.starts_with(
            "shardlet: waiting for names to resolve (cannot tell which member this is"
        ),
        "{said}"
    );
    assert!(
        said.contains("name it: `--member ID`") && is_there,
        "{said}"
    );
}
