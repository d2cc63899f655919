//! A registry replica that does what the test says, down to the byte, and remembers every request.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::message::{Body, Head};
use super::registry::Storage;
use super::{reserve, within};

mod conversation;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What a replica does with a request.
#[derive(Clone)]
pub enum Program {
    /// Answers as a registry does.
    Registry,
    /// Answers the first request of a connection as a registry does, and closes without a word
    /// when the second comes: as a server that was just about to close an idle connection.
    ClosesOnReuse,
    /// Goes through these steps, then reads away what is left of the request and takes the next.
    Steps(Vec<Step>),
}

/// One step of an answer.
#[derive(Clone)]
pub enum Step {
    /// Reads the request's body; says `100 Continue` first where the client waits for it.
    ReadBody,
    /// Writes these bytes.
    Say(Vec<u8>),
    /// Writes this many bytes of filling.
    Fill(u64),
    /// Waits until the test opens the gate, or the connection ends.
    Wait(Gate),
    /// Is this slow.
    Pause(Duration),
    /// Does nothing until the connection ends.
    Stall,
    /// Closes the connection.
    Close,
    /// Resets the connection (RST).
    Reset,
}

impl Step {
    /// Writes this text.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say(text.into().into_bytes())
    }
}

/// Holds replicas back until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub fn shut() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender is in our own hands, so it cannot go away.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A request that a replica has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Which of the replica's connections, counted from 0.
    pub connection: u64,
    pub method: String,
    /// As it stood in the request line.
    pub target: String,
    pub head: Head,
    /// None as long as the body was not read.
    pub body: Option<Body>,
}

/// What has happened so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub requests: Vec<Seen>,
    pub connections: u64,
    /// Connections that have ended.
    pub closed: BTreeSet<u64>,
    /// Answers to probes; they are not among the requests.
    pub probes: u64,
    /// Bytes that the network has taken from us.
    pub written: u64,
}

/// A replica.
pub struct Replica {
    /// Where it listens; stays the same when it stops and starts again.
    pub address: SocketAddr,
    /// Keeps the address ours while it is stopped.
    _reserved: TcpSocket,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinSet<()>>>,
}

struct Shared {
    name: String,
    storage: Arc<Storage>,
    program: Mutex<Program>,
    probe_status: Mutex<u16>,
    record: watch::Sender<Record>,
    /// Every byte that came in, if somebody wants to know.
    bytes: Mutex<Option<Vec<u8>>>,
}

impl Replica {
    pub(super) async fn start(name: &str, ip: Ipv4Addr, storage: Arc<Storage>) -> Self {
        let (reserved, address) = reserve(ip.into());
        let listener = listen(address);
        let replica = Self {
            address,
            _reserved: reserved,
            shared: Arc::new(Shared {
                name: name.to_owned(),
                storage,
                program: Mutex::new(Program::Registry),
                probe_status: Mutex::new(200),
                record: watch::Sender::default(),
                bytes: Mutex::default(),
            }),
            serving: Mutex::default(),
        };
        replica.serve(listener);
        replica
    }

    /// From now on every new request goes so.
    pub fn does(&self, program: Program) {
        *self.shared.program.lock().unwrap() = program;
    }

    /// From now on every new request goes through these steps.
    pub fn steps(&self, steps: impl Into<Vec<Step>>) {
        self.does(Program::Steps(steps.into()));
    }

    /// Keeps every byte that comes in from now on.
    pub fn keep_bytes(&self) {
        *self.shared.bytes.lock().unwrap() = Some(Vec::new());
    }

    /// What came in since [`Replica::keep_bytes`].
    pub fn bytes(&self) -> Vec<u8> {
        self.shared
            .bytes
            .lock()
            .unwrap()
            .clone()
            .unwrap_or_default()
    }

    /// What probes are answered from now on.
    pub fn answers_probes(&self, status: u16) {
        *self.shared.probe_status.lock().unwrap() = status;
    }

    /// Cuts every connection and refuses new ones.
    pub async fn stop(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(mut tasks) = serving {
            tasks.shutdown().await;
        }
    }

    /// Takes connections again, at the same address.
    pub fn start_again(&self) {
        self.serve(listen(self.address));
    }

    /// Every request so far, probes left out.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.record.borrow().requests.clone()
    }

    /// Everything so far.
    pub fn record(&self) -> Record {
        self.shared.record.borrow().clone()
    }

    /// Waits until something has happened.
    pub async fn until(&self, what: &str, happened: impl FnMut(&Record) -> bool) -> Record {
        let mut record = self.shared.record.subscribe();
        let reached = within(what, record.wait_for(happened)).await.unwrap();
        reached.clone()
    }

    /// Waits until that many requests have begun.
    pub async fn until_requests(&self, count: usize) {
        self.until(&format!("{count} requests"), |seen| {
            seen.requests.len() >= count
        })
        .await;
    }

    fn serve(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                connections.spawn(shared.clone().converse(stream));
            }
        });
        *self.serving.lock().unwrap() = Some(tasks);
    }
}

impl Shared {
    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let mut number = 0;
        self.record.send_modify(|record| {
            number = record.connections;
            record.connections += 1;
        });
        // Also when the replica is stopped in the middle.
        let _closed = OnDrop(|| {
            self.record.send_modify(|record| {
                record.closed.insert(number);
            });
        });
        conversation::run(&self, stream, number).await;
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}
