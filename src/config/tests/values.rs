//! Values that are refused, in tables.

use super::problems::refused;
use super::*;

const DURATION: &str = "expected a duration such as `500ms`, `2s`, `1m30s` or `1h`";
const SIZE: &str = "expected a size such as `64KiB`, `1MiB` or `10MB`";

/// Key, value, and what is said of it.
const VALUES: &[(&str, &str, &str)] = &[
    ("timeouts.idle", "60", DURATION),
    ("timeouts.idle", "60 sec", DURATION),
    ("timeouts.idle", "-1s", DURATION),
    ("timeouts.idle", "2d", "expected a duration from 1s to 24h"),
    ("timeouts.idle", "0s", "expected a duration from 1s to 24h"),
    (
        "timeouts.drain",
        "25h",
        "expected a duration from 0s to 24h",
    ),
    (
        "timeouts.idle",
        "99999999999999999999s",
        "expected a smaller number",
    ),
    ("limits.header_bytes", "65536", SIZE),
    ("limits.header_bytes", "64k", SIZE),
    (
        "limits.header_bytes",
        "2MiB",
        "expected a size from 1KiB to 1MiB",
    ),
    (
        "limits.connections",
        "0",
        "expected a whole number from 1 to 10000000",
    ),
    (
        "limits.connections",
        "many",
        "expected a whole number from 1 to 10000000",
    ),
    (
        "limits.connections",
        "1e3",
        "expected a whole number from 1 to 10000000",
    ),
    (
        "probes.rise",
        "300",
        "expected a whole number from 1 to 100",
    ),
    (
        "limits.upload_rate",
        "0B",
        "expected a size from 1B to 1GiB",
    ),
    (
        "limits.download_rate",
        "2GiB",
        "expected a size from 1B to 1GiB",
    ),
    ("limits.upload_rate", "100", SIZE),
    // RFC 9113 §6.9.2 and §6.9.1: what every window begins with, and the most that it can be.
    (
        "limits.h2_window",
        "65534B",
        "expected a size from 65535B to 2147483647B",
    ),
    (
        "limits.h2_window",
        "2GiB",
        "expected a size from 65535B to 2147483647B",
    ),
    (
        "limits.handshakes",
        "0",
        "expected a whole number from 1 to 1000000",
    ),
    (
        "circuit.failures",
        "0",
        "expected a whole number from 1 to 10000",
    ),
    ("circuit.open", "0s", "expected a duration from 100ms to 1h"),
    (
        "timeouts.drain_delay",
        "2h",
        "expected a duration from 0s to 1h",
    ),
    ("reload.watch", "on", "expected `true` or `false`"),
    (
        "probes.path",
        "readyz",
        "expected `auto`, or a path that starts with `/`, such as `/v2/`",
    ),
    ("log.requests", "yes", "expected `true` or `false`"),
    ("reads.blobs", "owners", "expected `owner` or `any`"),
    // RFC 6265 §4.1.1.
    (
        "sticky.cookie",
        "a b",
        "expected the name of a cookie: letters, digits, `-`, `_`, `.`",
    ),
    (
        "sticky.path",
        "ui",
        "expected a path that starts with `/`, such as `/v2/`",
    ),
    (
        "registry.address",
        "http://x:1",
        "expected a host and a port, such as `127.0.0.1:5001`, or `unix:/run/registry.sock`",
    ),
    (
        "registry.address",
        "unix:run/x",
        "expected a host and a port, such as `127.0.0.1:5001`, or `unix:/run/registry.sock`",
    ),
];

#[test]
fn values() {
    for (key, value, expected) in VALUES {
        let (section, name) = key.split_once('.').expect("a dotted key");
        let more = format!("{section}: {{ {name}: '{value}' }}\n");
        refused(&[(
            &more,
            &format!("bad value `{value}` for `{key}`: {expected}"),
        )]);
    }
    for threads in ["0", "1025", "two", "Auto"] {
        let told = "`threads`: expected `auto` or a whole number from 1 to 1024";
        refused(&[(
            &format!("threads: {threads}\n"),
            &format!("bad value `{threads}` for {told}"),
        )]);
    }
    refused(&[
        (
            "trusted_proxies: [10.0.0.0/33]\n",
            "bad value `10.0.0.0/33` for `trusted_proxies`: expected a network such as `10.0.0.0/8`, or an address",
        ),
        (
            "trusted_proxies: [10.0.0.1/8]\n",
            "bad value `10.0.0.1/8` for `trusted_proxies`: expected a network such as `10.0.0.0/8`, or an address",
        ),
        (
            "listen: { clients: { proxy_protocol: true } }\n",
            "`listen.clients.proxy_protocol` is on, and there are no `trusted_proxies`",
        ),
        (
            "trusted_proxies: 10.0.0.0/8\n",
            "bad value `10.0.0.0/8` for `trusted_proxies`: expected a list of networks, such as `10.0.0.0/8`",
        ),
        (
            "timeouts: { idle: }\n",
            "bad value (nothing) for `timeouts.idle`: expected a duration such as `500ms`, `2s`, `1m30s` or `1h`",
        ),
        (
            "circuit: { open: 31s }\n",
            "`circuit.open` (31s) is longer than `circuit.open_limit` (30s)",
        ),
        (
            "circuit: { open_limit: 1s }\n",
            "`circuit.open` (2s) is longer than `circuit.open_limit` (1s)",
        ),
        (
            "log: { requests: { a: b } }\n",
            "bad value (a mapping) for `log.requests`: expected `true` or `false`",
        ),
    ]);
}

/// What is put at the top level, and the help that comes of it.
const SUGGESTIONS: &[(&str, &str)] = &[
    (
        "timeouts: { idle: 60 }\n",
        "write the unit: `60s`? Units are ms, s, m, h, d",
    ),
    ("timeouts: { idle: 60S }\n", "did you mean `60s`?"),
    (
        "trusted_proxies: [10.0.0.1/8]\n",
        "write `10.0.0.0/8` for the network, or `10.0.0.1` for the address",
    ),
    (
        "trusted_proxies: ['fd00::1/64']\n",
        "write `fd00::/64` for the network, or `fd00::1` for the address",
    ),
    ("limits: { header_bytes: 64kib }\n", "did you mean `64KiB`?"),
    (
        "limits: { header_bytes: 64XY }\n",
        "units are B, KiB, MiB, GiB, kB, MB, GB",
    ),
    (
        "cluster_tls: 1\n",
        "known here: member, listen, threads, registry, cluster, writes, reads, sticky, timeouts, limits, circuit, trusted_proxies, probes, resolve, log, telemetry, reload",
    ),
    (
        "max_in_flight: 1\n",
        "`max_in_flight` stands under `registry` or under `cluster`",
    ),
    ("log: { cluster: 1 }\n", "`cluster` stands at the top level"),
    ("log: { level: debgu }\n", "did you mean `debug`?"),
    ("reads: { blobs: Any }\n", "did you mean `any`?"),
    ("probes: { path: Auto }\n", "did you mean `auto`?"),
    (
        "listen: { admin: { address: '9900' } }\n",
        "to listen on all addresses, write `0.0.0.0:9900`",
    ),
    (
        "listen: { admin: { address: 'localhost:9900' } }\n",
        "write `127.0.0.1` for `localhost`",
    ),
    (
        "registry: { address: 'https://r:443/' }\n",
        "write `r:443`, and `tls: { ca: … }` beside it",
    ),
];

#[test]
fn suggestions() {
    for (more, expected) in SUGGESTIONS {
        let problems = read(&minimal(more)).expect_err(more);
        let help: Vec<_> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Problem)
            .filter_map(|problem| problem.help.as_deref())
            .collect();
        assert_eq!(help, [*expected], "{more}");
    }
}

/// In a good cluster: what is replaced, by what, and what is said of it.
const CLUSTERS: &[(&str, &str, &str)] = &[
    (
        "insecure: true",
        "insecure: false",
        "missing key `cluster.tls`",
    ),
    (
        "insecure: true",
        "insecure: true\n  tls: { ca: a, cert: b, key: c }",
        "`cluster.tls` and `cluster.insecure` exclude each other",
    ),
    (
        "insecure: true",
        "tls: { ca: a, cert: b }",
        "missing key `cluster.tls.key`",
    ),
    (
        "insecure: true",
        "insecure: true\n  placement: maglev",
        "bad value `maglev` for `cluster.placement`: expected `rendezvous` or `zot`",
    ),
    (
        "insecure: true",
        "insecure: true\n  pins: [{ prefix: a, member: zot-3 }]",
        "bad value `zot-3` for `cluster.pins[].member`: expected the id of a member",
    ),
    (
        "insecure: true",
        "insecure: true\n  pins: [{ prefix: a, member: zot-1 }, { prefix: a/, member: zot-2 }]",
        "duplicate pin `a/`, first on line 4",
    ),
    (
        "insecure: true",
        "insecure: true\n  pins: [{ prefix: A, member: zot-1 }]",
        "bad value `A` for `cluster.pins[].prefix`: expected whole components of a repository name, such as `repo1/`",
    ),
    (
        "insecure: true",
        "insecure: true\n  pins: { a: zot-1 }",
        "bad value (a mapping) for `cluster.pins`: expected a list of pins, such as `{ prefix: repo1/, member: zot-1 }`",
    ),
    (
        "id: zot-2,",
        "id: zot-1,",
        "duplicate member id `zot-1`, first on line 5",
    ),
    (
        "address: zot-2:5443",
        "address: zot-1:5443",
        "duplicate member address `zot-1:5443`, first on line 5",
    ),
    (
        "address: zot-2:5443",
        "address: zot-2",
        "bad value `zot-2` for `cluster.members[].address`: expected a host and a port, such as `zot-1:5443`",
    ),
    (
        "address: zot-2:5443",
        "weight: 2",
        "missing key `cluster.members[].address`",
    ),
    (
        "address: zot-2:5443",
        "address: zot-2:5443, weight: 1001",
        "bad value `1001` for `cluster.members[].weight`: expected a whole number from 1 to 1000",
    ),
    (
        "insecure: true",
        "insecure: true\n  max_in_flight: 0",
        "bad value `0` for `cluster.max_in_flight`: expected a whole number from 1 to 1000000",
    ),
    (
        "insecure: true",
        "insecure: true\n  queue: { timeout: 11m }",
        "bad value `11m` for `cluster.queue.timeout`: expected a duration from 1ms to 10m",
    ),
    (
        "{ id: zot-2, address: zot-2:5443 }",
        "zot-2:5443",
        "bad value `zot-2:5443` for `cluster.members[]`: expected a mapping with id, address, weight",
    ),
];

#[test]
fn clusters() {
    let base = minimal("");
    for (from, to, expected) in CLUSTERS {
        let text = base.replace(from, to);
        assert_ne!(text, base, "{from}");
        assert_eq!(messages(&text), [*expected], "{to}");
    }
    let none = "cluster: { hash_key: loremipsumdolors, insecure: true, members: [] }\n";
    assert_eq!(messages(none), ["there are no members"]);
    let zot = base
        .replace("insecure: true", "insecure: true\n  placement: zot")
        .replace("address: zot-2:5443", "address: zot-2:5443, weight: 2");
    assert_eq!(messages(&zot), ["weight 2 with `placement: zot`"]);
    let members: String = (0..1025)
        .map(|i| format!("    - {{ id: m{i}, address: 'm{i}:5443' }}\n"))
        .collect();
    let many =
        format!("cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members:\n{members}");
    assert_eq!(
        messages(&many),
        ["1025 members are too many, the limit is 1024"]
    );
}
