//! HTTP/2 clients that do what the protocol allows, and too much of it.

use std::time::Duration;

use crate::cluster::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, goodbye,
};
use crate::cluster::h2_client::H2Client;
use crate::cluster::replica::Record;
use crate::cluster::{Cluster, Connection, Plan, Program, Request, Step, within};

const ABUSE: &str = "shardlet_connections_refused_total{listener=\"clients\",reason=\"abuse\"}";
const CHATTER: &str = "too_many_frames_without_content";
const RESETS: &str = "too_many_resets_of_served_streams";
/// More resets than are free, and than a slow machine earns while it reads them.
const STREAMS: usize = 240;

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

/// RFC 9113 §6: frames of every kind that may be sent without end, and of one that nobody knows.
#[tokio::test]
async fn frames_that_carry_nothing_are_worth_only_so_many() {
    let (cluster, target) = over_tls("idle: 10s").await;
    let open = frame(HEADERS, END_HEADERS, 1, &block("POST", &target));
    let floods = [
        (frame(PING, 0, 0, &[0; 8]), CHATTER),
        (frame(SETTINGS, 0, 0, &[]), CHATTER),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), CHATTER),
        (frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), CHATTER),
        (frame(0xbe, 0, 0, &[]), CHATTER),
        (frame(DATA, 0, 1, &[]), "too_many_data_frames"),
        (frame(DATA, 0, 1, b"x"), CHATTER),
    ];
    for (flood, why) in floods {
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(beginning(&[])).await;
        connection.send(&open).await;
        connection.send(flood.repeat(5000)).await;
        assert_eq!(told_goodbye(&mut connection).await, why, "{flood:?}");
        others_are_served(&cluster).await;
    }
    assert_eq!(cluster.at(0).metric(ABUSE), 7.0);
}

/// Waits for the end, and says what it was told to be for, by the code that RFC 9113 §7 has for it.
async fn told_goodbye(connection: &mut Connection) -> String {
    let said = connection.until_closed().await;
    let (code, why) = goodbye(&said).expect("a GOAWAY");
    assert_eq!(code, ENHANCE_YOUR_CALM);
    why
}

#[tokio::test]
async fn streams_that_are_taken_back_while_they_are_served_count_too() {
    let limits = format!("h2_streams: {STREAMS}");
    let plan = Plan::of(1).client_tls().set("limits", &limits);
    let plan = plan.set("registry", "max_in_flight: 1000");
    let cluster = Cluster::start(plan.set("timeouts", "idle: 60s")).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    cluster.replica(0).steps([Step::Stall]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    let streams = (1..).step_by(2).take(STREAMS);
    for stream in streams.clone() {
        let get = block("GET", &target);
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        connection.send(open).await;
    }
    // None of them waits to be accepted, so the library has no objection.
    cluster.replica(0).until_requests(STREAMS).await;
    assert_eq!(cluster.at(0).metric(ABUSE), 0.0);
    let cancels = streams.flat_map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    connection.send(cancels.collect::<Vec<_>>()).await;
    let why = told_goodbye(&mut connection).await;
    assert_eq!(why, RESETS);
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
    let begin = frame(HEADERS, END_STREAM, 1, &block("GET", &target));
    // A field of 100 bytes, again and again.
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    for (payload, times) in [
        (vec![], 1000),
        (field.clone(), 1000),
        (field.repeat(150), 16),
    ] {
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(beginning(&[])).await;
        connection.send(&begin).await;
        let more = frame(CONTINUATION, 0, 1, &payload).repeat(times);
        connection.send(more).await;
        let why = told_goodbye(&mut connection).await;
        assert_eq!(why, "too_many_continuations");
        others_are_served(&cluster).await;
    }
    assert_eq!(cluster.at(0).metric(ABUSE), 3.0);
    assert_eq!(cluster.replica(0).requests().len(), 6, "those of others");
}

#[tokio::test]
async fn what_was_served_on_a_connection_that_is_cut_is_logged_with_the_reason() {
    let (cluster, target) = over_tls("idle: 60s").await;
    cluster.replica(0).steps([Step::Stall]);
    let open = frame(HEADERS, END_STREAM, 3, &block("GET", &target));
    let floods = [
        frame(PING, 0, 0, &[0; 8]).repeat(5000),
        [open, frame(CONTINUATION, 0, 3, &[]).repeat(50)].concat(),
    ];
    for (number, flood) in floods.into_iter().enumerate() {
        let mut connection = cluster.at(0).h2_bytes().await;
        connection.send(beginning(&[])).await;
        // `x-request-id` as a new name in plain text.
        let id = format!("cut-off-{number}");
        let name = [&[0, 12], &b"x-request-id"[..], &[9], id.as_bytes()].concat();
        let get = [block("GET", &target), name].concat();
        let served = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get);
        connection.send(served).await;
        cluster.replica(0).until_requests(number + 1).await;
        connection.send(flood).await;
        told_goodbye(&mut connection).await;
        let line = cluster.at(0).log.of_request(&id).await;
        let ended = (&line["status"], &line["ended"]);
        assert_eq!(ended, (&499.into(), &"client_abuse".into()));
    }
    let rejects = cluster
        .at(0)
        .metric("shardlet_rejects_total{reason=\"client_abuse\"}");
    assert_eq!(rejects, 2.0);
}

#[tokio::test]
async fn a_goodbye_waits_for_the_end_of_a_frame() {
    let (cluster, target) = over_tls("idle: 60s").await;
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    let steps = [Step::say(endless), Step::Fill(1_000_000_000)];
    cluster.replica(0).steps(steps);
    for _ in 0..10 {
        let mut connection = cluster.at(0).h2_bytes().await;
        // SETTINGS_INITIAL_WINDOW_SIZE, and the same for the connection.
        let settings = beginning(&[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        let window = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xfe, 0, 0]);
        let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", &target));
        connection.send([settings, window, get].concat()).await;
        // The download fills all buffers on its way.
        let mut said = connection.exactly(1 << 20).await;
        let other = frame(HEADERS, END_HEADERS, 3, &block("POST", &target));
        let flood = frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]).repeat(1000);
        connection.send([other, flood].concat()).await;
        said.extend(connection.until_closed().await);
        let told = goodbye(&said).expect("a GOAWAY behind whole frames");
        assert_eq!(told, (ENHANCE_YOUR_CALM, RESETS.into()));
    }
}

#[tokio::test]
async fn a_header_block_has_a_deadline_too() {
    let (cluster, target) = over_tls("idle: 60s, request_header: 2s").await;
    cluster.replica(0).steps([Step::Stall]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    // A stream that is served keeps the connection from being idle.
    let served = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", &target));
    connection.send(served).await;
    cluster.replica(0).until_requests(1).await;
    connection
        .send(frame(HEADERS, END_STREAM, 3, &block("GET", &target)))
        .await;
    let why = told_goodbye(&mut connection).await;
    assert_eq!(why, "header_block_too_slow");
    assert_eq!(cluster.at(0).metric(ABUSE), 1.0);
    let gone = |record: &Record| record.closed.len() == 1;
    cluster
        .replica(0)
        .until("the replica to be let go", gone)
        .await;
}

/// RFC 9113 §3.4: nothing comes before the preface, which has its time.
#[tokio::test]
async fn a_beginning_that_drips_is_cut() {
    let (cluster, _) = over_tls("request_header: 2s").await;
    let mut connection = cluster.at(0).h2_bytes().await;
    within("the end", async {
        for byte in PREFACE {
            connection.send([*byte]).await;
            // All of it would take twice its time.
            let pause = Duration::from_millis(200);
            if let Ok(spoke) = tokio::time::timeout(pause, connection.speaks()).await {
                assert!(!spoke, "it was taken for a beginning");
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
        let get = block("GET", &target);
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
    let mut bomb = block("GET", &target);
    // A field of 4,000 bytes goes into the table, and is repeated by one byte each.
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'a'; 4000]);
    bomb.extend([0xbe; 12_000]);
    let mut connection = cluster.at(0).h2_bytes().await;
    connection.send(beginning(&[])).await;
    connection
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
        .await;
    let why = told_goodbye(&mut connection).await;
    assert_eq!(why, "header_list_way_too_large");
    others_are_served(&cluster).await;
    assert_eq!(cluster.replica(0).requests().len(), 2, "those of others");
}
