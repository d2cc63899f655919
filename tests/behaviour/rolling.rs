//! Members that are replaced one after the other, under pushes that nobody tries again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shardlet::run::Drained;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::cluster::message::sha256;
use crate::cluster::{Answer, Cluster, Connection, Plan, Request, eventually};
use crate::leases::{fleet_of, plan, until_members};

const MEMBERS: usize = 3;
const CLIENTS: usize = 6;

/// What the clients know.
struct Clients {
    /// Where members listen, but for the one that is being replaced.
    members: RwLock<[Option<SocketAddr>; MEMBERS]>,
    repositories: Vec<String>,
    /// What blobs are filled with.
    filling: Vec<u8>,
    pushed: AtomicUsize,
    stop: AtomicBool,
}

impl Clients {
    /// One request through one of the members, as a load balancer has it.
    async fn ask(&self, turn: usize, request: Request) -> Answer {
        let mut connection = {
            let members = self.members.read().await;
            let mut there = members.iter().cycle().skip(turn).flatten();
            Connection::open(*there.next().unwrap()).await
        };
        connection.ask(&request).await
    }

    /// Pushes a blob and a manifest, again and again.
    async fn push(self: Arc<Self>, client: usize) {
        let mut turn = client;
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let repository = &self.repositories[turn % self.repositories.len()];
            let mut blob = format!("blob {turn} of {client}").into_bytes();
            blob.extend_from_slice(&self.filling);
            let start = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")).body("");
            let session = location(&self.ask(turn, start).await, 202);
            let patch = Request::new("PATCH", &session).chunked(&blob, 30_000, "");
            let session = location(&self.ask(turn + 1, patch).await, 202);
            let last = format!("{session}&digest=sha256:{}", sha256(&blob));
            let put = Request::new("PUT", &last).body("");
            location(&self.ask(turn + 2, put).await, 201);
            let tag = format!("/v2/{repository}/manifests/tag-{client}-{turn}");
            let manifest = Request::new("PUT", &tag).body(blob.clone());
            location(&self.ask(turn, manifest).await, 201);
            let pulled = self.ask(turn + 1, Request::get(&tag)).await;
            assert_eq!((pulled.status, &pulled.body), (200, &blob));
            self.pushed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn location(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let location = answer.field("location").unwrap();
    let path = location.strip_prefix("http://registry.example:5000");
    path.unwrap().to_owned()
}

#[tokio::test]
async fn no_push_fails_while_all_members_are_replaced_one_after_the_other() {
    let plan = Plan::of(MEMBERS)
        .eager_probes()
        .set("writes", "hold: 60s")
        .set("timeouts", "idle: 30s, drain: 30s, drain_delay: 100ms");
    let mut cluster = Cluster::start(plan).await;
    let (clients, pushing) = start_pushing(&cluster, 0);
    let pushed = || clients.pushed.load(Ordering::Relaxed);
    for at in 0..MEMBERS {
        let before = pushed();
        eventually("pushes to go on", async || pushed() > before + CLIENTS).await;
        clients.members.write().await[at] = None;
        let leaving = cluster.take(at);
        leaving.server.drain().await;
        // While it is away, all that it owns waits.
        eventually("every client to wait for it", async || {
            let others = (0..MEMBERS).filter(|other| *other != at);
            let held: f64 = others
                .map(|other| cluster.at(other).metric("shardlet_requests_held"))
                .sum();
            held as usize == CLIENTS
        })
        .await;
        cluster.restart(at).await;
        clients.members.write().await[at] = Some(cluster.at(at).addresses().clients);
    }
    end_pushing(&cluster, &clients, pushing).await;
}

#[tokio::test]
async fn no_push_fails_while_members_leave_for_good_and_join_again() {
    let plan = plan(MEMBERS).set("writes", "hold: 60s");
    let mut cluster = fleet_of(plan).await;
    let (clients, pushing) = start_pushing(&cluster, 100_000);
    let pushed = || clients.pushed.load(Ordering::Relaxed);
    for at in 0..MEMBERS {
        let before = pushed();
        eventually("pushes to go on", async || pushed() > before + CLIENTS).await;
        clients.members.write().await[at] = None;
        let left = cluster.take(at).server.leave().await;
        assert_eq!(left, Drained::Completely);
        let before = pushed();
        eventually("pushes to go on", async || pushed() > before + CLIENTS).await;
        cluster.restart_alone(at).await;
        until_members(&cluster, 0..MEMBERS, MEMBERS).await;
        clients.members.write().await[at] = Some(cluster.at(at).addresses().clients);
    }
    end_pushing(&cluster, &clients, pushing).await;
}

/// Clients that push until they are told to stop, blobs of at least so many bytes.
fn start_pushing(cluster: &Cluster, size: usize) -> (Arc<Clients>, JoinSet<()>) {
    let clients = Arc::new(Clients {
        members: RwLock::new([0, 1, 2].map(|at| Some(cluster.at(at).addresses().clients))),
        repositories: (0..MEMBERS)
            .flat_map(|at| cluster.repositories_of(at).take(2).collect::<Vec<_>>())
            .collect(),
        filling: vec![b'x'; size],
        pushed: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    });
    let mut pushing = JoinSet::new();
    for client in 0..CLIENTS {
        pushing.spawn(clients.clone().push(client));
    }
    (clients, pushing)
}

/// Lets them push a little more, and looks for what they have pushed.
async fn end_pushing(cluster: &Cluster, clients: &Clients, mut pushing: JoinSet<()>) {
    let pushed = || clients.pushed.load(Ordering::Relaxed);
    let before = pushed();
    eventually("pushes to go on", async || pushed() > before + CLIENTS).await;
    clients.stop.store(true, Ordering::Relaxed);
    while let Some(client) = pushing.join_next().await {
        client.unwrap();
    }
    let all: Vec<_> = (0..MEMBERS)
        .flat_map(|at| cluster.replica(at).requests())
        .collect();
    let tags = all
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.target.contains("/tag-"))
        // A head alone may have gone to a replica that its member then had to leave.
        .filter(|seen| seen.body.as_ref().is_some_and(|body| body.whole));
    assert_eq!(tags.count(), pushed(), "each was written once");
}
