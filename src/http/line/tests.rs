use super::*;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http::buffer::{LARGE, SMALL};

const LONG: Duration = Duration::from_secs(30);

async fn pair() -> (TcpStream, Line) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let end = TcpStream::connect(listener.local_addr().unwrap());
    let (end, accepted) = tokio::join!(end, listener.accept());
    (end.unwrap(), Line::from(Wire::Tcp(accepted.unwrap().0)))
}

/// On two threads: what one is told of comes while the other reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_come_right_behind_a_short_read_are_heard_of() {
    const PIECES: usize = 20_000;
    let (mut end, line) = pair().await;
    let reading = tokio::spawn(async move {
        let mut read = 0;
        while read < PIECES * 100 {
            let bytes = tokio::time::timeout(LONG, line.read(SMALL, u64::MAX)).await;
            read += bytes.expect("heard of nothing").unwrap().len();
        }
        read
    });
    for _ in 0..PIECES {
        end.write_all(&[b'x'; 100]).await.unwrap();
    }
    assert_eq!(reading.await.unwrap(), PIECES * 100);
}

#[tokio::test]
async fn no_more_is_read_than_may_be() {
    let (mut end, line) = pair().await;
    end.write_all(b"request").await.unwrap();
    assert_eq!(&*line.read(LARGE, 3).await.unwrap(), b"req");
    assert_eq!(&*line.read(SMALL, u64::MAX).await.unwrap(), b"uest");
    drop(end);
    assert!(line.read(SMALL, u64::MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn parts_are_written_in_order_however_much_is_taken_at_a_time() {
    let (mut end, line) = pair().await;
    let large = vec![b'y'; 8 << 20];
    let parts: [&[u8]; 4] = [b"head", b"", &large, b"end"];
    let whole = parts.concat();
    let mut pace = Pace::off();
    let (written, read) = tokio::join!(line.write_all(&parts, LONG, &mut pace), async {
        let mut read = vec![0; whole.len()];
        end.read_exact(&mut read).await.unwrap();
        read
    });
    written.unwrap();
    assert!(read == whole);
}

#[tokio::test]
async fn an_end_behind_unread_bytes_is_known() {
    let (mut end, line) = pair().await;
    end.write_all(b"unread").await.unwrap();
    assert!(!line.is_closed());
    end.shutdown().await.unwrap();
    let closed = async {
        while !line.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, closed).await.unwrap();
    assert_eq!(&*line.read(SMALL, u64::MAX).await.unwrap(), b"unread");
}
