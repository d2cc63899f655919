//! What is refused, and in which words.

use super::*;

/// A case: what is put at the top level, and the one message that must come of it.
fn refused(cases: &[(&str, &str)]) {
    for (more, expected) in cases {
        assert_eq!(messages(&minimal(more)), [*expected], "{more}");
    }
}

#[test]
fn five_mistakes_are_told_at_once_each_with_its_line() {
    let text = include_str!("five-mistakes.yaml");
    let problems = read(text).expect_err("five mistakes");
    assert_eq!(problems.count(), 5);
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn colours_frame_the_same_text() {
    let problems = read(include_str!("five-mistakes.yaml")).expect_err("five mistakes");
    let mut colored = problems.render(true);
    assert!(colored.contains("\x1b[1;31m^^^^^\x1b[0m"));
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[34m", "\x1b[1;31m", "\x1b[1;33m"] {
        colored = colored.replace(code, "");
    }
    assert_eq!(colored, problems.render(false));
}

#[test]
fn broken_yaml_is_one_problem_with_its_place() {
    let cases = [
        "listen: [\n",
        "a: 1\n---\nb: 2\n",
        "a: *nobody\n",
        "a:\n  b: 1\n c: 2\n",
        "a: \"never closed\n",
        "a:\n\t- x\n",
        "x: !!int many\n",
        "a: b: c\n",
        "- {\n",
    ];
    let rendered: Vec<String> = cases
        .iter()
        .map(|text| {
            let problems = read(text).expect_err("no YAML");
            assert_eq!(problems.count(), 1, "{text}");
            format!("{text:?}\n{}", problems.render(false))
        })
        .collect();
    insta::assert_snapshot!(rendered.join("\n"));
}

#[test]
fn limits_of_the_file_itself() {
    let deep = format!("a: {}", "[".repeat(5000));
    assert_eq!(messages(&deep).len(), 1);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(
        messages(bomb)[0].starts_with("not valid YAML: alias replay limit exceeded"),
        "{:?}",
        messages(bomb)
    );
    let large = "#".repeat(MAX_FILE_BYTES + 1);
    assert_eq!(
        messages(&large),
        ["not valid YAML: the file is larger than 1048576 bytes"]
    );
    let many: String = (0..1000).map(|i| format!("key{i}: 1\n")).collect();
    let many = messages(&many);
    assert_eq!(many.len(), 101);
    assert_eq!(many[100], "there is more; the first 100 are shown");
}

#[test]
fn an_empty_file_lacks_a_cluster() {
    for text in ["", "# nothing\n", "{}"] {
        assert_eq!(
            messages(text),
            [
                "missing key `cluster.hash_key`",
                "missing key `cluster.tls`",
                "missing key `cluster.members`"
            ]
        );
    }
    assert!(
        messages("- 1\n")[0].starts_with(
            "bad value (a list) for `the file`: expected a mapping with member, listen"
        )
    );
}

#[test]
fn keys() {
    refused(&[
        ("lisen: {}\n", "unknown key `lisen`"),
        ("log: { levle: info }\n", "unknown key `levle` in `log`"),
        (
            "log: { level: info, level: warn }\n",
            "duplicate key `level`, first on line 7",
        ),
        ("<<: { log: 1 }\n", "unknown key `<<`"),
        ("? [a]\n: 1\n", "a key must be a word, found a list"),
        (
            "log: [1]\n",
            "bad value (a list) for `log`: expected a mapping with format, level, requests",
        ),
        (
            "log: text\n",
            "bad value `text` for `log`: expected a mapping with format, level, requests",
        ),
    ]);
}

#[test]
fn values() {
    let duration = "expected a duration such as `500ms`, `2s`, `1m` or `1h`";
    let size = "expected a size such as `64KiB`, `1MiB` or `10MB`";
    for (key, value, expected) in [
        ("timeouts.idle", "60", duration),
        ("timeouts.idle", "60 sec", duration),
        ("timeouts.idle", "1m30s", duration),
        ("timeouts.idle", "-1s", duration),
        ("timeouts.idle", "1.5s", duration),
        ("timeouts.idle", "2d", duration),
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
        ("limits.header_bytes", "65536", size),
        ("limits.header_bytes", "64k", size),
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
        ("log.requests", "yes", "expected `true` or `false`"),
        ("reads.blobs", "owners", "expected `owner` or `any`"),
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
    ] {
        let (section, name) = key.split_once('.').expect("a dotted key");
        let more = format!("{section}: {{ {name}: '{value}' }}\n");
        refused(&[(
            &more,
            &format!("bad value `{value}` for `{key}`: {expected}"),
        )]);
    }
    refused(&[
        (
            "trusted_proxies: [10.0.0.0/33]\n",
            "bad value `10.0.0.0/33` for `trusted_proxies`: expected a network such as `10.0.0.0/8`, or an address",
        ),
        (
            "trusted_proxies: 10.0.0.0/8\n",
            "bad value `10.0.0.0/8` for `trusted_proxies`: expected a list of networks, such as `10.0.0.0/8`",
        ),
        (
            "timeouts: { idle: }\n",
            "bad value (nothing) for `timeouts.idle`: expected a duration such as `500ms`, `2s`, `1m` or `1h`",
        ),
        (
            "log: { requests: { a: b } }\n",
            "bad value (a mapping) for `log.requests`: expected `true` or `false`",
        ),
    ]);
}

#[test]
fn suggestions() {
    for (more, expected) in [
        (
            "timeouts: { idle: 60 }\n",
            "write the unit: `60s`? Units are ms, s, m, h",
        ),
        ("timeouts: { idle: 60S }\n", "did you mean `60s`?"),
        ("limits: { header_bytes: 64kib }\n", "did you mean `64KiB`?"),
        (
            "limits: { header_bytes: 64XY }\n",
            "units are B, KiB, MiB, GiB, kB, MB, GB",
        ),
        (
            "cluster_tls: 1\n",
            "known here: member, listen, registry, cluster, reads, sticky, timeouts, limits, trusted_proxies, probes, resolve, log",
        ),
        (
            "max_in_flight: 1\n",
            "`max_in_flight` stands under `registry`",
        ),
        ("log: { cluster: 1 }\n", "`cluster` stands at the top level"),
        ("log: { level: debgu }\n", "did you mean `debug`?"),
        ("reads: { blobs: Any }\n", "did you mean `any`?"),
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
    ] {
        let problems = read(&minimal(more)).expect_err(more);
        let help: Vec<_> = problems
            .iter()
            .filter_map(|problem| problem.help.as_deref())
            .collect();
        assert_eq!(help, [expected], "{more}");
    }
}

#[test]
fn listeners_do_not_collide() {
    refused(&[
        (
            "listen: { peers: { address: '127.0.0.1:5000' } }\n",
            "`listen.clients` and `listen.peers` both listen on port 5000: 0.0.0.0:5000 and 127.0.0.1:5000",
        ),
        (
            "listen: { admin: { address: '[::]:5443' } }\n",
            "`listen.peers` and `listen.admin` both listen on port 5443: 0.0.0.0:5443 and [::]:5443",
        ),
    ]);
    let free = good(
        "listen: { clients: { address: '0.0.0.0:0' }, peers: { address: '0.0.0.0:0' }, admin: { address: '0.0.0.0:0' } }\n",
    );
    assert_eq!(free.listen.peers.address.port(), 0);
}

#[test]
fn clusters() {
    let base = minimal("");
    for (from, to, expected) in [
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
            "{ id: zot-2, address: zot-2:5443 }",
            "zot-2:5443",
            "bad value `zot-2:5443` for `cluster.members[]`: expected a mapping with id, address, weight",
        ),
    ] {
        let text = base.replace(from, to);
        assert_ne!(text, base, "{from}");
        assert_eq!(messages(&text), [expected], "{to}");
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

#[test]
fn excerpts_are_short_and_harmless() {
    let long = format!("{}x: {}\n", "", "y".repeat(5000));
    let problems = read(&minimal(&long)).expect_err("an unknown key");
    assert!(
        problems
            .render(false)
            .lines()
            .all(|line| line.chars().count() < 140)
    );
    let control = read(&minimal("\"\\e[2J\": 1\n\"a\u{85}b\": 1\n")).expect_err("unknown keys");
    assert!(
        !control
            .render(false)
            .chars()
            .any(|c| c.is_control() && c != '\n')
    );
}

#[test]
fn columns_count_characters_and_lines_end_as_on_any_system() {
    let text = minimal("").replace('\n', "\r\n") + "\"ü\": \"ö\"\r\nlog: { \"füü\": 1 }\r\n";
    let problems = read(&text).expect_err("unknown keys");
    let places: Vec<_> = problems
        .iter()
        .map(|problem| problem.place.to_string())
        .collect();
    assert_eq!(places, ["etc/proxy.yaml:7:1", "etc/proxy.yaml:8:8"]);
}
