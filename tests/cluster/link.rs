//! A network between two parties that does what the test tells it: late, slow, silent, one-sided,
//! torn, closed or without an answer. It lies before a member's peer listener, or before a replica.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{reserve, within};

/// What is read before anything of it is passed on.
const PIECE: usize = 16 * 1024;
const BACKLOG: u32 = 1024;
/// The kernel takes one connection more than this and drops every further attempt.
const FULL_BACKLOG: u32 = 1;
/// So many attempts fill it in any case.
const FILLERS: usize = 4;

/// What a link lies before: all that dial it come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    /// A member's peer listener.
    Peers(usize),
    /// The replica beside a member.
    Replica(usize),
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever dials: requests.
    There,
    /// To whoever dials: answers.
    Back,
}

/// How bytes move in one direction, on connections that are open and on new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    #[default]
    Free,
    /// Every piece waits so long.
    Late(Duration),
    /// Bytes per second.
    Rate(u32),
    /// Nothing moves, and nobody is told.
    Still,
    /// The receiver is told that this was the end; what still comes is thrown away.
    Ended,
}

/// A link, as long as it is held.
pub struct Link {
    /// Where it is dialled.
    pub address: SocketAddr,
    /// Keeps the address ours while nobody listens there.
    _reserved: TcpSocket,
    shared: Arc<Shared>,
    door: tokio::sync::Mutex<Door>,
}

struct Shared {
    target: SocketAddr,
    state: watch::Sender<State>,
    connections: Mutex<JoinSet<()>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    flows: [Flow; 2],
    carried: [u64; 2],
    connections: u64,
    /// Connections made before the last tear are to be reset.
    tears: u64,
}

/// What stands at the address.
enum Door {
    /// Connections are taken.
    Open { accepting: JoinSet<()> },
    /// Attempts are refused.
    Closed,
    /// Attempts are not answered at all.
    Silent {
        _full: TcpListener,
        _fillers: JoinSet<io::Result<TcpStream>>,
    },
}

impl Link {
    /// A link to this target, at a free port of this address.
    pub(super) fn start(ip: IpAddr, target: SocketAddr) -> Self {
        let (reserved, address) = reserve(ip);
        let listener = listen(address, BACKLOG);
        let shared = Arc::new(Shared {
            target,
            state: watch::Sender::default(),
            connections: Mutex::default(),
        });
        Self {
            address,
            _reserved: reserved,
            door: tokio::sync::Mutex::new(Door::open(listener, shared.clone())),
            shared,
        }
    }

    /// From now on bytes move so in one direction.
    pub fn flows(&self, way: Way, flow: Flow) {
        self.shared
            .state
            .send_modify(|state| state.flows[way as usize] = flow);
    }

    /// Resets every connection (RST), to both sides.
    pub fn tears(&self) {
        self.shared.state.send_modify(|state| state.tears += 1);
    }

    /// Refuses new connections; the open ones go on.
    pub async fn refuses(&self) {
        self.door.lock().await.shut().await;
    }

    /// Does not answer attempts to connect, as if every packet were dropped; open connections go on.
    pub async fn swallows(&self) {
        let mut door = self.door.lock().await;
        door.shut().await;
        *door = Door::silent(self.address).await;
    }

    /// Takes connections again.
    pub async fn opens(&self) {
        let mut door = self.door.lock().await;
        door.shut().await;
        *door = Door::open(listen(self.address, BACKLOG), self.shared.clone());
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.state.borrow().connections
    }

    /// Bytes that went through in one direction so far.
    pub fn carried(&self, way: Way) -> u64 {
        self.shared.state.borrow().carried[way as usize]
    }

    /// Waits until so many bytes went through in one direction.
    pub async fn until_carried(&self, way: Way, bytes: u64) {
        let mut state = self.shared.state.subscribe();
        let enough = state.wait_for(|state| state.carried[way as usize] >= bytes);
        within("bytes on the link", enough).await.unwrap();
    }
}

impl Door {
    fn open(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let serve = shared.clone().serve(near);
                shared.connections.lock().unwrap().spawn(serve);
            }
        });
        Self::Open { accepting }
    }

    async fn silent(address: SocketAddr) -> Self {
        let full = listen(address, FULL_BACKLOG);
        let mut fillers = JoinSet::new();
        for _ in 0..FILLERS {
            fillers.spawn(TcpStream::connect(address));
        }
        for _ in 0..=FULL_BACKLOG {
            let filler = within("the backlog to be full", fillers.join_next()).await;
            // Held for as long as the door is: a connection that ends would make room.
            let stream = filler.unwrap().unwrap().unwrap();
            fillers.spawn(async { Ok(std::future::ready(stream).await) });
        }
        Self::Silent {
            _full: full,
            _fillers: fillers,
        }
    }

    async fn shut(&mut self) {
        if let Self::Open { accepting } = self {
            // Only then is the listener gone.
            accepting.shutdown().await;
        }
        *self = Self::Closed;
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut near: TcpStream) {
        let mut state = self.state.subscribe();
        let tears = state.borrow().tears;
        self.state.send_modify(|state| state.connections += 1);
        let Ok(mut far) = TcpStream::connect(self.target).await else {
            return reset(&near);
        };
        let ended = {
            let (near_in, near_out) = near.split();
            let (far_in, far_out) = far.split();
            let both = async {
                tokio::try_join!(
                    self.carry(Way::There, near_in, far_out),
                    self.carry(Way::Back, far_in, near_out)
                )
            };
            tokio::select! {
                ended = both => ended.is_ok(),
                _ = state.wait_for(|state| state.tears > tears) => false,
            }
        };
        if !ended {
            reset(&near);
            reset(&far);
        }
    }

    async fn carry(
        &self,
        way: Way,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        let mut state = self.state.subscribe();
        let mut buffer = vec![0; PIECE];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                () = flow(&mut state, way, |flow| flow == Flow::Ended) => 0,
            };
            let moves = |flow| flow != Flow::Still;
            flow(&mut state, way, moves).await;
            let now = state.borrow().flows[way as usize];
            match now {
                Flow::Late(delay) => tokio::time::sleep(delay).await,
                Flow::Rate(rate) => {
                    let seconds = read as f64 / f64::from(rate);
                    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                }
                Flow::Free | Flow::Still | Flow::Ended => {}
            }
            if read == 0 || now == Flow::Ended {
                to.shutdown().await?;
                return throw_away(from, now).await;
            }
            to.write_all(&buffer[..read]).await?;
            self.state
                .send_modify(|state| state.carried[way as usize] += read as u64);
        }
    }
}

/// Waits until the flow in one direction is such.
async fn flow(state: &mut watch::Receiver<State>, way: Way, such: impl Fn(Flow) -> bool) {
    // The link outlives its connections.
    let _ = state
        .wait_for(|state| such(state.flows[way as usize]))
        .await;
}

async fn throw_away(mut from: ReadHalf<'_>, flow: Flow) -> io::Result<()> {
    if flow == Flow::Ended {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// Makes the end of this connection a reset.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn listen(address: SocketAddr, backlog: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(backlog).unwrap()
}
