//! HTTP/2 clients that do what the protocol allows, and too much of it.

use std::time::Duration;

use crate::cluster::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame,
};
use crate::cluster::h2_client::H2Client;
use crate::cluster::replica::Record;
use crate::cluster::{Cluster, Connection, Plan, Program, Request, Step, within};

const ABUSE: &str = "shardlet_connections_refused_total{listener=\"clients\",reason=\"abuse\"}";
/// More resets than are free, and than a slow machine earns while it reads them.
const STREAMS: usize = 240;

/// A header block (RFC 7541): method by its place in the static table, the rest in plain text.
fn block(method: u8, path: &str) -> Vec<u8> {
    let text = |name: u8, value: &str| {
        let length = u8::try_from(value.len()).unwrap();
        assert!(length < 127);
        [&[name, length], value.as_bytes()].concat()
    };
    [vec![method, 0x87], text(0x04, path), text(0x01, "r:5000")].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn beginning(settings: &[u8]) -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, settings)].concat()
}

async fn over_tls(timeouts: &str) -> (Cluster, String) {
    let cluster = Cluster::start(Plan::of(1).client_tls().set("timeouts", timeouts)).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    (cluster, target)
}

async fn others_are_served(cluster: &Cluster) {
    let mut client = cluster.at(0).h2().await;
    let answer = client.ask(H2Client::request("GET", "/v2/")).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(cluster.at(0).ask(Request::get("/v2/")).await.status, 200);
}

#[tokio::test]
async fn frames_that_carry_nothing_are_worth_only_so_many() {
    let (cluster, target) = over_tls("idle: 10s").await;
    let open = frame(HEADERS, END_HEADERS, 1, &block(POST, &target));
    let floods = [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(DATA, 0, 1, &[]),
        frame(DATA, 0, 1, b"x"),
        frame(0xbe, 0, 0, &[]),
    ];
    for flood in floods {
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(beginning(&[])).await;
        connection.send(&open).await;
        connection.send(flood.repeat(5000)).await;
        connection.until_closed().await;
        others_are_served(&cluster).await;
    }
    // Of DATA without data the library has its own opinion, and may be first.
    assert!(cluster.at(0).metric(ABUSE) >= 5.0);
}

#[tokio::test]
async fn streams_that_are_taken_back_while_they_are_served_count_too() {
    let limits = format!("h2_streams: {STREAMS}");
    let plan = Plan::of(1).client_tls().set("limits", &limits);
    let cluster = Cluster::start(plan.set("timeouts", "idle: 60s")).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    cluster.replica(0).steps([Step::Stall]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    let streams = (1..).step_by(2).take(STREAMS);
    for stream in streams.clone() {
        let get = block(GET, &target);
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        connection.send(open).await;
    }
    // None of them waits to be accepted, so the library has no objection.
    cluster.replica(0).until_requests(STREAMS).await;
    assert_eq!(cluster.at(0).metric(ABUSE), 0.0);
    let cancels = streams.flat_map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    connection.send(cancels.collect::<Vec<_>>()).await;
    connection.until_closed().await;
    assert_eq!(cluster.at(0).metric(ABUSE), 1.0);
    let let_go = |record: &Record| record.closed.len() >= STREAMS;
    let replica = cluster.replica(0);
    replica.until("the replica to be let go", let_go).await;
    replica.does(Program::Registry);
    others_are_served(&cluster).await;
}

#[tokio::test]
async fn a_header_block_without_end_is_cut() {
    let (cluster, target) = over_tls("idle: 10s").await;
    let begin = frame(HEADERS, END_STREAM, 1, &block(GET, &target));
    for payload in [vec![], vec![0; 16_000]] {
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(beginning(&[])).await;
        connection.send(&begin).await;
        connection
            .send(frame(CONTINUATION, 0, 1, &payload).repeat(1000))
            .await;
        connection.until_closed().await;
        others_are_served(&cluster).await;
    }
    assert!(cluster.at(0).metric(ABUSE) >= 1.0);
    assert_eq!(cluster.replica(0).requests().len(), 4, "those of others");
}

#[tokio::test]
async fn a_header_block_has_a_deadline_too() {
    let (cluster, target) = over_tls("idle: 60s, request_header: 2s").await;
    cluster.replica(0).steps([Step::Stall]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    // A stream that is served keeps the connection from being idle.
    let served = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(GET, &target));
    connection.send(served).await;
    cluster.replica(0).until_requests(1).await;
    connection
        .send(frame(HEADERS, END_STREAM, 3, &block(GET, &target)))
        .await;
    connection.until_closed().await;
    assert_eq!(cluster.at(0).metric(ABUSE), 1.0);
    let gone = |record: &Record| record.closed.len() == 1;
    cluster
        .replica(0)
        .until("the replica to be let go", gone)
        .await;
}

#[tokio::test]
async fn a_beginning_that_drips_is_cut() {
    let (cluster, _) = over_tls("request_header: 2s").await;
    let mut connection = cluster.at(0).h2_bytes().await;
    within("the end", async {
        for byte in PREFACE {
            connection.send([*byte]).await;
            let pause = Duration::from_millis(50);
            if tokio::time::timeout(pause, connection.speaks())
                .await
                .is_ok()
            {
                return;
            }
        }
        panic!("the whole preface was taken");
    })
    .await;
}

#[tokio::test]
async fn a_stream_without_a_window_is_given_up() {
    let (cluster, target) = over_tls("idle: 1s").await;
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    let steps = [Step::say(endless), Step::Fill(1_000_000_000)];
    cluster.replica(0).steps(steps);
    let mut connection = cluster.at(0).h2_bytes().await;
    // SETTINGS_INITIAL_WINDOW_SIZE: 0
    connection.send(beginning(&[0, 4, 0, 0, 0, 0])).await;
    for stream in [1, 3, 5] {
        let get = block(GET, &target);
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        connection.send(open).await;
    }
    let let_go = |record: &Record| record.closed.len() == 3;
    let record = cluster
        .replica(0)
        .until("the replica to be let go", let_go)
        .await;
    // What the sockets between them hold, and no more.
    assert!(record.written < 100_000_000, "{}", record.written);
    drop(connection);
}

#[tokio::test]
async fn a_compressed_header_list_beyond_the_limit_is_refused() {
    let (cluster, target) = over_tls("idle: 10s").await;
    let mut bomb = block(GET, &target);
    // A field of 4,000 bytes goes into the table, and is repeated by one byte each.
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'a'; 4000]);
    bomb.extend([0xbe; 12_000]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    connection
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
        .await;
    let ended = told(&mut connection).await;
    assert!(ended, "refused, reset, or closed");
    others_are_served(&cluster).await;
    assert_eq!(cluster.replica(0).requests().len(), 2, "those of others");
}

/// Whether the server says anything about a stream, or closes.
async fn told(connection: &mut Connection) -> bool {
    within("an answer", async {
        let mut bytes = Vec::new();
        loop {
            let Some(piece) = connection.some().await else {
                return true;
            };
            bytes.extend(piece);
            let mut rest = &bytes[..];
            while let [a, b, c, kind, _, s1, s2, s3, s4, ..] = *rest {
                if kind == HEADERS || kind == RST_STREAM && [s1, s2, s3, s4] != [0; 4] {
                    return true;
                }
                let length = u32::from_be_bytes([0, a, b, c]) as usize + 9;
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    })
    .await
}
