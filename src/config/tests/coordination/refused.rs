//! What is refused, and in which words.

use super::*;

/// Under `coordination`: what is written, and the one message that comes of it.
const WRONG: &[(&str, &str)] = &[
    (
        "    lease: 10s\n",
        "missing key `cluster.coordination.store`",
    ),
    (
        "    store:\n",
        "`cluster.coordination.store` names no store",
    ),
    (
        "    store: {}\n",
        "`cluster.coordination.store` names no store",
    ),
    (
        "    store: memory\n",
        "bad value `memory` for `cluster.coordination.store`: expected exactly one store, such as \
      `{ s3: { bucket: registry, region: eu-central-1 } }`",
    ),
    (
        "    store: { memory: {} }\n",
        "unknown key `memory` in `cluster.coordination.store`",
    ),
    (
        "    store: { s3: { bucket: abc, region: a }, kubernetes: {} }\n",
        "`s3` and `kubernetes` exclude each other: there is one store",
    ),
    (
        "    store: { s3: { region: a } }\n",
        "missing key `cluster.coordination.store.s3.bucket`",
    ),
    (
        "    store: { s3: { bucket: abc } }\n",
        "missing key `cluster.coordination.store.s3.region`",
    ),
    (
        "    store: { s3: { bucket: Abc, region: a } }\n",
        "bad value `Abc` for `cluster.coordination.store.s3.bucket`: expected the name of a bucket: 3 to 63 of a-z, 0-9, `.` and `-`",
    ),
    (
        "    store: { s3: { bucket: abc, region: us/east } }\n",
        "bad value `us/east` for `cluster.coordination.store.s3.region`: expected a region such as `eu-central-1`",
    ),
    (
        "    store: { s3: { bucket: abc, region: a, prefix: a/../b } }\n",
        "bad value `a/../b` for `cluster.coordination.store.s3.prefix`: expected parts of A-Z, a-z, 0-9, `.`, `_` and `-` between slashes, at most 512 bytes",
    ),
    (
        "    store: { s3: { bucket: abc, endpoint: minio } }\n",
        "bad value `minio` for `cluster.coordination.store.s3.endpoint`: expected a URL such as `http://minio:9000`",
    ),
    (
        "    store: { s3: { bucket: abc, endpoint: 'http://minio', ca: a } }\n",
        "`ca` with an endpoint that is spoken to without TLS",
    ),
    (
        "    store: { s3: { bucket: abc, endpoint: 'http://10.0.0.1:9000', path_style: false } }\n",
        "`path_style: false` names the bucket in front of the host, and `endpoint` has an address",
    ),
    (
        "    store: { dynamodb: { table: ab, region: a } }\n",
        "bad value `ab` for `cluster.coordination.store.dynamodb.table`: expected the name of a table: 3 to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`",
    ),
    (
        "    store: { kubernetes: { fleet: A } }\n",
        "bad value `A` for `cluster.coordination.store.kubernetes.fleet`: expected the name of a fleet: 1 to 30 of a-z, 0-9 and `-`, a letter or a digit at both ends",
    ),
    (
        "    store: { kubernetes: { namespace: a- } }\n",
        "bad value `a-` for `cluster.coordination.store.kubernetes.namespace`: expected the name of a namespace: 1 to 63 of a-z, 0-9 and `-`, a letter or a digit at both ends",
    ),
];

/// Beside a good store.
const WRONG_BESIDE: &[(&str, &str)] = &[
    (
        "    lease: 2s\n",
        "bad value `2s` for `cluster.coordination.lease`: expected a duration from 3s to 1m",
    ),
    (
        "    lease: 61s\n",
        "bad value `61s` for `cluster.coordination.lease`: expected a duration from 3s to 1m",
    ),
    (
        "    guard: 50ms\n",
        "bad value `50ms` for `cluster.coordination.guard`: expected a duration from 100ms to 15s",
    ),
    (
        "    guard: 2500ms\n",
        "`guard` (2500ms) is not shorter than a quarter of `lease` (10s)",
    ),
    (
        "    lease: 4s\n    guard: 1s\n",
        "`guard` (1s) is not shorter than a quarter of `lease` (4s)",
    ),
    (
        "    handoff: 6m\n",
        "bad value `6m` for `cluster.coordination.handoff`: expected a duration from 0s to 5m",
    ),
    ("    replica_kill: []\n", "there is no command"),
    ("    replica_kill:\n", "there is no command"),
    (
        "    replica_kill: pkill zot\n",
        "bad value `pkill zot` for `cluster.coordination.replica_kill`: expected a list of words of a command, such as `[/usr/local/bin/kill-replica]`",
    ),
    (
        "    replica_kill: [bin/kill]\n",
        "bad value `bin/kill` for `cluster.coordination.replica_kill`: expected the absolute path of a program, or its name alone",
    ),
    (
        "    replica_kill: [kill, '']\n",
        "bad value `` for `cluster.coordination.replica_kill`: expected a word of a command",
    ),
    (
        "    replica_ends_with_sidecar: pod\n",
        "bad value `pod` for `cluster.coordination.replica_ends_with_sidecar`: expected `true` or `false`",
    ),
    (
        "    laese: 10s\n",
        "unknown key `laese` in `cluster.coordination`",
    ),
];

#[test]
fn mistakes_are_told_with_what_to_write() {
    for (written, expected) in WRONG {
        assert_eq!(
            messages(&leased(written, ADDRESS)),
            [*expected],
            "{written}"
        );
    }
    for (written, expected) in WRONG_BESIDE {
        assert_eq!(messages(&timed(written)), [*expected], "{written}");
    }
    let misspelled = by(S3).replace("coordination", "cordination");
    let problems = read(&misspelled).unwrap_err();
    let first = problems.iter().next().unwrap();
    assert_eq!(first.help.as_deref(), Some("did you mean `coordination`?"));
}

#[test]
fn each_mistake_has_its_line() {
    let text = leased(
        "    store: { s3: { bucket: abc, region: eu-central-1 } }\n    lease: 4s\n    guard: 1s\n",
        ADDRESS,
    );
    let problems = read(&text).unwrap_err();
    assert_eq!(
        told(&problems),
        "etc/proxy.yaml:9:12: `guard` (1s) is not shorter than a quarter of `lease` (4s) (a lease is renewed four times \
         while it lasts: with such a guard, writes would stop between renewals)"
    );
}

#[test]
fn credentials_are_never_shown() {
    let password = "s3cret-of-a-store";
    for store in [
        format!("s3: {{ bucket: abc, endpoint: 'https://me:{password}@minio' }}"),
        format!("s3: {{ bucket: abc, region: a, secret_access_key: {password} }}"),
        format!("s3: {{ bucket: abc, region: a, access_key: {password} }}"),
        format!("s3: {{ bucket: abc, region: a, session_token: {password} }}"),
        format!("s3: {{ bucket: abc, region: a, accessKeyId: {password} }}"),
    ] {
        let problems = read(&by(&store)).unwrap_err();
        assert!(problems.count() >= 1);
        assert!(!problems.render(false).contains(password), "{store}");
    }
}
