//! `shardlet completions` and `shardlet man`: what comes with a package, made from the command line's
//! own description.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, FAILED, output};
use crate::observe::human;

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
    let mut program: Command = Cli::command().disable_help_subcommand(true);
    program.build();
    for command in std::iter::once(&program).chain(program.get_subcommands()) {
        let (name, page) = page(command)?;
        fs::write(folder.join(name), page)?;
    }
    Ok(())
}

/// A page, and the name of its file.
fn page(command: &Command) -> io::Result<(String, String)> {
    let title = command.get_display_name().unwrap_or(NAME).to_owned();
    let man = Man::new(command.clone())
        .title(title.to_uppercase())
        .date(today())
        .source(concat!("shardlet ", env!("CARGO_PKG_VERSION")))
        .manual("shardlet");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let page = String::from_utf8_lossy(&page).replace(".br\n\n.br\n", ".sp\n");
    let notes = command.get_after_help().map(ToString::to_string);
    let notes = verbatim("NOTES", &notes.unwrap_or_default());
    Ok((format!("{title}.1"), page + &notes))
}

/// A section whose lines stay as they are: examples are no prose.
fn verbatim(section: &str, text: &str) -> String {
    let mut page = format!(".SH {section}\n.nf\n");
    for line in text.lines() {
        let line = line.trim_end().replace('\\', "\\e").replace('-', "\\-");
        page += &match line.as_str() {
            "" => ".sp\n".to_owned(),
            // A line that begins with one of these would be a command.
            _ if line.starts_with(['.', '\'']) => format!("\\&{line}\n"),
            _ => format!("{line}\n"),
        };
    }
    page + ".fi\n"
}

/// The day, or that of `SOURCE_DATE_EPOCH`, by which builds can be repeated
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn today() -> String {
    let day = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .unwrap_or_else(SystemTime::now);
    human::rfc3339(day)
        .chars()
        .take_while(|c| *c != 'T')
        .collect()
}
