//! Members by leases: what commands say of such a file, which lists nobody.

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
    for command in [
        &["owner", "--config", &file, "team/app"][..],
        &["plan", "--from", &file, "--add", "b=b:1"],
        &["export", "zot-cluster", "--config", &file],
    ] {
        let (code, out, err) = run(command);
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}");
        assert!(err.contains("(`cluster.coordination`)"), "{err}");
    }
}
