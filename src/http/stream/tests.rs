use super::*;
use std::io::ErrorKind;
use tokio::io::AsyncWriteExt;

use crate::http::watch::Ending;

fn stream(inner: tokio::io::DuplexStream, download_rate: Option<NonZeroU32>) -> Http2Stream {
    let patience = Duration::from_secs(60);
    let tempo = Tempo {
        patience,
        upload_rate: None,
        download_rate,
    };
    let watch = Watch::new(patience, Arc::new(Ending::default()));
    Http2Stream::new(inner, &tempo, watch)
}

/// The head of a frame of a kind that nobody knows, with so long a payload.
fn frame(length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let head = [0, high, low, 0xff, 0, 0, 0, 0, 1];
    [&head[..], &vec![0; length.into()]].concat()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (_client, server) = tokio::io::duplex(8);
    let began = Instant::now();
    let error = stream(server, None)
        .write_all(&frame(8192))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_by_drops_is_given_up() {
    let (mut client, server) = tokio::io::duplex(8);
    tokio::spawn(async move {
        while client.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut stream = stream(server, NonZeroU32::new(10));
    let error = stream.write_all(&frame(8192)).await.unwrap_err();
    assert_eq!(TooSlow::of(&error), Some(TooSlow::Reading));
}
