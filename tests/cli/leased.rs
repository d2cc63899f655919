//! Members by leases: what commands say of such a file, which lists nobody.

use super::commands::Admin;
use super::{run, shardlet, told, write};

const LEASED: &str = "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  \
                      pins: [{ prefix: a, member: later }]\n  coordination:\n    \
                      store: { s3: { bucket: registry, prefix: prod, endpoint: 'http://minio:9000' } }\n";
const KILLED: &str = "    replica_kill: [/bin/false]\n    replica_ends_with_sidecar: true\n";

fn written(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "proxy.yaml", text);
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn check_tells_the_store_the_level_and_the_times() {
    let (_folder, file) = written(LEASED);
    let check = |file: &str| {
        let mut check = shardlet(&["check", "--member", "zot-1", file]);
        told(
            check
                .env("SHARDLET_ADDRESS", "zot-1:5443")
                .output()
                .unwrap(),
        )
    };
    let (code, out, err) = check(&file);
    assert_eq!(code, 0, "{err}");
    let summary = format!(
        "{file} is fine: leased mode, members by leases, placement rendezvous, 1 pin, local member zot-1 by --member\n  \
         store      s3://registry/prod at http://minio:9000\n  \
         level      L0: a replica is trusted to end its writes in time\n  \
         lease      10s, renewed every 2500ms, guard 1s, handoff 5s, grace 30s\n  \
         reached at zot-1:5443, weight 1\n"
    );
    assert_eq!(out, summary);
    let listed =
        "  members: [{ id: zot-1, address: 'zot-1:5443' }, { id: later, address: 'b:1' }]\n";
    let (_folder, file) = written(&(LEASED.to_owned() + KILLED + listed));
    let (code, out, err) = check(&file);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("level      L1: a replica is killed where its member loses the lease\n"),
        "{out}"
    );
    assert!(
        out.contains("grace 5s\n") && out.ends_with("  by a file  later\n"),
        "{out}"
    );
}

#[test]
fn a_file_for_many_machines_is_checked_without_their_names() {
    let (_folder, file) = written(LEASED);
    let (code, out, err) = run(&["check", "--elsewhere", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("local member to be found at the start"),
        "{out}"
    );
    assert!(
        err.contains("no `cluster.address`: it must come from the variable SHARDLET_ADDRESS"),
        "{err}"
    );
}

#[test]
fn owners_are_not_told_from_a_file_that_does_not_know_the_members() {
    let (_folder, file) = written(LEASED);
    // Nobody listens there.
    let nobody = ["--admin", "127.0.0.1:9"];
    for command in [
        &["owner", "--config", &file, "team/app"][..],
        &["plan", "--from", &file, "--add", "b=b:1"],
    ] {
        let (code, out, err) = run(&[command, &nobody].concat());
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}");
        assert!(
            err.contains("(`cluster.coordination`)") && err.contains("by --admin"),
            "{err}"
        );
    }
    let (code, out, err) = run(&["export", "zot-cluster", "--config", &file]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("(`cluster.coordination`)"), "{err}");
}

const LISTED: &str = "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members: \
                      [{ id: b, address: 'b:1' }, { id: c, address: 'c:1', weight: 3 }]\n";

/// What a sidecar with leases tells, whose view is that of [`LISTED`].
fn leased_status(fingerprint: &str, leases: serde_json::Value) -> String {
    let mut document: serde_json::Value =
        serde_json::from_str(&super::commands::status(false)).unwrap();
    let member = |id: &str, weight: u16| {
        serde_json::json!({
            "id": id, "address": format!("{id}:1"), "weight": weight, "share": 0.5, "local": false,
            "health": "up"
        })
    };
    document["view"] = serde_json::json!({
        "fingerprint": fingerprint, "placement": "rendezvous",
        "members": [member("b", 1), member("c", 3)], "pins": []
    });
    document["leases"] = leases;
    document.to_string()
}

fn leases(epoch: u64) -> serde_json::Value {
    serde_json::json!({
        "store": "", "level": "L0", "member": true, "lasts": true, "epoch": epoch, "unsettled": 0,
        "awaited": []
    })
}

/// Exit code, output and errors of a command that asks a sidecar for this status.
fn asking(status: &str, command: &[&str]) -> (i32, String, String) {
    let admin = Admin::answering(&[(200, status)]);
    let address = admin.address.to_string();
    run(&[command, &["--admin", &address]].concat())
}

#[test]
fn owners_are_told_by_the_members_of_the_running_sidecar() {
    let (_leased, file) = written(LEASED);
    let (_listed, list) = written(LISTED);
    let (_, checked, _) = run(&["check", "--elsewhere", &list]);
    let fingerprint = checked.trim_end().rsplit(' ').next().unwrap();
    let running = leased_status(fingerprint, leases(7));
    let names: Vec<String> = (0..40).map(|at| format!("team/app-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let owners = asking(
        &running,
        &[&["owner", "--config", &file][..], &names].concat(),
    );
    let expected = run(&[&["owner", "--config", &list][..], &names].concat());
    assert_eq!(owners, expected);
    assert!(owners.1.contains("\tb\n") && owners.1.contains("\tc\n"));
    for change in [&["--add", "d=d:1"][..], &["--remove", "b"]] {
        let plan = asking(&running, &[&["plan", "--from", &file][..], change].concat());
        let expected = run(&[&["plan", "--from", &list][..], change].concat());
        assert_eq!(plan, expected);
    }
    // A file that all members are to have: its pin moves a name.
    let (folder, planned) =
        written(&LEASED.replace("prefix: a, member: later", "prefix: p, member: b"));
    let repositories = super::write(folder.path(), "names", "p/app\n");
    let plan = [
        "plan",
        "--from",
        &file,
        "--to",
        &planned,
        "--list",
        "--repositories",
    ];
    let (code, out, err) = asking(
        &running,
        &[&plan[..], &[repositories.to_str().unwrap()]].concat(),
    );
    assert_eq!((code, err.as_str()), (0, ""));
    let (_, owner, _) = asking(&running, &["owner", "--config", &file, "p/app"]);
    let expected = if owner == "p/app\tb\n" {
        ""
    } else {
        "p/app\tc\tb\n"
    };
    assert_eq!(out, expected);
}

#[test]
fn a_sidecar_that_cannot_tell_the_members_is_not_believed() {
    let (_folder, file) = written(LEASED);
    let none = serde_json::Value::Null;
    for (fingerprint, leases, why) in [
        (
            "00",
            leases(7),
            "the hash key of the file is not that of its view",
        ),
        (
            "00",
            leases(0),
            "it has not found the view of the store yet",
        ),
        ("00", none, "it works by a list in its file"),
    ] {
        let status = leased_status(fingerprint, leases);
        let (code, out, err) = asking(&status, &["owner", "--config", &file, "a"]);
        assert_eq!((code, out.as_str()), (1, ""), "{why}");
        assert!(err.contains(why), "{err}");
    }
    let (_listed, list) = written(LISTED);
    let (code, _, err) = run(&["owner", "--config", &list, "a", "--admin", "127.0.0.1:9"]);
    assert!(code == 1 && err.contains("leave --admin out"), "{err}");
}
