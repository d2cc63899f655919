//! HTTP/2 clients that read as ordinary programs do: slowly, in small steps, in bursts.

use std::time::Duration;

use crate::cluster::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, frame,
};
use crate::cluster::{Cluster, Connection, Plan, Step};

const MIB: usize = 1 << 20;
const BLOB: usize = 16 * MIB;
/// What Go's client begins with, for the connection and for each stream.
const WINDOW: usize = 4 * MIB;
/// What every connection begins with (RFC 9113 §6.9.2).
const INITIAL_WINDOW: usize = 65_535;

/// How a client makes room for more.
#[derive(Debug, Clone, Copy)]
struct Reader {
    /// So many bytes it takes at a time, and says so for the stream and for the connection.
    step: usize,
    /// So many it lets pile up before it begins.
    burst: usize,
    /// So long it thinks about each burst.
    pause: Duration,
}

impl Reader {
    fn of(step: usize, burst: usize) -> Self {
        let pause = Duration::ZERO;
        Self { step, burst, pause }
    }

    /// What it says of the bytes that it has read.
    fn updates(self, stream: u32, bytes: usize) -> Vec<u8> {
        let mut said = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let step = self.step.min(left);
            left -= step;
            let room = u32::try_from(step).unwrap().to_be_bytes();
            said.extend(frame(WINDOW_UPDATE, 0, stream, &room));
            said.extend(frame(WINDOW_UPDATE, 0, 0, &room));
        }
        said
    }

    /// Reads one answer to its end, and says how many bytes its body had.
    async fn read(self, connection: &mut Connection, stream: u32) -> usize {
        let (mut read, mut unsaid) = (0, 0);
        loop {
            let head = connection.exactly(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let payload = connection.exactly(length).await;
            match head[3] {
                DATA => {
                    read += length;
                    unsaid += length;
                    if head[4] & END_STREAM != 0 {
                        // The connection's window is there for the next stream.
                        connection.send(self.updates(stream, unsaid)).await;
                        return read;
                    }
                }
                GOAWAY | RST_STREAM => {
                    let why = String::from_utf8_lossy(&payload).into_owned();
                    panic!("{self:?} was cut after {read} bytes: {why}");
                }
                _ => {}
            }
            if unsaid >= self.burst.min(WINDOW) {
                tokio::time::sleep(self.pause).await;
                connection.send(self.updates(stream, unsaid)).await;
                unsaid = 0;
            }
        }
    }
}

async fn over_tls() -> (Cluster, String) {
    let cluster = Cluster::start(Plan::of(2).client_tls()).await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/blobs/sha256:{}", "0".repeat(64));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BLOB}\r\n\r\n");
    let steps = [Step::say(head), Step::Fill(BLOB as u64)];
    cluster.replica(1).steps(steps);
    (cluster, target)
}

/// A connection with windows as Go's client makes them.
async fn connect(cluster: &Cluster, sidecar: usize) -> Connection {
    let mut connection = cluster.at(sidecar).h2_bytes().await;
    let window = u32::try_from(WINDOW).unwrap().to_be_bytes();
    let more = u32::try_from(WINDOW - INITIAL_WINDOW)
        .unwrap()
        .to_be_bytes();
    // SETTINGS_INITIAL_WINDOW_SIZE
    let settings = [&[0, 4][..], &window].concat();
    let beginning = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &settings),
        frame(WINDOW_UPDATE, 0, 0, &more),
    ];
    connection.send(beginning.concat()).await;
    connection
}

async fn get(connection: &mut Connection, stream: u32, target: &str) {
    let block = block("GET", target);
    let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    connection.send(open).await;
}

#[tokio::test]
async fn a_client_may_read_in_small_steps() {
    let (cluster, target) = over_tls().await;
    let readers = [
        Reader::of(16_384, 1),
        Reader::of(4096, 4096),
        Reader::of(4096, MIB),
        // As Go's client does behind a buffer of 4 KiB, when nobody has read for a while.
        Reader::of(4096, WINDOW),
        Reader::of(512, WINDOW),
        Reader::of(128, WINDOW),
    ];
    // Through the owner and through a peer in turn.
    for (reader, sidecar) in readers.into_iter().zip([0, 1].into_iter().cycle()) {
        let mut connection = connect(&cluster, sidecar).await;
        for stream in [1, 3] {
            get(&mut connection, stream, &target).await;
            let read = reader.read(&mut connection, stream).await;
            assert_eq!(read, BLOB, "{reader:?} through {sidecar}");
        }
    }
}

#[tokio::test]
async fn a_client_may_read_slowly_and_in_bursts() {
    let (cluster, target) = over_tls().await;
    let reader = Reader {
        step: 4096,
        burst: WINDOW,
        pause: Duration::from_millis(200),
    };
    let mut connection = connect(&cluster, 0).await;
    get(&mut connection, 1, &target).await;
    assert_eq!(reader.read(&mut connection, 1).await, BLOB);
}
