//! `shardlet run`: the sidecar itself.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{FAILED, output, source};
use crate::cli::banner;
use crate::cli::machine::{Identity, load};
use crate::config::{Config, LogFormat, SourceName};
use crate::observe::telemetry::{self, Format, LineWriter};
use crate::run::{Drained, Loader, LogOutput, Server, Supervisor};

/// How long the last log lines may take to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// What `run` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet run --config /etc/shardlet/proxy.yaml\n  \
                  SHARDLET_CONFIG=/etc/shardlet/proxy.yaml SHARDLET_MEMBER=zot-1 shardlet\n\n\
                  SIGHUP reads the configuration anew, as a change of its files does; see `shardlet reload`.\n\n\
                  SIGTERM drains: not ready for `timeouts.drain_delay` while everything goes on, then no new\n\
                  connections, and requests in flight finish for up to `timeouts.drain`. Ctrl-C does without\n\
                  the delay. A second signal ends at once.")]
pub(super) struct Args {
    /// The local member; else SHARDLET_MEMBER, else `member` in the file, else by local addresses.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
}

impl Args {
    /// Whether any of them was given.
    pub(super) fn is_given(&self) -> bool {
        let Self { member } = self;
        member.is_some()
    }
}

/// Starts the sidecar, and ends with it.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let Args { member } = args;
    start(&source(config), member.clone()).unwrap_or_else(|message| {
        output::message(&format!("shardlet: {message}\n"));
        ExitCode::from(FAILED)
    })
}

fn start(source: &SourceName, member: Option<String>) -> Result<ExitCode, String> {
    // Requests are served by threads of their own; this one does the rest, all of which waits most of
    // the time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let awaited = {
        let (source, member) = (source.clone(), member.clone());
        move || load(&source, member.as_deref(), Identity::Awaited)
    };
    let loaded = runtime.block_on(async {
        // Before anything waits for names: process 1 of a container ends by no signal of its own accord.
        let mut signals = Signals::new().map_err(|error| format!("no signal handler: {error}"))?;
        tokio::select! {
            config = tokio::task::spawn_blocking(awaited) => match config {
                Ok(config) => Ok(Some((config, signals))),
                Err(error) => Err(error.to_string()),
            },
            _ = signals.next() => Ok(None),
        }
    });
    let Some((config, signals)) = loaded? else {
        // What still waits is left behind.
        runtime.shutdown_background();
        return Ok(ExitCode::SUCCESS);
    };
    let config = match config {
        Ok(config) => config,
        Err(problems) => return Ok(output::rejected(&problems)),
    };
    let loader = match source {
        SourceName::File(_) => {
            let source = source.clone();
            let again = move || load(&source, member.as_deref(), Identity::Needed);
            Some(Arc::new(again) as Loader)
        }
        // What has been read from standard input is gone.
        SourceName::Stdin => None,
    };
    serve(runtime, signals, config, loader)
}

fn serve(
    runtime: Runtime,
    signals: Signals,
    config: Config,
    loader: Option<Loader>,
) -> Result<ExitCode, String> {
    let events = format(config.log.format, &std::io::stderr());
    let members = config.view.members();
    let member = members.get(members.local()).id.to_string();
    let diagnostics = telemetry::init(&config.log.level, events, Some(member))
        .map_err(|error| error.to_string())?;
    let requests = LineWriter::start(std::io::stdout())
        .map_err(|error| format!("the log thread cannot be started: {error}"))?;
    let log = (
        requests.sender(),
        format(config.log.format, &std::io::stdout()),
    );
    let served = runtime.block_on(until_told(signals, config, log, events, loader));
    if let (Err(message), Format::Json) = (&served, events) {
        tracing::error!("{message}");
    }
    // Connections that a drain has cut have ended with the workers. What blocks is left behind.
    runtime.shutdown_background();
    requests.flush(FLUSH);
    diagnostics.flush(FLUSH);
    match (served, events) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(_), Format::Json) => Ok(ExitCode::from(FAILED)),
        (Err(message), Format::Text) => Err(message),
    }
}

async fn until_told(
    mut signals: Signals,
    config: Config,
    log: LogOutput,
    events: Format,
    loader: Option<Loader>,
) -> Result<(), String> {
    // Before anything listens: a signal during the start must not be lost.
    let mut hangups =
        signal(SignalKind::hangup()).map_err(|error| format!("no signal handler: {error}"))?;
    let server = Server::start(config, Some(log), loader)
        .await
        .map_err(|error| error.to_string())?;
    match events {
        Format::Text => output::message(&banner::render(&server.status())),
        Format::Json => banner::log(&server.status()),
    }
    if let Some(supervisor) = Supervisor::of_this_process() {
        server.supervised_by(supervisor).await;
    }
    let state = server.state().clone();
    let told = loop {
        tokio::select! {
            told = signals.next() => break told,
            () = state.drain_asked() => break EndSignal::Terminate,
            _ = hangups.recv() => server.reload_in_background(),
            () = state.has_broken() => {
                // A supervisor starts it anew, whole.
                let _ = server.close().await;
                return Err("a task that must not end has panicked; see the log".to_owned());
            }
        }
    };
    tracing::info!("draining: requests in flight are finished, new work is sent elsewhere");
    let drain = async {
        match told {
            EndSignal::Terminate => server.drain().await,
            // A person at a terminal, who waits.
            EndSignal::Interrupt => server.close().await,
        }
    };
    tokio::select! {
        drained = drain => match drained {
            Drained::Completely => tracing::info!("drained"),
            Drained::Cut { requests } => tracing::warn!(requests, "drain timed out, the rest is cut"),
        },
        _ = signals.next() => tracing::warn!("told twice: ending now"),
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

/// How the process was told to end.
pub(super) enum EndSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// SIGTERM and SIGINT.
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

    pub(super) async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.term.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
        }
    }
}
