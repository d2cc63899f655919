//! `shardlet completions` and `shardlet man`: what comes with a package, made from the command line's
//! own description.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, FAILED, output};

/// The program's name.
const NAME: &str = "shardlet";

/// What `completions` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet completions bash > /etc/bash_completion.d/shardlet\n  \
                  shardlet completions zsh > /usr/local/share/zsh/site-functions/_shardlet\n  \
                  shardlet completions fish > ~/.config/fish/completions/shardlet.fish")]
pub(super) struct CompletionsArgs {
    /// The shell that reads it.
    shell: Shell,
}

/// What `man` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  shardlet man /usr/local/share/man/man1\n  \
                  shardlet man . && man ./shardlet-run.1")]
pub(super) struct ManArgs {
    /// Where the pages go; made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the completions of one shell.
pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let CompletionsArgs { shell } = args;
    // In memory first: a reader that goes away is no reason to panic.
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), NAME, &mut script);
    output::result(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Writes one page for the program and one for each command.
pub(super) fn man(args: &ManArgs) -> ExitCode {
    let ManArgs { folder } = args;
    match write_pages(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = folder.display();
            output::message(&format!(
                "shardlet man: cannot write to {folder}: {error}\n"
            ));
            ExitCode::from(FAILED)
        }
    }
}

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Pages of a `help` command would repeat all others.
    let command: Command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)
}
