//! `shardlet owner`: which member owns a repository?

use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::ExitCode;

use serde::Serialize;

use super::{FAILED, Format, members, output, source};
use crate::cli::machine::{Identity, load};
use crate::shard::{Repository, View};

/// What `owner` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One line a repository: name, owner and, where a pin decides, the pin, separated by tabs.\n\
                  Names that no repository can have are reported, and the exit code is 1.\n\n\
                  Nobody is asked where the file lists the members. Where they hold leases, a sidecar that runs\n\
                  says who they are at the moment.\n\n\
                  Examples:\n  \
                  shardlet owner team/app\n  \
                  shardlet owner --format json team/app library/alpine\n  \
                  shardlet owner - < repositories.txt | cut -f2 | sort | uniq -c"
)]
pub(super) struct Args {
    /// Names of repositories, without host and tag; `-` reads them from standard input.
    #[arg(value_name = "REPO", required = true)]
    repositories: Vec<String>,
    /// Where members hold leases: the admin listener of a sidecar, if it is another than the configuration's.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// One answer.
#[derive(Debug, Serialize)]
struct OwnerLine {
    repository: String,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Verdict {
    Owned { owner: String, pin: Option<String> },
    Invalid { error: String },
}

/// Prints the owner of each repository.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    let Args {
        repositories,
        admin,
        format,
    } = args;
    // The owner does not depend on who asks.
    let config = match load(&source(config), None, Identity::Offline) {
        Ok(config) => config,
        Err(problems) => return output::rejected(&problems),
    };
    let view = match members::view(&config, *admin) {
        Ok(view) => view,
        Err(why) => {
            output::message(&format!("shardlet: no owners: {why}\n"));
            return ExitCode::from(FAILED);
        }
    };
    let names = match names(repositories) {
        Ok(names) => names,
        Err(error) => {
            output::message(&format!("cannot read names from standard input: {error}\n"));
            return ExitCode::from(FAILED);
        }
    };
    let answers: Vec<OwnerLine> = names.into_iter().map(|name| answer(name, &view)).collect();
    match format {
        Format::Text => print_text(&answers),
        // Strings and nulls only: there is nothing that could fail to serialize.
        Format::Json => output::json(&answers),
    }
    let valid = answers
        .iter()
        .all(|answer| matches!(answer.verdict, Verdict::Owned { .. }));
    if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

fn names(arguments: &[String]) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for argument in arguments {
        if argument != "-" {
            names.push(argument.clone());
            continue;
        }
        for line in io::stdin().lock().lines() {
            let line = line?;
            let name = line.trim();
            if !name.is_empty() {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}

fn answer(name: String, view: &View) -> OwnerLine {
    let verdict = match Repository::parse(&name) {
        Ok(repository) => Verdict::Owned {
            owner: view.members().get(view.owner(&repository)).id.to_string(),
            pin: pin(&repository, view),
        },
        Err(error) => Verdict::Invalid {
            error: error.to_string(),
        },
    };
    OwnerLine {
        repository: name,
        verdict,
    }
}

/// The pin that decides: the longest one that matches.
fn pin(repository: &Repository<'_>, view: &View) -> Option<String> {
    view.pins().owner(repository)?;
    let matches = |prefix: &str| {
        let rest = repository.as_str().strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let prefixes = view.pins().iter().map(|(prefix, _)| prefix);
    let longest = prefixes
        .filter(|prefix| matches(prefix.as_str()))
        .max_by_key(|prefix| prefix.as_str().len());
    longest.map(ToString::to_string)
}

fn print_text(answers: &[OwnerLine]) {
    let (mut good, mut bad) = (String::new(), String::new());
    for OwnerLine {
        repository,
        verdict,
    } in answers
    {
        match verdict {
            Verdict::Owned { owner, pin: None } => good += &format!("{repository}\t{owner}\n"),
            Verdict::Owned {
                owner,
                pin: Some(pin),
            } => good += &format!("{repository}\t{owner}\tpin {pin}\n"),
            Verdict::Invalid { error } => {
                bad += &format!("{} is no repository: {error}\n", repository.escape_debug());
            }
        }
    }
    output::result(&good);
    output::message(&bad);
}
