//! `shardlet run`: the sidecar itself.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{FAILED, output, source};
use crate::banner;
use crate::config::{CONFIG_VARIABLE, Config, LogFormat};
use crate::machine::{Identity, load};
use crate::server::{Drained, LogOutput, Server};
use crate::telemetry::{self, Format, LineWriter};

/// How long the last log lines may take to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// What `run` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet run --config /etc/shardlet/proxy.yaml\n  \
                  SHARDLET_CONFIG=/etc/shardlet/proxy.yaml SHARDLET_MEMBER=zot-1 shardlet\n\n\
                  SIGTERM or Ctrl-C drains: no new connections, requests in flight finish for up to\n\
                  `timeouts.drain`. A second one ends at once.")]
pub(super) struct Args {
    /// The configuration; `proxy.yaml` if nothing is named.
    #[arg(long, short, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<OsString>,
    /// The local member; else SHARDLET_MEMBER, else `member` in the file, else by local addresses.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
}

/// Starts the sidecar, and ends with it.
pub(super) fn run(args: &Args) -> ExitCode {
    let Args { config, member } = args;
    let source = source(config.as_deref());
    let config = match load(&source, member.as_deref(), Identity::Needed) {
        Ok(config) => config,
        Err(problems) => return output::rejected(&problems),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            output::message(&format!("shardlet: {message}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn serve(config: Config) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let diagnostics = telemetry::init(
        &config.log.level,
        format(config.log.format, &std::io::stderr()),
    )
    .map_err(|error| error.to_string())?;
    let requests = LineWriter::start(std::io::stdout())
        .map_err(|error| format!("the log thread cannot be started: {error}"))?;
    let log = (
        requests.sender(),
        format(config.log.format, &std::io::stdout()),
    );
    let served = runtime.block_on(until_told(config, log));
    // Connections that a drain has cut are dropped here.
    runtime.shutdown_background();
    requests.flush(FLUSH);
    diagnostics.flush(FLUSH);
    served
}

async fn until_told(config: Config, log: LogOutput) -> Result<(), String> {
    // Before anything listens: a signal during the start must not be lost.
    let mut signals = Signals::new().map_err(|error| format!("no signal handler: {error}"))?;
    let server = Server::start(config, Some(log))
        .await
        .map_err(|error| error.to_string())?;
    output::message(&banner::render(&server.status()));
    signals.next().await;
    tracing::info!("draining: requests in flight are finished, new connections are not taken");
    tokio::select! {
        drained = server.drain() => match drained {
            Drained::Completely => tracing::info!("drained"),
            Drained::Cut { connections } => tracing::warn!(connections, "drain timed out, the rest is cut"),
        },
        () = signals.next() => tracing::warn!("told twice: ending now"),
    }
    Ok(())
}

fn format(configured: LogFormat, output: &impl IsTerminal) -> Format {
    match configured {
        LogFormat::Auto => Format::for_output(output),
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// SIGTERM and SIGINT, which mean the same.
pub(super) struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
