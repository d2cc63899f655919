//! `run` under a service manager: what it is told, and when.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{shardlet, write};

/// After how long a silence this service manager would end the process.
const WATCHDOG: Duration = Duration::from_secs(1);
/// Within this time a process that is well does what it is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody listens at the replica's port: whether it is up is no matter of the service manager's.
const ALONE: &str = "member: a\nlisten:\n  clients: { address: '127.0.0.1:0' }\n  \
     peers: { address: '127.0.0.1:0' }\n  admin: { address: '127.0.0.1:0' }\n\
     registry: { address: '127.0.0.1:1' }\n\
     cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  \
     members: [{ id: a, address: '127.0.0.1:5443' }]\n\
     reload: { watch: false }\ntimeouts: { drain_delay: 100ms, drain: 7s }\n";

/// A process, and what it tells its service manager.
struct Supervised {
    child: Child,
    socket: UnixDatagram,
}

impl Supervised {
    fn start(folder: &Path, config: &Path) -> Self {
        let command = shardlet(&["run", "--config", config.to_str().unwrap()]);
        Self::start_as(folder, command)
    }

    fn start_as(folder: &Path, mut command: Command) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let child = command
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    /// The next message within `patience`.
    fn next(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The next message that is no sign of life.
    fn news(&self) -> String {
        loop {
            let message = self.next(PATIENCE).unwrap();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    /// Its threads that serve requests, once it serves.
    fn workers(&self) -> usize {
        self.news();
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = threads.map(|thread| {
            let name = thread.unwrap().path().join("comm");
            std::fs::read_to_string(name).unwrap_or_default()
        });
        names.filter(|name| name.starts_with("worker-")).count()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_manager_hears_of_start_reload_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "proxy.yaml", ALONE);
    let mut supervised = Supervised::start(folder.path(), &config);
    assert_eq!(supervised.news(), "READY=1\nSTATUS=serving\n");

    supervised.signal("HUP");
    let reloading = supervised.news();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let time: u64 = time.unwrap().trim_end().parse().unwrap();
    assert!(time > 0);
    assert_eq!(supervised.news(), "READY=1\nSTATUS=serving\n");

    write(folder.path(), "proxy.yaml", "clutser: {}\n");
    supervised.signal("HUP");
    assert!(supervised.news().starts_with("RELOADING=1\n"));
    let refused = supervised.news();
    assert!(
        refused.starts_with("READY=1\nSTATUS=serving; the changed configuration is refused: ")
            && refused
                .ends_with("proxy.yaml:1:1: unknown key `clutser` (did you mean `cluster`?)\n"),
        "{refused}"
    );

    supervised.signal("TERM");
    // 100 ms and 7 s of the configuration, and 3 s to say goodbye to peers.
    assert_eq!(
        supervised.news(),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=10100000\nSTATUS=draining\n"
    );
    assert!(supervised.child.wait().unwrap().success());
}

#[test]
fn a_frozen_process_gives_no_sign_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "proxy.yaml", ALONE);
    let supervised = Supervised::start(folder.path(), &config);
    supervised.news();
    for _ in 0..3 {
        assert_eq!(supervised.next(PATIENCE).as_deref(), Some("WATCHDOG=1\n"));
    }
    supervised.signal("STOP");
    // What was sent before the signal was carried out.
    while supervised.next(WATCHDOG / 2).is_some() {}
    assert_eq!(supervised.next(WATCHDOG), None);
    supervised.signal("CONT");
    assert_eq!(supervised.next(PATIENCE).as_deref(), Some("WATCHDOG=1\n"));
}

#[test]
fn there_is_a_worker_for_each_cpu_that_the_process_may_use() {
    let folder = tempfile::tempdir().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap()
        .trim();
    let one = allowed.split(['-', ',']).next().unwrap();
    let tied_to = |cpus: &str, threads: &str| {
        let folder = tempfile::tempdir_in(folder.path()).unwrap();
        let config = write(folder.path(), "proxy.yaml", &format!("{ALONE}{threads}"));
        let mut command = Command::new("taskset");
        command
            .args([
                "-c",
                cpus,
                env!("CARGO_BIN_EXE_shardlet"),
                "run",
                "--config",
            ])
            .arg(&config);
        Supervised::start_as(folder.path(), command).workers()
    };
    assert_eq!(tied_to(one, ""), 1);
    assert_eq!(tied_to(one, "threads: 3\n"), 3);
    // A quota of the machine's own may leave less than affinity does, and counts rounded up.
    let known = std::thread::available_parallelism().unwrap().get();
    let found = tied_to(allowed, "threads: auto\n");
    assert!((known..=known + 1).contains(&found), "{found} of {known}");
}
