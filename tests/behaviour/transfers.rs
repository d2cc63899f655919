//! Clients that ask for answers and do not read them, and a healthy one beside them.

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame};
use crate::cluster::h2_client::H2Client;
use crate::cluster::member::Member;
use crate::cluster::{Cluster, Connection, Plan, Program, Request, Step, eventually};

/// More than all buffers on its way hold.
const ENDLESS: u64 = 1 << 40;
const PLACES: usize = 8;
const STREAMS: usize = 10;
const GREEDY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 250, 0, 1));
const MODEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 250, 0, 2));
const REFUSED: &str = "shardlet_rejects_total{reason=\"transfers_full\"}";
const TRANSFERS: &str = "shardlet_transfers{arrival=\"client\"}";

async fn endless(plan: Plan) -> (Cluster, String) {
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n");
    let steps = [Step::say(head), Step::Fill(ENDLESS)];
    cluster.replica(0).steps(steps);
    (cluster, target)
}

/// Asks, and reads nothing.
async fn slow_reader(member: &Member, target: &str) -> Connection {
    let mut connection = member.connect().await;
    connection.send(Request::get(target).bytes()).await;
    connection
}

/// Asks for many answers and takes no byte of any (SETTINGS_INITIAL_WINDOW_SIZE: 0).
async fn windowless(member: &Member, target: &str) -> Connection {
    let mut connection = member.h2_bytes().await;
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let streams = (1..).step_by(2).take(STREAMS);
    let get = block("GET", target);
    let asks = streams.flat_map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get));
    let all = [PREFACE.to_vec(), settings, asks.collect()].concat();
    connection.send(all).await;
    connection
}

/// Waits until so many have come to the replica, and none of this member's has a place any more.
async fn until_answered(cluster: &Cluster, member: &Member, asked: usize) {
    cluster.replica(0).until_requests(asked).await;
    eventually("answers to begin", async || {
        let places = [
            "shardlet_replica_in_flight{access=\"read\"}",
            "shardlet_peer_in_flight{member=\"zot-1\"}",
        ];
        places.iter().all(|series| member.metric(series) == 0.0)
            && cluster.at(0).metric(places[0]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn clients_that_do_not_read_take_no_place_from_others() {
    let places = format!("max_in_flight: {PLACES}, queue: {{ limit: 4, timeout: 30s }}");
    let cluster = format!("hash_key: 000102030405060708090a0b0c0d0e0f, {places}");
    let plan = Plan::of(2).client_tls().set("registry", &places);
    let plan = plan.set(
        "timeouts",
        "idle: 60s, aftermath: 0s, drain_delay: 0s, drain: 1s",
    );
    let (cluster, target) = endless(plan.set("cluster", &cluster)).await;
    let (mut attackers, mut asked) = (Vec::new(), 0);
    for member in [cluster.at(0), cluster.at(1)] {
        for _ in 0..=PLACES {
            attackers.push(slow_reader(member, &target).await);
            asked += 1;
            until_answered(&cluster, member, asked).await;
        }
        for _ in 0..3 {
            attackers.push(windowless(member, &target).await);
            asked += STREAMS;
            until_answered(&cluster, member, asked).await;
        }
    }
    cluster.replica(0).does(Program::Registry);
    let manifest = target.replace("tags/list", "manifests/latest");
    for member in [cluster.at(0), cluster.at(1)] {
        for _ in 0..2 * PLACES {
            let push = Request::new("PUT", &manifest).body("x");
            assert_eq!(member.ask(push).await.status, 201);
            assert_eq!(member.get(&target).await.status, 200);
        }
        let get = H2Client::request("GET", &target);
        assert_eq!(member.h2().await.ask(get).await.unwrap().status, 200);
        assert_eq!(member.metric(TRANSFERS), (PLACES + 1 + 3 * STREAMS) as f64);
    }
    for reading in [
        "shardlet_replica_in_flight{access=\"read\"}",
        "shardlet_replica_in_flight{access=\"write\"}",
    ] {
        assert_eq!(cluster.at(0).metric(reading), 0.0);
    }
    drop(attackers);
    eventually("the transfers to end", async || {
        cluster.at(0).metric(TRANSFERS) == 0.0 && cluster.at(1).metric(TRANSFERS) == 0.0
    })
    .await;
}

#[tokio::test]
async fn one_address_cannot_have_every_transfer() {
    let (cluster, target) = endless(Plan::of(1).set("limits", "transfers: 20")).await;
    let member = cluster.at(0);
    let mut readers = Vec::new();
    // Four times as many as are left.
    for asked in 1..=16 {
        let mut reader = member.connect_from(GREEDY).await;
        reader.send(Request::get(&target).bytes()).await;
        reader.answer_head().await;
        readers.push(reader);
        cluster.replica(0).until_requests(asked).await;
    }
    let put = Request::new("PUT", &target.replace("tags/list", "manifests/latest")).body("x");
    for request in [&Request::get(&target), &put] {
        let answer = member.connect_from(GREEDY).await.ask(request).await;
        assert_eq!(answer.refused(), (429, "transfers_full".into()));
    }
    assert_eq!(cluster.replica(0).requests().len(), 16, "none of those");
    // Counted behind the answer.
    eventually("both to be counted", async || member.metric(REFUSED) == 2.0).await;
    cluster.replica(0).does(Program::Registry);
    for (request, status) in [(Request::get(&target), 200), (put, 201)] {
        let answer = member.connect_from(MODEST).await.ask(&request).await;
        assert_eq!(answer.status, status);
    }
    drop(readers);
    eventually("room for the greedy one", async || {
        let mut again = member.connect_from(GREEDY).await;
        again.ask(&Request::get(&target)).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn one_connection_cannot_have_all_of_its_addresss_transfers() {
    // A quarter of what the others leave.
    const MOST: usize = 4;
    let plan = Plan::of(1).client_tls().set("limits", "transfers: 20");
    // Nobody is given up meanwhile.
    let plan = plan.set(
        "timeouts",
        "idle: 60s, aftermath: 0s, drain_delay: 0s, drain: 1s",
    );
    let (cluster, target) = endless(plan).await;
    let member = cluster.at(0);
    let greedy = windowless(member, &target).await;
    until_answered(&cluster, member, STREAMS).await;
    assert_eq!(member.metric(TRANSFERS), MOST as f64);
    cluster.replica(0).does(Program::Registry);
    let get = H2Client::request("GET", &target);
    assert_eq!(member.h2().await.ask(get).await.unwrap().status, 200);
    assert_eq!(member.get(&target).await.status, 200);
    // Those that take no byte of why they were refused are counted when they are gone.
    drop(greedy);
    eventually("the others to be counted as refused", async || {
        member.metric(REFUSED) == (STREAMS - MOST) as f64
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxys_clients_have_a_share_each() {
    let plan = Plan::of(1).set("trusted_proxies", "127.250.0.0/16");
    let (cluster, target) = endless(plan.set("limits", "transfers: 20")).await;
    let member = cluster.at(0);
    let of = |client: &str| {
        // What the client itself says stands first, and need not be text.
        Request::get(&target).field(
            "X-Forwarded-For",
            &format!("10.0.0.{}, \u{ff}, {client}", client.len()),
        )
    };
    let mut readers = Vec::new();
    for _ in 0..16 {
        let mut reader = member.connect_from(GREEDY).await;
        reader.send(of("192.0.2.1").bytes()).await;
        reader.answer_head().await;
        readers.push(reader);
    }
    let answer = member
        .connect_from(GREEDY)
        .await
        .ask(&of("192.0.2.1"))
        .await;
    assert_eq!(answer.refused(), (429, "transfers_full".into()));
    cluster.replica(0).does(Program::Registry);
    for request in [of("192.0.2.2"), Request::get(&target)] {
        let answer = member.connect_from(GREEDY).await.ask(&request).await;
        assert_eq!(answer.status, 200);
    }
}
