//! Members by leases: what is read, and what is refused in which words.

mod refused;

use super::*;
use crate::config::problem::Location;
use crate::config::{
    Coordination, DynamoDbSettings, Identified, KubernetesSettings, Level, S3Settings, ServiceUrl,
    StoreSettings,
};
use crate::shard::leases::Timing;
use crate::shard::leases::record::Policy;
use crate::shard::{HashKey, Members, Pins, View};

const S3: &str = "s3: { bucket: registry, region: eu-central-1 }";

/// A member by leases: what stands under `coordination`, and what more under `cluster`.
fn leased(coordination: &str, more: &str) -> String {
    format!(
        "member: zot-1\ncluster:\n  hash_key: loremipsumdolors\n  insecure: true\n{more}  coordination:\n{coordination}"
    )
}

fn by(store: &str) -> String {
    leased(&format!("    store: {{ {store} }}\n"), ADDRESS)
}

const ADDRESS: &str = "  address: zot-1:5443\n";

fn timed(times: &str) -> String {
    leased(&format!("    store: {{ {S3} }}\n{times}"), ADDRESS)
}

fn agreed(text: &str) -> Coordination {
    let config = read(text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    config.coordination.expect("leases")
}

fn url(text: &str) -> Option<ServiceUrl> {
    Some(text.parse().unwrap())
}

#[test]
fn defaults_are_safe_and_the_member_is_alone_in_its_view() {
    let config = read(&by(S3)).unwrap();
    let members = config.view.members();
    assert_eq!(members.len(), 1);
    let own = members.get(members.local());
    assert_eq!(
        (own.id.as_str(), config.identified),
        ("zot-1", Identified::File)
    );
    assert_eq!(config.view.pins().len(), 0);
    let policy = Policy::of(&config.view);
    let coordination = config.coordination.unwrap();
    assert_eq!(coordination.level(), Level::Timing);
    let seconds = Duration::from_secs;
    assert_eq!(
        coordination,
        Coordination {
            store: StoreSettings::S3(S3Settings {
                bucket: "registry".to_owned(),
                prefix: "shardlet".to_owned(),
                region: "eu-central-1".to_owned(),
                endpoint: None,
                path_style: false,
                ca: None,
                profile: None,
            }),
            timing: Timing {
                lease: seconds(10),
                renew: Duration::from_millis(2500),
                margin: seconds(1),
                grace: seconds(30),
                killed: seconds(5),
                handoff: seconds(5),
                poll: Duration::from_millis(250),
                drift: 10,
            },
            replica_kill: None,
            replica_ends_with_sidecar: false,
            address: "zot-1:5443".parse().unwrap(),
            weight: crate::shard::Weight::default(),
            policy,
            listed: Vec::new(),
        }
    );
}

#[test]
fn without_it_members_are_those_of_the_file() {
    assert_eq!(good("").coordination, None);
    assert!(good("").may_have_peers());
}

#[test]
fn stores_are_read_whole() {
    let s3 = |settings: &str| {
        let StoreSettings::S3(settings) = agreed(&by(settings)).store else {
            panic!("{settings}")
        };
        settings
    };
    let minio = s3(
        "s3: { bucket: registry, prefix: /a/b/, endpoint: 'http://minio:9000/', profile: fleet }",
    );
    assert_eq!(
        minio,
        S3Settings {
            bucket: "registry".to_owned(),
            prefix: "a/b".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: url("http://minio:9000"),
            path_style: true,
            ca: None,
            profile: Some("fleet".to_owned()),
        }
    );
    let file = s3("s3: { bucket: a.b, region: cn-north-1, ca: ca.crt }");
    assert_eq!((file.path_style, file.endpoint), (true, None));
    assert_eq!(file.ca, Some(PathBuf::from("etc/ca.crt")));
    let host = s3("s3: { bucket: abc, endpoint: 'https://store', path_style: false }");
    assert!(!host.path_style);
    assert_eq!(
        agreed(&by(
            "dynamodb: { table: locks, region: us-east-1, fleet: A_b }"
        ))
        .store,
        StoreSettings::DynamoDb(DynamoDbSettings {
            table: "locks".to_owned(),
            fleet: "A_b".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            ca: None,
            profile: None,
        })
    );
    for (written, fleet, namespace) in [
        ("kubernetes:", "shardlet", None),
        ("kubernetes: {}", "shardlet", None),
        ("kubernetes: { fleet: a, namespace: b }", "a", Some("b")),
    ] {
        assert_eq!(
            agreed(&by(written)).store,
            StoreSettings::Kubernetes(KubernetesSettings {
                fleet: fleet.to_owned(),
                namespace: namespace.map(str::to_owned),
            })
        );
    }
}

#[test]
fn times_go_together() {
    let read = |times: &str| agreed(&timed(times)).timing;
    let millis = |timing: Timing| {
        [timing.lease, timing.renew, timing.margin, timing.handoff].map(|time| time.as_millis())
    };
    assert_eq!(millis(read("    lease: 3s\n")), [3000, 750, 300, 5000]);
    assert_eq!(
        millis(read("    lease: 1m\n    guard: 14s\n    handoff: 0s\n")),
        [60_000, 15_000, 14_000, 0]
    );
}

#[test]
fn the_level_is_that_of_both_halves() {
    let kill = "    replica_kill: [/bin/kill-replica, -9]\n";
    let ends = "    replica_ends_with_sidecar: true\n";
    let both = format!("{kill}{ends}");
    for (written, level, grace) in [
        ("", Level::Timing, 17),
        (kill, Level::Timing, 17),
        (ends, Level::Timing, 17),
        (&both, Level::Killed, 5),
    ] {
        let text = timed(written) + "timeouts: { aftermath: 17s }\n";
        let config = read(&text).unwrap();
        let remarked = config
            .remarks
            .iter()
            .any(|remark| remark.message.contains("is level L0"));
        assert_eq!(remarked, written == kill || written == ends, "{written}");
        let coordination = config.coordination.unwrap();
        assert_eq!(coordination.level(), level, "{written}");
        assert_eq!(
            coordination.grace(),
            Duration::from_secs(grace),
            "{written}"
        );
    }
    assert_eq!(
        agreed(&timed(kill)).replica_kill,
        Some(vec!["/bin/kill-replica".to_owned(), "-9".to_owned()])
    );
}

/// Of whom nothing is written.
fn unnamed(more: &str) -> String {
    by(S3).replace("member: zot-1\n", "").replace(ADDRESS, more)
}

struct Named(&'static str);

impl Surroundings for Named {
    fn addresses(&self) -> io::Result<Vec<std::net::IpAddr>> {
        Ok(Vec::new())
    }

    fn host_name(&self) -> io::Result<String> {
        Ok(self.0.to_owned())
    }

    fn resolve(&self, _: &[&str]) -> crate::config::identity::Resolved {
        HashMap::new()
    }
}

#[test]
fn who_we_are_needs_no_list() {
    let files = Memory::default();
    let local = |text: &str, env: &Environment<'_>| {
        load(text, &source(), env).map(|config| {
            let members = config.view.members();
            (
                members.get(members.local()).id.to_string(),
                config.identified,
            )
        })
    };
    let on = |name| Environment {
        surroundings: Some(name),
        ..offline(&files)
    };
    let (pod, local_host, odd) = (Named("Registry-0"), Named("localhost"), Named("a b"));
    let by_name = local(&unnamed(ADDRESS), &on(&pod)).unwrap();
    assert_eq!(by_name, ("registry-0".into(), Identified::HostName));
    let named = Environment {
        member_variable: Some("zot-7"),
        ..on(&pod)
    };
    let by_variable = local(&unnamed(ADDRESS), &named).unwrap();
    assert_eq!(by_variable, ("zot-7".into(), Identified::Variable));
    let by_file = local(&by(S3), &on(&local_host)).unwrap();
    assert_eq!(by_file, ("zot-1".into(), Identified::File));
    for (machine, why) in [
        (&local_host, "it is `localhost`"),
        (
            &odd,
            "`a b`: it has ` `: only `a-z`, `0-9`, `.`, `_` and `-` are allowed",
        ),
    ] {
        let problems = local(&unnamed(ADDRESS), &on(machine)).unwrap_err();
        let first = problems.iter().next().unwrap().message.clone();
        assert!(
            first.starts_with("cannot tell which member this is: the host name is no id ("),
            "{first}"
        );
        assert!(first.contains(why.split(':').next().unwrap()), "{first}");
    }
}

#[test]
fn where_we_are_reached_has_to_be_said() {
    let files = Memory::default();
    let machine = Named("zot-1");
    let at = |text: &str, address| {
        let env = Environment {
            surroundings: Some(&machine),
            address,
            ..offline(&files)
        };
        let config = load(text, &source(), &env);
        config.map(|config| config.coordination.unwrap().address.to_string())
    };
    assert_eq!(at(&unnamed(ADDRESS), None).unwrap(), "zot-1:5443");
    assert_eq!(at(&unnamed(ADDRESS), Some("pod:1")).unwrap(), "pod:1");
    assert_eq!(at(&unnamed(""), Some("pod:1")).unwrap(), "pod:1");
    assert_eq!(
        told(&at(&unnamed(""), None).unwrap_err()),
        "etc/proxy.yaml:1:1: missing key `cluster.address` (where other members reach our peer listener; or the \
         variable SHARDLET_ADDRESS)"
    );
    assert_eq!(
        told(&at(&unnamed(""), Some("pod")).unwrap_err()),
        "SHARDLET_ADDRESS: bad value `pod`: expected a host and a port, such as `zot-1:5443` (the port is missing: \
         write host:port)"
    );
    let everywhere = unnamed("  address: 0.0.0.0:5443\n");
    assert_eq!(
        messages(&everywhere),
        [
            "bad value `0.0.0.0:5443` for `cluster.address`: expected a host and a port, such as `zot-1:5443`"
        ]
    );
}

#[test]
fn what_another_machine_knows_is_a_remark_elsewhere() {
    let files = Memory::default();
    let env = Environment {
        elsewhere: true,
        ..offline(&files)
    };
    let config = load(&unnamed(""), &source(), &env).unwrap();
    assert_eq!(config.identified, Identified::Assumed);
    let remarks: Vec<&str> = config
        .remarks
        .iter()
        .map(|remark| &*remark.message)
        .collect();
    assert_eq!(
        remarks,
        [
            INSECURE,
            "no `cluster.address`: it must come from the variable SHARDLET_ADDRESS",
            "which member this is shows on its own machine",
        ]
    );
}

#[test]
fn our_share_is_ours_to_say() {
    let weighted = leased(
        &format!("    store: {{ {S3} }}\n"),
        "  address: zot-1:5443\n  weight: 3\n",
    );
    assert_eq!(agreed(&weighted).weight.get(), 3);
    let zot = weighted.replace("weight: 3", "weight: 3\n  placement: zot");
    assert_eq!(messages(&zot), ["weight 3 with `placement: zot`"]);
}

const LISTED: &str = "  members:\n    - { id: zot-1, address: zot-1:5443, weight: 2 }\n    \
                      - { id: zot-2, address: zot-2:5443 }\n    - { id: zot-3, address: zot-3:5443 }\n";

#[test]
fn a_list_beside_it_says_who_has_worked_by_a_file() {
    let store = format!("    store: {{ {S3} }}\n");
    let pins = "  pins: [{ prefix: b, member: zot-3 }, { prefix: a/, member: zot-2 }]\n";
    let text = leased(&store, &format!("{LISTED}{pins}"));
    let config = read(&text).unwrap();
    assert_eq!(config.view.members().len(), 3);
    let coordination = config.coordination.unwrap();
    assert_eq!(coordination.address.to_string(), "zot-1:5443");
    assert_eq!(coordination.weight.get(), 2);
    let listed: Vec<&str> = coordination.listed.iter().map(|id| id.as_str()).collect();
    assert_eq!(listed, ["zot-2", "zot-3"]);
    assert_eq!(coordination.policy, Policy::of(&config.view));
    // The same where no list is written.
    let unlisted = agreed(&leased(&store, &format!("{ADDRESS}{pins}")));
    assert_eq!(unlisted.policy, coordination.policy);
    let set = leased(
        &store,
        "  statefulset: { name: zot, replicas: 3, service: peers }\n",
    );
    let listed: Vec<String> = agreed(&set)
        .listed
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listed, ["zot-0", "zot-2"]);
}

#[test]
fn nothing_is_said_twice() {
    let store = format!("    store: {{ {S3} }}\n");
    for (more, expected) in [
        (
            "  address: zot-1:5443\n",
            "`cluster.address` is in the list of members already",
        ),
        (
            "  weight: 1\n",
            "`cluster.weight` is in the list of members already",
        ),
        (
            "  pins: [{ prefix: a, member: zot-4 }]\n",
            "bad value `zot-4` for `cluster.pins[].member`: expected the id of a member",
        ),
    ] {
        assert_eq!(
            messages(&leased(&store, &format!("{LISTED}{more}"))),
            [expected]
        );
    }
    let stranger = leased(&store, LISTED).replace("member: zot-1", "member: zot-9");
    assert_eq!(
        messages(&stranger),
        ["bad value `zot-9` for `member`: expected the id of a member"]
    );
    let empty = leased(&store, "  members: []\n");
    assert_eq!(messages(&empty), ["there are no members"]);
    for key in ["address: 'a:1'", "weight: 2"] {
        let text = minimal("").replace("insecure: true", &format!("insecure: true\n  {key}"));
        let name = key.split(':').next().unwrap();
        assert_eq!(
            messages(&text),
            [format!(
                "`cluster.{name}` is for members that work by leases, with `cluster.coordination`"
            )]
        );
    }
    let files = Memory::default();
    let at = |address| Environment {
        address: Some(address),
        ..offline(&files)
    };
    let text = leased(&store, LISTED);
    assert!(load(&text, &source(), &at("zot-1:5443")).is_ok());
    let problems = load(&text, &source(), &at("zot-1:5444")).unwrap_err();
    let first = problems.iter().next().unwrap();
    assert!(matches!(
        first.place,
        Location::Variable("SHARDLET_ADDRESS")
    ));
    assert_eq!(
        first.message,
        "`zot-1:5444` is not where `cluster.members` has us, zot-1:5443"
    );
    // By a file alone the variable says nothing.
    assert!(load(&minimal(""), &source(), &at("anything")).is_ok());
}

#[test]
fn pins_name_any_member_and_are_ordered_as_a_view_has_them() {
    let store = format!("    store: {{ {S3} }}\n");
    let pins = "  pins: [{ prefix: b/, member: later }, { prefix: a, member: zot-1 }]\n";
    let config = read(&leased(&store, &format!("{ADDRESS}{pins}"))).unwrap();
    // Only the store knows whether there is such a member.
    assert_eq!(config.view.pins().len(), 1);
    let policy = config.coordination.unwrap().policy;
    let own = |(prefix, member): (&str, &str)| (prefix.to_owned(), member.to_owned());
    assert_eq!(policy.pins, [("a", "zot-1"), ("b", "later")].map(own));
    let key = HashKey::from(*b"loremipsumdolors");
    let other = View::new(
        Members::new(
            vec![
                config
                    .view
                    .members()
                    .get(config.view.members().local())
                    .clone(),
            ],
            &"zot-1".parse().unwrap(),
        )
        .unwrap(),
        Placement::Rendezvous,
        &key,
        Pins::default(),
    );
    assert_eq!(policy.key, Policy::of(&other).key);
    assert!(!policy.key.contains("lorem"));
    for (pins, expected) in [
        (
            "[{ prefix: a, member: zot-1 }, { prefix: a/, member: b }]",
            "duplicate pin `a/`, first on line 6",
        ),
        (
            "[{ prefix: a, member: A }]",
            "bad value `A` for `cluster.pins[].member`: expected the id of a member",
        ),
    ] {
        assert_eq!(
            messages(&leased(&store, &format!("{ADDRESS}  pins: {pins}\n"))),
            [expected]
        );
    }
    let many: String = (0..4097)
        .map(|at| format!("    - {{ prefix: a{at}, member: m }}\n"))
        .collect();
    assert_eq!(
        messages(&leased(&store, &format!("{ADDRESS}  pins:\n{many}"))),
        ["4097 pins are too many, the limit is 4096"]
    );
}
