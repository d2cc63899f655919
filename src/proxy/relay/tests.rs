use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::client::{Client, End};
use crate::http::fields::Fields;
use crate::http::stream::Tempo;
use crate::http::wire::Wire;
use crate::member::leases::Leases;
use crate::shard::leases::record::Incarnation;
use crate::shard::ownership::{Ledger, ReplicaId};
use crate::shard::view::OtherView;
use crate::shard::{HashKey, Member, Members, Pins, Placement, View, Weight};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: usize = 1 << 20;

fn a_ledger() -> Arc<Ledger> {
    let member = Member {
        id: "zot-1".parse().unwrap(),
        address: "zot-1:5443".parse().unwrap(),
        weight: Weight::default(),
    };
    let id = member.id.clone();
    let members = Members::new(vec![member], &id).unwrap();
    let pins = Pins::new(vec![]).unwrap();
    let view = View::new(
        members,
        Placement::Rendezvous,
        &HashKey::from([7; 16]),
        pins,
    );
    Ledger::new(Arc::new(OtherView::of(&view)), ReplicaId::default())
}

/// A request's fields, the length of its head as it is sent on, and its body as it comes: with the head, and later.
struct Case {
    fields: &'static str,
    head: usize,
    ahead: Vec<u8>,
    later: Vec<u8>,
}

impl Case {
    /// With a length.
    fn of(fields: &'static str, head: usize, ahead: usize, later: usize) -> Self {
        Self {
            fields,
            head,
            ahead: vec![b'a'; ahead],
            later: vec![b'l'; later],
        }
    }

    fn chunked(head: usize, ahead: &[u8]) -> Self {
        Self {
            fields: "Transfer-Encoding: chunked\r\n",
            head,
            ahead: ahead.to_vec(),
            later: Vec::new(),
        }
    }

    /// What arrives, and how it has ended; twice, if it is `sent_again`.
    async fn sent(&self, look: Option<&Leases>, sent_again: bool) -> (Vec<u8>, Result<(), Broken>) {
        let head = format!(
            "PUT /v2/a/manifests/b HTTP/1.1\r\nHost: r\r\n{}\r\n",
            self.fields
        );
        let mut fields = Fields::new();
        let request = RequestHead::parse(head.as_bytes(), &mut fields).unwrap();
        let (mut client_end, client) = tokio::io::duplex(ROOM);
        client_end.write_all(&self.later).await.unwrap();
        let client = Line::from(Wire::Memory(client));
        let tempo = Tempo {
            patience: PATIENCE,
            upload_rate: None,
            download_rate: None,
        };
        let nobody = End::default();
        let mut client = Client::http1(&nobody, &client, request.body(), &self.ahead, &tempo);
        let ledger = a_ledger();
        let mut last = (Vec::new(), Ok(()));
        for _ in 0..=usize::from(sent_again) {
            let (mut upstream_end, upstream) = tokio::io::duplex(ROOM);
            let upstream = Line::from(Wire::Memory(upstream));
            let write = ledger.begin(&"a".into(), true).unwrap();
            let look =
                look.map(|leases| LastLook::new(leases, ledger.clone(), write, Incarnation(1)));
            let upload = Upload::new(Instant::now(), look);
            client.source.rewind();
            let head = vec![b'h'; self.head];
            let source = &mut client.source;
            let ended = upload
                .send_all(&head, &request, source, &upstream, PATIENCE, None)
                .await;
            drop(upstream);
            let mut arrived = Vec::new();
            upstream_end.read_to_end(&mut arrived).await.unwrap();
            last = (arrived, ended);
        }
        last
    }
}

fn with_length() -> Vec<(Case, bool, usize)> {
    const NONE: &str = "Content-Length: 0\r\n";
    const SMALL: &str = "Content-Length: 700\r\n";
    const LARGE: &str = "Content-Length: 8192\r\n";
    // Whether nothing is sent without leave; else how much of the body is, at least.
    vec![
        (Case::of(NONE, 300, 0, 0), true, 0),
        (Case::of(NONE, 9000, 0, 0), false, 0),
        (Case::of(SMALL, 300, 700, 0), true, 0),
        // It does not go into the buffers with its head.
        (Case::of(SMALL, 8000, 700, 0), false, 699),
        (Case::of(SMALL, 300, 699, 1), false, 699),
        (Case::of(SMALL, 300, 0, 700), false, 0),
        (Case::of(LARGE, 300, 8192, 0), false, 8191),
        (Case::of(LARGE, 300, 4096, 4096), false, 8191),
    ]
}

#[tokio::test]
async fn head_and_body_arrive_once_and_whole_however_they_came() {
    for (case, ..) in with_length() {
        for sent_again in [false, true] {
            let (arrived, ended) = case.sent(None, sent_again).await;
            assert!(ended.is_ok(), "{ended:?}");
            let head = vec![b'h'; case.head];
            assert_eq!(arrived, [&head[..], &case.ahead, &case.later].concat());
        }
    }
    for (chunks, body) in [
        (&b"0\r\n\r\n"[..], &b"0\r\n\r\n"[..]),
        (b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    ] {
        for sent_again in [false, true] {
            let (arrived, ended) = Case::chunked(1, chunks).sent(None, sent_again).await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(arrived, [b"h", body].concat());
        }
    }
}

/// Where there is no leave, it may wait if nothing was sent; and else the replica never gets the whole of it.
#[tokio::test]
async fn without_leave_the_last_byte_is_never_sent() {
    // Nothing was published, so that no lease lasts.
    let leases = Leases::new(Duration::ZERO);
    for (case, is_withheld, of_body) in with_length() {
        for sent_again in [false, true] {
            let (arrived, ended) = case.sent(Some(&leases), sent_again).await;
            let body = case.ahead.len() + case.later.len();
            // What has come in parts is whole the next time.
            let is_withheld =
                is_withheld || (sent_again && (case.head + body) as u64 <= NEVER_WAITS);
            match ended {
                Err(Broken::Withheld) => assert!(is_withheld && arrived.is_empty()),
                Err(Broken::Client(Failure::LeaseOver)) => {
                    assert!(!is_withheld);
                    let least = (case.head + of_body).min(case.head + body - 1);
                    assert!((least..case.head + body).contains(&arrived.len()));
                }
                _ => panic!("{ended:?}"),
            }
        }
    }
    for chunks in [&b"0\r\n\r\n"[..], b"3\r\nabc\r\n0\r\n\r\n"] {
        let (arrived, ended) = Case::chunked(1, chunks).sent(Some(&leases), true).await;
        assert!(matches!(ended, Err(Broken::Client(Failure::LeaseOver))));
        assert!(arrived.starts_with(b"h") && !arrived.ends_with(b"0\r\n\r\n"));
    }
}
