//! Crowds that mean no good, at every listener, and a client that is served meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Connection, Plan, Request, within};

const TLS_REFUSED: &str = "shardlet_connections_refused_total{listener=\"peers\",reason=\"tls\"}";
/// A crowd; the long tests bring thousands.
const CROWD: usize = 200;

/// The first bytes of a ClientHello that promises 512.
const PART_OF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

async fn crowd(address: SocketAddr, size: usize, says: &[u8]) -> Vec<Connection> {
    let mut crowd = Vec::new();
    for _ in 0..size {
        let mut connection = Connection::open(address).await;
        connection.send(says).await;
        crowd.push(connection);
    }
    crowd
}

async fn served(cluster: &Cluster) {
    assert_eq!(cluster.at(0).get("/v2/").await.status, 200);
    let admin = cluster.at(0).addresses().admin;
    let mut connection = Connection::open(admin).await;
    assert_eq!(connection.ask(&Request::get("/readyz")).await.status, 200);
}

#[tokio::test]
async fn a_crowd_that_drips_keeps_nobody_out() {
    let timeouts = "request_header: 2s, idle: 10s";
    for plan in [Plan::of(1), Plan::of(1).client_tls()] {
        let cluster = Cluster::start(plan.set("timeouts", timeouts).eager_probes()).await;
        let addresses = cluster.at(0).addresses();
        let began = Instant::now();
        let mut crowds = Vec::new();
        for address in [addresses.clients, addresses.peers, addresses.admin] {
            let tls = address == addresses.peers
                || address == addresses.clients && cluster.plan().speaks_client_tls();
            let says = if tls {
                PART_OF_A_HELLO
            } else {
                b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: "
            };
            crowds.extend(crowd(address, CROWD, says).await);
        }
        for _ in 0..20 {
            served(&cluster).await;
            for connection in &mut crowds {
                connection.send("a").await;
            }
        }
        for connection in &mut crowds {
            let last = connection.until_closed().await;
            let last = String::from_utf8_lossy(&last);
            assert!(
                !last.starts_with("HTTP/") || last.starts_with("HTTP/1.1 408"),
                "{last}"
            );
        }
        assert!(
            began.elapsed() >= Duration::from_secs(2),
            "they had their time"
        );
        served(&cluster).await;
    }
}

#[tokio::test]
async fn handshakes_that_stop_in_the_middle_make_room() {
    let timeouts = "request_header: 50s, idle: 10s";
    let plan = Plan::of(1).client_tls().set("timeouts", timeouts);
    let cluster = Cluster::start(plan.set("limits", "handshakes: 2")).await;
    let addresses = cluster.at(0).addresses();
    let began = Instant::now();
    // Who says nothing has no place at all, who stops in the middle loses it.
    let _silent = crowd(addresses.clients, CROWD, b"").await;
    let _stuck = crowd(addresses.clients, 3, PART_OF_A_HELLO).await;
    served(&cluster).await;
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "long before the deadline"
    );
}

#[tokio::test]
async fn a_chain_of_certificates_beyond_all_measure_is_refused() {
    let cluster = Cluster::start(Plan::of(1)).await;
    let peers = cluster.at(0).addresses().peers;
    let member = cluster.authority.sign(&["zot-1".into()]);
    let open = async |more| {
        let chain = cluster
            .authority
            .client_with_chain(Some(&member), more, &["http/1.1"]);
        Connection::open_tls(peers, chain).await
    };
    let many = 200 * 1024 / member.der().len();
    // Refused only after the client has sent it all, so it may see the handshake end well first.
    if let Ok(mut connection) = open(many).await {
        connection.send(Request::get("/v2/").bytes()).await;
        assert!(!connection.until_closed().await.starts_with(b"HTTP/"));
    }
    within("the refusal to be counted", async {
        while cluster.at(0).metric(TLS_REFUSED) < 1.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut honest = open(0).await.unwrap();
    let answer = honest.ask(&Request::get("/v2/")).await;
    assert_eq!(
        answer.refused(),
        (400, "peer_fields".into()),
        "heard, at least"
    );
    served(&cluster).await;
}

#[tokio::test]
async fn garbage_on_every_listener_is_answered_or_cut() {
    for plan in [Plan::of(1), Plan::of(1).client_tls()] {
        let cluster = Cluster::start(plan).await;
        let addresses = cluster.at(0).addresses();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for address in [addresses.clients, addresses.peers, addresses.admin] {
            for _ in 0..100 {
                let mut garbage = dice.bytes();
                if dice.throw().is_multiple_of(4) {
                    // Further into the parsers.
                    garbage.splice(0..0, PART_OF_A_HELLO.iter().copied());
                }
                let mut connection = Connection::open(address).await;
                connection.send(&garbage).await;
                connection.finish().await;
                let said = connection.until_closed().await;
                let said = String::from_utf8_lossy(&said);
                let refused = said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 505");
                assert!(refused || !said.starts_with("HTTP/"), "{garbage:?}: {said}");
            }
        }
        assert_eq!(cluster.replica(0).requests().len(), 0);
        served(&cluster).await;
    }
}

#[tokio::test]
async fn a_crowd_beyond_the_cap_is_told_so_at_once() {
    let cluster = Cluster::start(Plan::of(1).set("limits", "connections: 50")).await;
    let address = cluster.at(0).addresses().clients;
    let mut inside = Vec::new();
    for _ in 0..50 {
        let mut connection = Connection::open(address).await;
        assert_eq!(connection.ask(&Request::get("/v2/")).await.status, 200);
        inside.push(connection);
    }
    let began = Instant::now();
    let mut told = 0;
    for mut connection in crowd(address, CROWD, &Request::get("/v2/").bytes()).await {
        let said = connection.until_closed().await;
        let said = String::from_utf8_lossy(&said).to_lowercase();
        told += usize::from(said.starts_with("http/1.1 503") && said.contains("retry-after: "));
    }
    // Those beyond even that are closed without a word; a reset may take a word away.
    assert!(told > CROWD / 4, "{told}");
    assert!(began.elapsed() < Duration::from_secs(20));
    for connection in &mut inside {
        assert_eq!(connection.ask(&Request::get("/v2/")).await.status, 200);
    }
}

#[tokio::test]
async fn a_path_goes_where_the_corpus_says_or_nowhere() {
    let cluster = Cluster::of_three().await;
    let generation = cluster.at(0).generation();
    let rows = include_str!("../corpus/paths.txt").lines();
    let rows = rows.filter(|line| !line.starts_with('#') && !line.is_empty());
    for row in rows {
        let (expected, target) = row.split_once(' ').unwrap();
        let target = target.trim().replace(r"\\", r"\").replace(r"\xc3\xa9", "é");
        let answer = cluster.at(0).get(&target).await;
        let seen: Vec<usize> = (0..3)
            .filter(|index| {
                let requests = cluster.replica(*index).requests();
                requests.iter().any(|seen| seen.target == target)
            })
            .collect();
        match expected {
            "refused" => {
                assert!(matches!(answer.status, 400 | 404), "{target}: {answer:?}");
                assert_eq!(
                    (answer.refused().0, seen),
                    (answer.status, vec![]),
                    "{target}"
                );
            }
            // For operators alone, or the local replica.
            "-" if answer.status == 403 => assert!(seen.is_empty(), "{target}"),
            "-" => assert_eq!(seen, [0], "{target}"),
            name => {
                let repository = shardlet::shard::Repository::parse(name).unwrap();
                let owner = generation.view.owner(&repository).get();
                assert_eq!(seen, [owner], "{target} of {name}");
            }
        }
    }
    let seen = (0..3).flat_map(|index| cluster.replica(index).requests());
    let mut targets: Vec<_> = seen.map(|seen| seen.target).collect();
    let count = targets.len();
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), count, "each once");
}

/// The same numbers each time (xorshift).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.throw() % 400 + 1;
        (0..length).map(|_| self.throw().to_be_bytes()[0]).collect()
    }
}
