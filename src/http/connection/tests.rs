use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Nothing;

impl Serve for Nothing {
    async fn serve(&self, _: &RequestHead<'_>, _: &mut Client<'_>) {}

    fn refused(&self, _: &Refused<'_>) {}
}

/// The handshake before it may have taken most of the time for both.
#[tokio::test(start_paused = true)]
async fn the_first_head_has_what_is_left_of_its_time() {
    let gate = Gate::new(Arc::new(Nothing), GateLimits::for_tests());
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
    let (began, left) = (Instant::now(), gate.limits().request_header / 4);
    let (_open, shutdown) = tokio::sync::watch::channel(false);
    let end = End::default();
    let serve = gate.serve(Wire::Memory(server), &end, began + left, &shutdown);
    let mut first = [0; 12];
    let (_, read) = tokio::join!(serve, async {
        client.read_exact(&mut first).await.unwrap();
        let after = began.elapsed();
        drop(client);
        after
    });
    assert_eq!((&first, read), (b"HTTP/1.1 408", left));
}
