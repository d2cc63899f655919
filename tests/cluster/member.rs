//! One member that runs, and the ways to talk to it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use shardlet::config::{self, Config, Environment, Files, Problems, SourceName, StoreSettings};
use shardlet::member::generation::Generation;
use shardlet::run::{Addresses, Loader, Server};
use shardlet::shard::leases::Timing;

use super::authority::Authority;
use super::client::{Answer, Connection};
use super::h2_client::H2Client;
use super::log::Log;
use super::plan::Plan;
use super::request::Request;

/// A member under test.
pub struct Member {
    /// The member itself.
    pub server: Server,
    /// Its access log.
    pub log: Log,
    /// Its proxy.yaml, which a reload reads again.
    pub file: PathBuf,
    /// For TLS on its client listener.
    tls: Option<Tls>,
}

struct Tls {
    http1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// Short, so that a test does not wait for long.
const TIMING: Timing = Timing {
    lease: Duration::from_millis(2000),
    renew: Duration::from_millis(500),
    margin: Duration::from_millis(200),
    grace: Duration::from_millis(500),
    killed: Duration::from_millis(500),
    handoff: Duration::from_millis(700),
    poll: Duration::from_millis(100),
    drift: 10,
};

fn load(file: &Path, store: Option<&str>) -> Result<Config, Problems> {
    let text = std::fs::read_to_string(file).unwrap();
    let environment = Environment {
        member_flag: None,
        member_variable: None,
        address: None,
        hash_key: None,
        files: &Disk,
        surroundings: None,
        elsewhere: false,
    };
    let mut config = config::load(&text, &SourceName::File(file.to_owned()), &environment)?;
    if let Some(store) = store {
        let coordination = config.coordination.as_mut().unwrap();
        coordination.store = StoreSettings::Memory(store.to_owned());
        coordination.timing = TIMING;
    }
    Ok(config)
}

/// Serves; where the member before it ended in this process, once that has let go of its folder.
async fn serve(file: &Path, log: &Log, store: Option<String>) -> Server {
    let mut started = None;
    super::eventually("the member to start", async || {
        let config = load(file, store.as_deref()).unwrap_or_else(|problems| {
            let text = std::fs::read_to_string(file).unwrap();
            panic!("{problems}\nin\n{text}")
        });
        let (again, store) = (file.to_owned(), store.clone());
        let loader: Loader = Arc::new(move || load(&again, store.as_deref()));
        match Server::start(config, Some(log.output()), Some(loader)).await {
            Err(error) if error.to_string().contains("another process uses it") => false,
            server => {
                started = Some(server.unwrap());
                true
            }
        }
    })
    .await;
    started.unwrap()
}

impl Member {
    pub(super) async fn start(
        plan: &Plan,
        index: usize,
        registry: SocketAddr,
        folder: &Path,
        authority: &Authority,
    ) -> Self {
        let file = folder.join(format!("{}.yaml", plan.id(index)));
        std::fs::write(&file, plan.yaml(index, registry, folder)).unwrap();
        let log = Log::start();
        // Of this cluster alone, for as long as the test lasts.
        let store = plan.is_leased().then(|| folder.display().to_string());
        let server = serve(&file, &log, store).await;
        let tls = plan.speaks_client_tls().then(|| Tls {
            http1: authority.client(None, &["http/1.1"]),
            h2: authority.client(None, &["h2"]),
        });
        Self {
            server,
            log,
            file,
            tls,
        }
    }

    /// Why another process could not start with the same files.
    pub async fn start_error(&self) -> String {
        let config = load(&self.file, None).unwrap();
        let started = Server::start(config, None, None).await;
        started
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.server.addresses()
    }

    /// What its configuration has made.
    pub fn generation(&self) -> Arc<Generation> {
        self.server.state().generation()
    }

    /// A connection to the client listener, over TLS where it speaks TLS.
    pub async fn connect(&self) -> Connection {
        let address = self.addresses().clients;
        match &self.tls {
            None => Connection::open(address).await,
            Some(tls) => Connection::open_tls(address, tls.http1.clone())
                .await
                .unwrap(),
        }
    }

    /// A plain connection to the client listener from another loopback address.
    pub async fn connect_from(&self, source: IpAddr) -> Connection {
        Connection::open_from(source, self.addresses().clients).await
    }

    /// A connection to the client listener as a proxy opens it, with this header first.
    pub async fn connect_behind(&self, header: &[u8]) -> Connection {
        self.connect_behind_after(header, Duration::ZERO).await
    }

    /// The same with a client that begins with TLS so late.
    pub async fn connect_behind_after(&self, header: &[u8], late: Duration) -> Connection {
        let tls = self.tls.as_ref().map(|tls| tls.http1.clone());
        Connection::open_behind(self.addresses().clients, header, tls, late).await
    }

    /// An HTTP/2 connection to the client listener.
    pub async fn h2(&self) -> H2Client {
        let tls = self.tls.as_ref().expect("HTTP/2 needs Plan::client_tls");
        H2Client::open(self.addresses().clients, tls.h2.clone()).await
    }

    /// The same, for bytes that no library would send.
    pub async fn h2_bytes(&self) -> Connection {
        let tls = self.tls.as_ref().expect("HTTP/2 needs Plan::client_tls");
        let address = self.addresses().clients;
        Connection::open_tls(address, tls.h2.clone()).await.unwrap()
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: Request) -> Answer {
        self.connect().await.ask(&request).await
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.ask(Request::get(target)).await
    }

    /// Whether it knows what others may be writing.
    pub fn takes_writes(&self) -> bool {
        self.server.status().writes.ready
    }

    /// Whether it is ready for clients, but for that.
    pub fn has_asked(&self) -> bool {
        self.server.status().ready
    }

    /// What it warns its operator of.
    pub fn warnings(&self) -> String {
        self.server.status().warnings.join("\n")
    }

    /// All metrics.
    pub fn metrics(&self) -> String {
        self.server.metrics()
    }

    /// One series, by its name and labels as rendered; 0 if it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let rendered = self.metrics();
        let line = rendered
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}
