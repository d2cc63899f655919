//! The embedded registries: "replicas" with listeners of their own over one store, as three zots
//! over one bucket are. Blobs are held in memory and a request body is capped, so this is for
//! trying out only.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::serve::ListenerExt;
use ferro_blob_store::{InMemoryBlobStore, SharedBlobStore};
use ferro_oci_server::{AppState, InMemoryRegistryMeta, RegistryMeta, router};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::ports;
use crate::shard::{Route, parse};

/// What the replicas share.
pub(super) struct Store {
    blobs: SharedBlobStore,
    names: Arc<dyn RegistryMeta>,
}

/// One registry process, if it were a process.
pub(super) struct Replica {
    address: SocketAddr,
    seen: Arc<Seen>,
    /// Ended by being dropped.
    _serving: JoinSet<()>,
}

/// How many requests came for each repository: what a replica's own log would prove.
#[derive(Debug, Default)]
struct Seen(Mutex<BTreeMap<String, u64>>);

impl Store {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            blobs: Arc::new(InMemoryBlobStore::new()),
            names: Arc::new(InMemoryRegistryMeta::new()),
        }
    }

    /// Starts a replica on the wished port, or on a free one. Must run inside a tokio runtime.
    pub(super) fn replica(&self, wish: u16) -> io::Result<Replica> {
        let socket = ports::bind(wish)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let address = listener.local_addr()?;
        // Or the end of an answer waits for an acknowledgement that the other side delays by 40 ms.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let seen = Arc::new(Seen::default());
        let app = self.app(&seen);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // Never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Replica {
            address,
            seen,
            _serving: serving,
        })
    }

    fn app(&self, seen: &Arc<Seen>) -> Router {
        router(AppState::new(self.blobs.clone(), self.names.clone()))
            .layer(from_fn_with_state(seen.clone(), count))
    }
}

impl Replica {
    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that came for this repository.
    pub(super) fn requests(&self, repository: &str) -> u64 {
        self.seen.lock().get(repository).copied().unwrap_or(0)
    }
}

async fn count(State(seen): State<Arc<Seen>>, request: Request, next: Next) -> Response {
    if let Ok(Route::Repository { repository, .. }) = parse(request.uri().path()) {
        *seen
            .lock()
            .entry(repository.as_str().to_owned())
            .or_default() += 1;
    }
    next.run(request).await
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
