//! The operator's command that kills the replica: `cluster.coordination.replica_kill`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long one run may take, and how often it is tried.
const LONGEST: Duration = Duration::from_secs(5);
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(super) struct ReplicaKill {
    program: Arc<str>,
    arguments: Arc<[String]>,
}

impl ReplicaKill {
    /// None if there is no program.
    pub(super) fn new(command: &[String]) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        Some(Self {
            program: program.as_str().into(),
            arguments: arguments.into(),
        })
    }

    /// Whether the command has said that the replica is dead, by exit code 0.
    pub(super) async fn run(&self) -> bool {
        for _ in 0..TRIES {
            match self.attempt().await {
                Ok(()) => return true,
                Err(error) => {
                    let program = &self.program;
                    tracing::error!(%program, %error, "the replica could not be killed (cluster.coordination.replica_kill)");
                }
            }
            sleep(PAUSE).await;
        }
        false
    }

    async fn attempt(&self) -> Result<(), String> {
        let mut command = Command::new(&*self.program);
        command
            .args(&*self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        match timeout(LONGEST, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not end within {} s", LONGEST.as_secs())),
        }
    }
}
