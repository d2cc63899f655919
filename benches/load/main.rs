//! The load of the comparison, and the upstream behind its proxies. `bash benches/compare.sh` builds and runs it.
//!
//! One thread and no measurement but its own: every command prints a line of JSON. Any answer that is not as it
//! should be ends the command with an error, so that no figure counts refusals.

mod bodies;
mod churn;
mod client;
mod gets;
mod histogram;
mod idle;
mod pull;
mod schedule;
mod serve;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use client::{Failure, Request, Target};
use serde_json::Value;
use tokio::task::LocalSet;
use usage::Watch;

#[derive(Parser)]
#[command(about = "Load and upstream of benches/compare.sh")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers as a registry would, at once, until it is ended
    Serve {
        #[arg(long)]
        port: u16,
        /// The same on a Unix socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// GETs of one path over connections that are kept
    Gets {
        #[command(flatten)]
        at: At,
        #[arg(long)]
        path: String,
        #[arg(long)]
        connections: usize,
        #[command(flatten)]
        time: Time,
        /// So many a second, whatever the answers do; without it, each after the answer to the one before
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Large bodies, down by GET or up by PATCH
    Bodies {
        #[command(flatten)]
        at: At,
        #[arg(long)]
        path: String,
        #[arg(long)]
        up: bool,
        #[arg(long)]
        bytes: u64,
        #[arg(long)]
        streams: usize,
        /// Bodies on each stream
        #[arg(long)]
        count: u32,
    },
    /// A new connection for each GET
    Churn {
        #[command(flatten)]
        at: At,
        #[arg(long)]
        path: String,
        #[arg(long)]
        connections: usize,
        #[command(flatten)]
        time: Time,
    },
    /// Opens as many connections as each line of stdin says, has each answered once, and prints a line when it is done
    Idle {
        #[command(flatten)]
        at: At,
        #[arg(long)]
        path: String,
    },
    /// Images, as docker pulls them
    Pull {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        image: pull::Image,
        #[arg(long)]
        pullers: usize,
        #[command(flatten)]
        time: Time,
    },
}

/// Whom to ask, and whose CPU time to read.
#[derive(Args)]
struct At {
    #[arg(long)]
    port: u16,
    /// TLS, with this authority
    #[arg(long)]
    tls: Option<PathBuf>,
    /// Processes whose CPU time is reported
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
}

impl At {
    fn target(&self) -> Result<Target, Failure> {
        Target::new(self.port, self.tls.as_deref())
    }

    fn watch(&self) -> Watch {
        Watch::new(self.watch.clone())
    }
}

/// How long, in seconds.
#[derive(Args)]
struct Time {
    #[arg(long, value_parser = seconds)]
    warm_up: Duration,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = LocalSet::new().block_on(&runtime, report(command))?;
    println!("{report}");
    Ok(())
}

async fn report(command: Command) -> Result<Value, Failure> {
    match command {
        Command::Serve { port, socket } => serve::serve(port, &socket).await,
        Command::Gets {
            at,
            path,
            connections,
            time,
            rate,
        } => {
            let (target, request) = (at.target()?, Request::get(&path));
            let load = gets::Load {
                target,
                request,
                connections,
                warm_up: time.warm_up,
                duration: time.seconds,
                watch: at.watch(),
            };
            match rate {
                Some(rate) => gets::open(load, rate).await,
                None => gets::closed(load).await,
            }
        }
        Command::Bodies {
            at,
            path,
            up,
            bytes,
            streams,
            count,
        } => {
            let request = match up {
                true => Request::patch(&path, bytes),
                false => Request::get(&path),
            };
            let expected = if up { 0 } else { bytes };
            let bodies = bodies::Bodies {
                request,
                expected,
                bytes,
                streams,
                count,
            };
            bodies.move_all(&at.target()?, at.watch()).await
        }
        Command::Churn {
            at,
            path,
            connections,
            time,
        } => {
            let churn = churn::Churn::new(at.target()?, Request::get(&path));
            gets::repeat(churn, connections, time.warm_up, time.seconds, at.watch()).await
        }
        Command::Idle { at, path } => idle::hold(&at.target()?, &Request::get(&path)).await,
        Command::Pull {
            at,
            image,
            pullers,
            time,
        } => {
            let pull = pull::Pull::new(at.target()?, &image);
            gets::repeat(pull, pullers, time.warm_up, time.seconds, at.watch()).await
        }
    }
}
