//! What members ask and tell each other while nothing changes.

use serde::Serialize;
use shardlet::shard::ownership::Report;
use shardlet::shard::{Placement, View};

use super::{Weights, view};

/// `probes.interval` by default, in seconds.
const INTERVAL: f64 = 1.0;
/// So many parties are asked in each interval (`src/peers/probe.rs`).
const QUESTIONS_PER_INTERVAL: usize = 64;
/// A record of TLS 1.3 around each message: its head, its kind, its tag (RFC 8446 §5.2).
const RECORD: usize = 5 + 1 + 16;
/// A packet without options beside the time stamps: IPv4, TCP. Question and answer are one each, and are acknowledged
/// by what follows them, or by a packet alone.
const PACKET: usize = 20 + 32;
const PACKETS: usize = 4;
const ID: &str = "4f0c5a1e-9d1c-4b7f-8a53-5d0c6a2b9e17";

/// A member's answer as it crosses the wire (`src/peers/wire.rs`).
#[derive(Serialize)]
struct Answer {
    member: String,
    replica_up: bool,
    draining: bool,
    closing: bool,
    #[serde(flatten)]
    report: Report,
}

/// Of one member, by the number of all.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Seconds from one question to a peer to the next.
    pub every: f64,
    /// Questions that it asks in a second; it is asked as many.
    pub questions: f64,
    /// Bytes of one question and its answer, as connections carry them.
    pub exchange: usize,
    /// Bytes a second in and out together, packets and all.
    pub bytes: f64,
    /// Connections for that: one to each peer, and one from each.
    pub connections: usize,
    /// Bytes that telling all others a new list takes, if each has to be told.
    pub change: usize,
}

pub fn traffic(members: usize) -> Traffic {
    let view = view(members, Placement::Rendezvous, Weights::Equal);
    let peers = members - 1;
    let stretch = peers.div_ceil(QUESTIONS_PER_INTERVAL).max(1);
    let every = INTERVAL * stretch as f64;
    let questions = peers as f64 / every;
    let (question, answer) = (question(&view), answer(&view, false));
    let exchange = question + answer + 2 * RECORD;
    Traffic {
        every,
        questions,
        exchange,
        // It asks, and it is asked.
        bytes: 2.0 * questions * (exchange + PACKETS * PACKET) as f64,
        connections: 2 * peers,
        change: peers * (self::answer(&view, true) - answer),
    }
}

fn replica() -> String {
    format!("127.0.0.1:5001@{ID}")
}

fn question(view: &View) -> usize {
    let address = view.members().iter().last().unwrap().1.address.to_string();
    let lines = [
        "GET /-/shardlet/state HTTP/1.1".to_owned(),
        format!("Host: {address}"),
        concat!("user-agent: shardlet/", env!("CARGO_PKG_VERSION")).to_owned(),
        "x-shardlet-member: registry-0".to_owned(),
        format!("x-shardlet-view: {}", view.fingerprint()),
        format!("x-shardlet-start: {}", "0".repeat(32)),
        format!("x-shardlet-replica: {}", replica()),
        String::new(),
    ];
    lines.iter().map(|line| line.len() + "\r\n".len()).sum()
}

fn answer(view: &View, describes: bool) -> usize {
    let told = Answer {
        member: "registry-0".into(),
        replica_up: true,
        draining: false,
        closing: false,
        report: Report {
            view: view.fingerprint().to_string(),
            start: "0".repeat(32),
            // A week.
            up_ms: 604_800_000,
            replica: replica(),
            description: describes.then(|| view.describe()),
            vouches: true,
            ..Report::default()
        },
    };
    let body = serde_json::to_vec(&told).unwrap().len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body}\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: keep-alive\r\n\r\n"
    );
    head.len() + body
}
