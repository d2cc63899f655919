//! Whole members in one process: real sockets, real certificates, and beside each member a replica
//! that does what the test tells it. A test reads: given a cluster, when this breaks, then that is
//! answered.

pub mod authority;
pub mod bad_pairs;
pub mod client;
pub mod collector;
pub mod frames;
pub mod h2_client;
pub mod link;
pub mod log;
pub mod member;
pub mod message;
pub mod plan;
pub mod registry;
pub mod replica;
pub mod request;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shardlet::run::Reloaded;
use shardlet::shard::Repository;
use tokio::net::TcpSocket;

use authority::Authority;
use link::{Before, Link};
use member::Member;
use registry::Storage;
use replica::Replica;

pub use client::{Answer, Connection, End};
pub use plan::Plan;
pub use replica::{Gate, Program, Step};
pub use request::Request;

/// How long anything may take before the test gives up on it: never reached when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Members that run, each with its replica.
pub struct Cluster {
    plan: Plan,
    members: Vec<Option<Member>>,
    replicas: Vec<Replica>,
    links: BTreeMap<Before, Link>,
    /// Keep the members' peer ports theirs, from before the start and while a member is stopped.
    _reserved: Vec<TcpSocket>,
    /// Signs the members' certificates.
    pub authority: Authority,
    /// Certificates and configurations live here.
    pub folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts every member of the plan.
    pub async fn start(plan: Plan) -> Self {
        let mut reserved = Vec::new();
        let mut plan = plan.placed_at([own_address(), own_address()], |ip| {
            let (socket, address) = reserve(ip);
            reserved.push(socket);
            address.port()
        });
        let storage = Arc::new(Storage::default());
        let mut replicas = Vec::new();
        for name in plan.ids() {
            replicas.push(Replica::start(&name, plan.other_ip(), storage.clone()).await);
        }
        let links = plan.lay_links(|index| replicas[index].address);
        let mut cluster = Self {
            members: Vec::new(),
            replicas,
            links,
            _reserved: reserved,
            authority: Authority::new("cluster authority"),
            folder: tempfile::tempdir().unwrap(),
            plan,
        };
        cluster.write_certificates();
        for index in 0..cluster.plan.size() {
            let member = cluster.start_member(index).await;
            cluster.members.push(Some(member));
        }
        cluster.acquainted().await;
        cluster
    }

    /// Waits until every member knows what others may be writing: before, it takes no write.
    async fn acquainted(&self) {
        let strange = self.plan.has_strange_certificates();
        eventually("all members know each other", async || {
            let mut members = self.members.iter().flatten();
            members.all(|member| member.takes_writes() || strange && member.has_asked())
        })
        .await;
    }

    /// Three members with mutual TLS between them and plain HTTP for clients.
    pub async fn of_three() -> Self {
        Self::start(Plan::of(3)).await
    }

    /// A member that runs.
    pub fn at(&self, index: usize) -> &Member {
        self.members[index].as_ref().unwrap()
    }

    /// The replica beside a member.
    pub fn replica(&self, index: usize) -> &Replica {
        &self.replicas[index]
    }

    /// The network before a party, where the plan has put one.
    pub fn link(&self, before: Before) -> &Link {
        &self.links[&before]
    }

    /// The addresses and names that the members were started with.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Ends a member without a word, as a crash does; its replica goes on.
    pub async fn stop(&mut self, index: usize) {
        self.members[index].take().unwrap().server.abandon().await;
    }

    /// Hands a member over, to be ended by the test itself.
    pub fn take(&mut self, index: usize) -> Member {
        self.members[index].take().unwrap()
    }

    /// Starts a member that was stopped.
    pub async fn restart(&mut self, index: usize) {
        self.restart_alone(index).await;
        self.acquainted().await;
    }

    /// The same, without waiting for it to take writes.
    pub async fn restart_alone(&mut self, index: usize) {
        assert!(self.members[index].is_none(), "member {index} runs already");
        self.members[index] = Some(self.start_member(index).await);
    }

    /// Changes the plan, and has a member read its part of it.
    pub async fn reload(&mut self, index: usize, change: impl FnOnce(Plan) -> Plan) -> Reloaded {
        self.configure(index, change);
        self.at(index).server.reload().await
    }

    /// Writes a member's configuration anew, whether it runs or not.
    pub fn configure(&mut self, index: usize, change: impl FnOnce(Plan) -> Plan) {
        self.plan = change(self.plan.clone());
        let (folder, replica) = (self.folder.path(), self.replicas[index].address);
        let file = folder.join(format!("{}.yaml", self.plan.id(index)));
        std::fs::write(file, self.plan.yaml(index, replica, folder)).unwrap();
    }

    /// A repository that this member owns.
    pub fn repository_of(&self, index: usize) -> String {
        self.repositories_of(index).next().unwrap()
    }

    /// Repositories that this member owns, without end.
    pub fn repositories_of(&self, index: usize) -> impl Iterator<Item = String> {
        let generation = self.members.iter().flatten().next().unwrap().generation();
        (0..)
            .map(|number| format!("team/app-{number}"))
            .filter(move |name| {
                generation
                    .view
                    .owner(&Repository::parse(name).unwrap())
                    .get()
                    == index
            })
    }

    /// A repository that, by the view of one member, another one owns.
    pub fn repository_by(&self, viewer: usize, owner: usize) -> String {
        let view = &self.at(viewer).generation().view;
        let owner = self.plan.id(owner);
        let names = (0..).map(|number| format!("team/app-{number}"));
        let owned = |name: &String| {
            let index = view.owner(&Repository::parse(name).unwrap());
            view.members().get(index).id.to_string() == owner
        };
        names.into_iter().find(owned).unwrap()
    }

    /// Requests that replicas other than this member's have seen.
    pub fn requests_elsewhere(&self, index: usize) -> usize {
        let others = self
            .replicas
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index);
        others.map(|(_, replica)| replica.requests().len()).sum()
    }

    async fn start_member(&self, index: usize) -> Member {
        let link = self.links.get(&Before::Replica(index));
        let registry = link.map_or(self.replicas[index].address, |link| link.address);
        let folder = self.folder.path();
        Member::start(&self.plan, index, registry, folder, &self.authority).await
    }

    fn write_certificates(&self) {
        let folder = self.folder.path();
        self.authority.write(&folder.join("ca.crt"));
        let server = self
            .authority
            .sign(&["registry.example".into(), self.plan.other_ip().to_string()]);
        server.write(folder, "server");
        for index in 0..self.plan.size() {
            let signed = self.authority.sign(&self.plan.certificate_names(index));
            signed.write(folder, &self.plan.id(index));
        }
    }
}

/// Waits for what must come true soon.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("gave up waiting: {what}"),
    }
}

/// Asks again and again until the answer is yes, for what announces itself to nobody.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A loopback address of this cluster alone: all of 127.0.0.0/8 is local, and nobody else uses this
/// part of it.
fn own_address() -> Ipv4Addr {
    static CLUSTERS: AtomicU32 = AtomicU32::new(1);
    let process = u8::try_from(std::process::id() % 200).unwrap() + 20;
    let [_, _, high, low] = CLUSTERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, process, high, low)
}

/// A free port: members must know each other's before they start. While the socket lives, the kernel
/// gives the port to nobody who asks for any, and only a socket that reuses addresses may bind it by
/// number, as the member's listener does: that works since this one does not listen.
pub fn reserve(ip: IpAddr) -> (TcpSocket, SocketAddr) {
    let socket = match ip {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
    .unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::new(ip, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
