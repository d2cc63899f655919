//! Members by the name and the number of pods of a StatefulSet.

use super::*;
use crate::shard::MemberId;

fn with(statefulset: &str, more: &str) -> String {
    format!(
        "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  statefulset: {statefulset}\n{more}"
    )
}

fn by_hand(count: usize, service: &str, port: u16) -> String {
    let members: String = (0..count)
        .map(|at| format!("    - {{ id: zot-{at}, address: 'zot-{at}.{service}:{port}' }}\n"))
        .collect();
    format!("cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  members:\n{members}")
}

#[test]
fn the_same_list_written_by_hand_makes_the_same_view() {
    let cases = [
        (
            1,
            "peers",
            5443,
            "{ name: zot, replicas: 1, service: peers }",
        ),
        (
            3,
            "peers.registry.svc",
            7000,
            "{ name: zot, replicas: 3, service: peers.registry.svc, port: 7000 }",
        ),
        (
            12,
            "peers",
            5443,
            "{ name: zot, replicas: 12, service: peers }",
        ),
        (
            1024,
            "peers",
            5443,
            "{ name: zot, replicas: 1024, service: peers }",
        ),
    ];
    for (count, service, port, short) in cases {
        for placement in ["", "  placement: zot\n"] {
            let pinned = "  pins: [{ prefix: team/, member: zot-0 }]\n";
            let counted = read(&with(short, &format!("{placement}{pinned}"))).expect(short);
            let listed = by_hand(count, service, port) + placement + pinned;
            let listed = read(&listed).expect("the list");
            assert_eq!(counted.view.members(), listed.view.members());
            assert_eq!(counted.view.fingerprint(), listed.view.fingerprint());
        }
    }
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    let good = "{ name: zot, replicas: 3, service: peers }";
    let cases = [
        ("name: zot, ", "", "missing key `cluster.statefulset.name`"),
        (
            "replicas: 3, ",
            "",
            "missing key `cluster.statefulset.replicas`",
        ),
        (
            ", service: peers",
            "",
            "missing key `cluster.statefulset.service`",
        ),
        (
            "name: zot",
            "name: Zot",
            "bad value `Zot` for `cluster.statefulset.name`: expected the name of a StatefulSet",
        ),
        (
            "name: zot",
            "name: zot.a",
            "bad value `zot.a` for `cluster.statefulset.name`: expected the name of a StatefulSet",
        ),
        (
            "replicas: 3",
            "replicas: 0",
            "bad value `0` for `cluster.statefulset.replicas`: expected a whole number from 1 to 1024",
        ),
        (
            "service: peers",
            "service: 10.0.0.1",
            "bad value `10.0.0.1` for `cluster.statefulset.service`: expected the name of its headless service, \
             such as `registry-peers`",
        ),
        (
            "service: peers",
            "service: ''",
            "bad value `` for `cluster.statefulset.service`: expected the name of its headless service, \
             such as `registry-peers`",
        ),
        (
            "service: peers",
            "service: peers, port: 0",
            "bad value `0` for `cluster.statefulset.port`: expected a whole number from 1 to 65535",
        ),
    ];
    for (from, to, expected) in cases {
        let text = with(&good.replace(from, to), "");
        assert_ne!(text, with(good, ""), "{from}");
        assert_eq!(messages(&text), [expected]);
    }
    let long = format!(
        "{{ name: {}, replicas: 11, service: peers }}",
        "z".repeat(61)
    );
    assert_eq!(messages(&with(&long, "")).len(), 1);
    assert!(read(&with(&long.replace("11", "10"), "")).is_ok());
    let both = with(good, "  members: [{ id: a, address: 'a:1' }]\n");
    assert_eq!(
        messages(&both),
        ["`cluster.members` and `cluster.statefulset` exclude each other"]
    );
}

#[test]
fn a_pod_beyond_the_number_of_replicas_is_told_so() {
    let text = with("{ name: zot, replicas: 3, service: peers }", "");
    let files = Memory::default();
    let at = |member| {
        let env = Environment {
            member_variable: Some(member),
            ..offline(&files)
        };
        load(&text, &source(), &env)
    };
    let members = at("zot-2")
        .expect("a pod of the set")
        .view
        .members()
        .clone();
    let id: MemberId = "zot-2".parse().expect("an id");
    assert_eq!(members.find(&id), Some(members.local()));
    let problem = told(&at("zot-3").expect_err("a pod too many"));
    assert_eq!(
        problem,
        "SHARDLET_MEMBER: bad value `zot-3`: expected the id of a member (with 3 replicas they are zot-0 to zot-2)"
    );
}
