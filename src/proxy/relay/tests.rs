use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::client::{Client, End};
use crate::http::fields::Fields;
use crate::http::stream::Tempo;
use crate::http::wire::Wire;
use crate::member::leases::Leases;
use crate::shard::leases::Snapshot;
use crate::shard::leases::record::Incarnation;
use crate::shard::ownership::{Ledger, ReplicaId};
use crate::shard::view::OtherView;
use crate::shard::{HashKey, Member, Members, Pins, Placement, View, Weight};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: usize = 1 << 20;
const OURS: Incarnation = Incarnation(1);

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

    fn whole(&self) -> Vec<u8> {
        [&vec![b'h'; self.head], &*self.ahead, &*self.later].concat()
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
            let look = look.map(|leases| LastLook::new(leases, ledger.clone(), write, OURS));
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

/// With what arrives of each where the look is refused: none, where nothing does.
fn with_length() -> Vec<(Case, Option<usize>)> {
    const NONE: &str = "Content-Length: 0\r\n";
    const SMALL: &str = "Content-Length: 700\r\n";
    const LARGE: &str = "Content-Length: 8192\r\n";
    vec![
        (Case::of(NONE, 300, 0, 0), None),
        (Case::of(NONE, 8192, 0, 0), None),
        (Case::of(NONE, 8193, 0, 0), Some(8192)),
        (Case::of(SMALL, 7492, 700, 0), None),
        (Case::of(SMALL, 7493, 700, 0), Some(8192)),
        (Case::of(SMALL, 300, 699, 1), Some(999)),
        (Case::of(SMALL, 300, 0, 700), Some(300)),
        (Case::of(SMALL, 7493, 0, 700), Some(8192)),
        (Case::of(LARGE, 300, 8192, 0), Some(8491)),
        (Case::of(LARGE, 300, 4096, 4096), Some(8491)),
    ]
}

const CHUNKED: [&[u8]; 2] = [b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"];

/// By a list, and by a lease that lasts.
#[tokio::test]
async fn head_and_body_arrive_once_and_whole_however_they_came() {
    let leases = Leases::new(Duration::ZERO);
    leases.publish(Snapshot::lasting("zot-1".parse().unwrap(), OURS));
    let leases = Some(&*leases);
    for (look, again) in [(None, false), (None, true), (leases, false), (leases, true)] {
        for (case, _) in with_length() {
            let (arrived, ended) = case.sent(look, again).await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(arrived, case.whole());
        }
        for chunks in CHUNKED {
            let case = Case::chunked(1, chunks);
            let (arrived, ended) = case.sent(look, again).await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(arrived, case.whole());
        }
    }
}

/// Where the look is refused it may wait if nothing was sent; and else the replica never gets the whole of it.
#[tokio::test]
async fn without_leave_the_last_byte_is_never_sent() {
    // Nothing was published, so that no lease lasts.
    let leases = Leases::new(Duration::ZERO);
    for (case, of_it) in with_length() {
        let whole = case.whole();
        // What has come in parts is in one the next time.
        let once_more = (whole.len() as u64 > NEVER_WAITS).then(|| whole.len() - 1);
        for (again, of_it) in [(false, of_it), (true, once_more)] {
            let (arrived, ended) = case.sent(Some(&leases), again).await;
            assert_eq!(arrived, whole[..of_it.unwrap_or(0)]);
            match ended {
                Err(Broken::Withheld(Failure::LeaseOver)) => assert_eq!(of_it, None),
                Err(Broken::Client(Failure::LeaseOver)) => assert!(of_it.is_some()),
                _ => panic!("{ended:?}"),
            }
        }
    }
    for chunks in CHUNKED {
        let (arrived, ended) = Case::chunked(1, chunks).sent(Some(&leases), true).await;
        assert!(matches!(ended, Err(Broken::Client(Failure::LeaseOver))));
        assert_eq!(arrived, [b"h", &chunks[..chunks.len() - 5]].concat());
    }
}
