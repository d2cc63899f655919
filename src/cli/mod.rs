//! The command line: what was asked for, and which room answers.
//!
//! Exit codes, of every command: 0 fine, 1 a check failed, 2 wrong usage. A configuration that is
//! missing or wrong is a failed check; for `doctor`, whose findings are of others, it is 2.

mod ask;
mod banner;
mod check;
mod demo;
mod doctor;
mod drain;
mod export;
mod import;
mod leave;
mod machine;
mod members;
mod output;
mod owner;
mod papers;
mod plan;
mod reload;
mod run;
mod status;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{CONFIG_VARIABLE, DEFAULT_FILE, SourceName};

/// Exit code of a check that failed, a wrong configuration included.
const FAILED: u8 = 1;

/// Sidecar sharding proxy for OCI registries: one owner per repository, any client through any
/// sidecar.
#[derive(Debug, Parser)]
#[command(
    name = "shardlet",
    version,
    after_help = "Without a command, `run` is meant.\n\n\
                  Exit codes: 0 fine, 1 a check failed or the configuration is wrong, 2 wrong usage.\n\n\
                  Examples:\n  \
                  shardlet demo                      three members in one process, to look around\n  \
                  shardlet check proxy.yaml          is the configuration right?\n  \
                  shardlet reload                    take the changed configuration into use\n  \
                  shardlet owner team/app            which member owns a repository?\n  \
                  shardlet plan --add zot-4=zot-4:5443   what would move?\n  \
                  shardlet --config proxy.yaml       start"
)]
struct Cli {
    /// The configuration; else SHARDLET_CONFIG, else `proxy.yaml`. `-` is standard input.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<OsString>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the sidecar (the default).
    Run(run::Args),
    /// Check a configuration, and report everything that is wrong with it.
    Check(check::Args),
    /// Say which member owns repositories.
    Owner(owner::Args),
    /// Say which repositories another configuration would move.
    Plan(Box<plan::Args>),
    /// Turn another set-up's configuration into one of shardlet's.
    Import(import::Args),
    /// Print what another program has to know of this cluster.
    Export(export::Args),
    /// Find out what is wrong with the running fleet, the replica and its configuration.
    Doctor(doctor::Args),
    /// Ask a running sidecar how it is.
    Status(status::Args),
    /// Have a running sidecar take its configuration anew.
    Reload(reload::Args),
    /// Have a running sidecar finish what it has, and end.
    Drain(drain::Args),
    /// Have a running sidecar leave the fleet for good, where members hold leases.
    Leave(leave::Args),
    /// Start three members over embedded registries, to look around.
    Demo(demo::Args),
    /// Print the completions of a shell.
    Completions(papers::CompletionsArgs),
    /// Write the manual pages.
    Man(papers::ManArgs),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Cli {
        config,
        command,
        run,
    } = Cli::parse();
    if command.is_some() && run.is_given() {
        misused("--member stands after the command");
    }
    let command = command.unwrap_or(Command::Run(run));
    if config.is_some() && !command.reads_configuration() {
        misused("this command reads no configuration: it takes no --config");
    }
    let config = config.as_deref();
    match command {
        Command::Run(args) => run::run(&args, config),
        Command::Check(args) => check::run(&args, config),
        Command::Owner(args) => owner::run(&args, config),
        Command::Plan(args) => plan::run(&args, config),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args, config),
        Command::Doctor(args) => doctor::run(&args, config),
        Command::Status(args) => status::run(&args, config),
        Command::Reload(args) => reload::run(&args, config),
        Command::Drain(args) => drain::run(&args, config),
        Command::Leave(args) => leave::run(&args, config),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => papers::completions(&args),
        Command::Man(args) => papers::man(&args),
    }
}

impl Command {
    /// Whether `--config` means anything to it.
    fn reads_configuration(&self) -> bool {
        match self {
            Self::Run(_)
            | Self::Check(_)
            | Self::Owner(_)
            | Self::Plan(_)
            | Self::Export(_)
            | Self::Doctor(_)
            | Self::Status(_)
            | Self::Reload(_)
            | Self::Drain(_)
            | Self::Leave(_) => true,
            Self::Import(_) | Self::Demo(_) | Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

/// The configuration that a command has an argument of its own for, which stands for `--config`.
fn source_of(own: Option<&OsStr>, config: Option<&OsStr>) -> SourceName {
    if own.is_some() && config.is_some() {
        misused("the configuration is named twice");
    }
    source(own.or(config))
}

/// Ends with the exit code of wrong usage.
fn misused(message: &str) {
    Cli::command()
        .error(ErrorKind::ArgumentConflict, message)
        .exit()
}

/// The form of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, and line by line for scripts.
    Text,
    /// For programs.
    Json,
}

/// The configuration that an option names, else the variable, else the default file; `-` is standard
/// input.
fn source(option: Option<&OsStr>) -> SourceName {
    let variable = env::var_os(CONFIG_VARIABLE);
    match option.or(variable.as_deref()) {
        Some(path) if path == "-" => SourceName::Stdin,
        // An empty variable counts as unset.
        Some(path) if !path.is_empty() => SourceName::File(PathBuf::from(path)),
        Some(_) | None => SourceName::File(PathBuf::from(DEFAULT_FILE)),
    }
}
