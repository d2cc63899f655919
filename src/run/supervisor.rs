//! What the service manager is told (sd_notify(3)): that we serve, reload, end, and are alive.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::workers::Crew;

/// Names the socket of the service manager.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// How long the service manager may take to receive a message. Nothing waits for one that is stuck.
const PATIENCE: Duration = Duration::from_secs(1);
/// A sign of life so many times in the time after which we are taken for dead.
const SIGNS_OF_LIFE: u32 = 3;

/// The service manager, as systemd's units of `Type=notify` and `Type=notify-reload` expect it.
#[derive(Debug)]
pub struct Supervisor {
    socket: PathBuf,
    /// After how long a silence it ends us.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that started this process, if it wants to be told.
    pub fn of_this_process() -> Option<Self> {
        let socket = env::var_os(SOCKET_VARIABLE).filter(|socket| !socket.is_empty())?;
        Some(Self::new(socket, sd_notify::watchdog_enabled()))
    }

    /// One that listens on `socket`, and ends us after a silence of `watchdog`.
    fn new(socket: impl Into<PathBuf>, watchdog: Option<Duration>) -> Self {
        Self {
            socket: socket.into(),
            watchdog: watchdog.filter(|silence| !silence.is_zero()),
        }
    }

    pub(super) async fn ready(&self) {
        self.tell(&[NotifyState::Ready, NotifyState::Status("serving")])
            .await;
    }

    pub(super) async fn reloading(&self) {
        // With the time, by which `Type=notify-reload` tells this reload from one before.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]).await,
            Err(error) => tracing::warn!(%error, "the service manager is not told of a reload"),
        }
    }

    /// Ready again, whatever became of the reload.
    pub(super) async fn reloaded(&self, problems: &[String]) {
        // A status is one line.
        let problem = problems
            .first()
            .map(|problem| problem.lines().next().unwrap_or_default());
        let status = match problem {
            Some(problem) => format!("serving; the changed configuration is refused: {problem}"),
            None => "serving".to_owned(),
        };
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)])
            .await;
    }

    /// The end has begun and may take so long: `TimeoutStopSec=` need not follow the timeouts of the
    /// configuration.
    pub(super) async fn stopping(&self, limit: Duration) {
        let extended = format!("EXTEND_TIMEOUT_USEC={}", limit.as_micros());
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Custom(&extended),
            NotifyState::Status("draining"),
        ])
        .await;
    }

    /// Gives signs of life, for ever, if they are wanted: none while a worker is stuck.
    pub(super) async fn feed_watchdog(&self, workers: &Crew) {
        let Some(silence) = self.watchdog else {
            return;
        };
        let mut ticks = interval(silence / SIGNS_OF_LIFE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            workers.respond().await;
            self.tell(&[NotifyState::Watchdog]).await;
        }
    }

    async fn tell(&self, states: &[NotifyState<'_>]) {
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        let sent = timeout(PATIENCE, async {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.socket)?;
            socket.send(lines.as_bytes()).await
        });
        let error = match sent.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not receive for {PATIENCE:?}"),
        };
        let socket = self.socket.display();
        tracing::warn!(%error, %socket, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram as Receiver;
    use std::sync::{Arc, Barrier};

    use tokio::runtime::Handle;

    use super::*;
    use crate::config::Threads;
    use crate::observe::metrics::Listener;
    use crate::run::workers::Workers;

    const SILENCE: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(30);

    fn listening() -> (tempfile::TempDir, Receiver, Supervisor) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let receiver = Receiver::bind(&socket).unwrap();
        (folder, receiver, Supervisor::new(socket, Some(SILENCE)))
    }

    fn heard(receiver: &Receiver, patience: Duration) -> Option<String> {
        receiver.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        let length = receiver.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Blocks a thread of this runtime, and there is no sign of life until it goes on.
    fn falls_silent_with(victim: &Handle, receiver: &Receiver) {
        for _ in 0..3 {
            assert_eq!(heard(receiver, LONG).as_deref(), Some("WATCHDOG=1\n"));
        }
        let (stuck, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (reached, released) = (stuck.clone(), goes_on.clone());
        victim.spawn(async move {
            reached.wait();
            released.wait();
        });
        stuck.wait();
        // One may have been sent before.
        let _ = heard(receiver, SILENCE);
        assert_eq!(heard(receiver, SILENCE), None);
        goes_on.wait();
        assert_eq!(heard(receiver, LONG).as_deref(), Some("WATCHDOG=1\n"));
    }

    #[test]
    fn there_is_no_sign_of_life_while_any_thread_is_stuck() {
        let (_folder, receiver, supervisor) = listening();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let workers =
            Workers::start(Threads::Exactly(2.try_into().unwrap()), runtime.handle()).unwrap();
        let crew = workers.crew().clone();
        runtime.spawn(async move { supervisor.feed_watchdog(&crew).await });
        falls_silent_with(runtime.handle(), &receiver);
        for listener in [Listener::Clients, Listener::Peers] {
            falls_silent_with(workers.crew().acceptor(listener), &receiver);
        }
    }

    #[tokio::test]
    async fn a_refused_reload_is_a_status_of_one_line() {
        let (_folder, receiver, supervisor) = listening();
        let problems = [
            "proxy.yaml:1:1: unknown key\n1 | x\n".to_owned(),
            "b".to_owned(),
        ];
        supervisor.reloaded(&problems).await;
        assert_eq!(
            heard(&receiver, LONG).as_deref(),
            Some(
                "READY=1\nSTATUS=serving; the changed configuration is refused: \
                 proxy.yaml:1:1: unknown key\n"
            )
        );
    }

    #[tokio::test]
    async fn a_service_manager_that_is_gone_or_does_not_receive_holds_nothing_up() {
        let (folder, receiver, supervisor) = listening();
        // Until it keeps no more for a receiver that does not look.
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&supervisor.socket).unwrap();
        let mut sent = 0;
        while sender.writable().await.is_ok() && sender.try_send(b"x").is_ok() {
            sent += 1;
            assert!(sent < 100_000, "the socket takes everything");
        }
        timeout(PATIENCE * 5, supervisor.ready()).await.unwrap();
        drop((receiver, folder));
        timeout(PATIENCE * 5, supervisor.ready()).await.unwrap();
    }
}
