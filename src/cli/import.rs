//! `shardlet import`: another set-up's configuration into one of shardlet's.
//!
//! Reading a foreign file is pure: text in, a [`Draft`] and notes out.

mod draft;
mod haproxy;
pub(super) mod notes;
mod output;
pub(super) mod tree;
mod zot;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::output as terminal;
use crate::cli::{FAILED, machine, source};
use draft::Draft;
use notes::Notes;

/// What `import` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet import zot config.json > proxy.yaml\n  \
                  shardlet import haproxy haproxy.cfg > proxy.yaml")]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Read the configuration of one zot, with or without a `cluster` block.
    Zot(ZotArgs),
    /// Read HAProxy's rules, servers, timeouts and checks.
    Haproxy(HaproxyArgs),
}

/// What `import haproxy` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rules on the beginning of the path become pins, servers become members. Notes go to standard\n\
                  error, one a line: FILE:LINE: what and why.\n\n\
                  Exit code 1 if the file is none of its kind.\n\n\
                  Examples:\n  \
                  shardlet import haproxy /etc/haproxy/haproxy.cfg > proxy.yaml\n  \
                  shardlet import haproxy haproxy.cfg --frontend registry --write shardlet/"
)]
struct HaproxyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The frontend (or listen section) that serves the registry, if there are several.
    #[arg(long, value_name = "NAME")]
    frontend: Option<String>,
}

/// What `import zot` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The proxy.yaml goes to standard output, and what does not carry over to standard error, one\n\
                  a line: FILE:LINE: what and why. Secrets are in no note, but the hash key has to be in the\n\
                  proxy.yaml. With --write it goes into a file of its own that only its owner can read.\n\n\
                  Exit code 1 if the file is none of its kind.\n\n\
                  Examples:\n  \
                  shardlet import zot config.json > proxy.yaml\n  \
                  shardlet import zot config.json --write shardlet/\n  \
                  shardlet import zot - < config.json | shardlet check --elsewhere -"
)]
struct ZotArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// What every import takes.
#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: OsString,
    /// A folder for proxy.yaml, hash.key and zot.json (of zot), instead of standard output. Nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// What an import comes to.
struct Imported {
    draft: Draft,
    /// The registry's configuration with what must change: file name and text.
    registry: Option<(&'static str, String)>,
    notes: Notes,
}

/// Reads, converts and prints.
pub(super) fn run(args: &Args) -> ExitCode {
    let result = match &args.from {
        From::Zot(ZotArgs { file }) => import(file, zot::import),
        From::Haproxy(HaproxyArgs { file, frontend }) => import(file, |text, key| {
            haproxy::import(text, key, frontend.as_deref())
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            terminal::message(&message);
            ExitCode::from(FAILED)
        }
    }
}

fn import(
    args: &FileArgs,
    read: impl Fn(&str, String) -> Result<Imported, Notes>,
) -> Result<(), String> {
    let FileArgs { file, write } = args;
    let source = source(Some(file));
    let text = machine::text(&source).map_err(|problems| problems.render(terminal::colors()))?;
    let imported = read(&text, made_up_key()?).map_err(|notes| notes.render(&source))?;
    let Imported {
        draft,
        registry,
        notes,
    } = imported;
    match write {
        None => terminal::result(&draft.render(&source)),
        Some(folder) => output::write(folder, &draft, registry, &source)?,
    }
    terminal::message(&notes.render(&source));
    Ok(())
}

/// A hash key for a cluster that has none yet, in hexadecimal.
fn made_up_key() -> Result<String, String> {
    let mut key = [0; crate::shard::HashKey::LENGTH];
    getrandom::fill(&mut key).map_err(|error| format!("no random hash key: {error}\n"))?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}
