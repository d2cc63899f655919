//! `shardlet plan`: what would another configuration move?

pub(super) mod catalog;
mod chart;
mod compare;
mod link;
mod names;
mod resize;
mod text;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{FAILED, Format, members, output, source, source_of};
use crate::cli::machine::{Identity, load};
use crate::config::{Config, Problems, SourceName};
use crate::shard::MemberId;
use compare::Comparison;
use names::Names;
use resize::Addition;

/// What `plan` takes.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true).multiple(true).args(["to", "add", "remove"]),
    after_help = "Nothing is moved: all members share one storage, and only who writes a repository changes. No\n\
                  member is asked, unless they hold leases: then a sidecar that runs says who they are, and the\n\
                  planned configuration is one that all of them take. Without --repositories and --catalog,\n\
                  100,000 made-up names stand in, which no pin matches.\n\n\
                  Exit code 1 if a configuration is wrong, or a name is no repository.\n\n\
                  Examples:\n  \
                  shardlet plan --add zot-4=zot-4:5443\n  \
                  shardlet plan --from proxy.yaml --to new.yaml --repositories repositories.txt --list\n  \
                  shardlet plan --remove zot-3 --catalog http://127.0.0.1:5000 --svg plan.svg\n  \
                  shardlet plan --to new.yaml --format json | jq .share_after"
)]
pub(super) struct Args {
    /// The configuration of today, instead of `--config`.
    #[arg(long, value_name = "FILE")]
    from: Option<OsString>,
    /// The configuration that is planned.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["add", "remove"])]
    to: Option<OsString>,
    /// A member that joins, with the address of its peer listener, at the end of the list.
    #[arg(long, value_name = "ID=ADDRESS")]
    add: Vec<Addition>,
    /// A member that leaves.
    #[arg(long, value_name = "ID")]
    remove: Vec<MemberId>,
    /// Where members hold leases: the admin listener of a sidecar, if it is another than the configuration's.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Names of repositories, one a line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "catalog")]
    repositories: Option<OsString>,
    /// A registry, or a sidecar's client listener, whose repositories are listed.
    #[arg(long, value_name = "URL")]
    catalog: Option<http::Uri>,
    /// What signs the certificate of an https catalog, if it is not the system's authorities.
    #[arg(long, value_name = "FILE", requires = "catalog")]
    ca: Option<PathBuf>,
    /// A file with `name:password` for the catalog.
    #[arg(long, value_name = "FILE", requires = "catalog")]
    credentials: Option<PathBuf>,
    /// Print each repository that moves, with its owners before and after.
    #[arg(long)]
    list: bool,
    /// Draw the shares before and after as a bar chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Why there is no plan.
enum NoPlan {
    Configuration(Problems),
    Other(String),
}

/// Compares, and prints.
pub(super) fn run(args: &Args, config: Option<&OsStr>) -> ExitCode {
    match compare(args, config) {
        Ok(code) => code,
        Err(NoPlan::Configuration(problems)) => output::rejected(&problems),
        Err(NoPlan::Other(message)) => {
            output::message(&format!("shardlet: no plan: {message}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn compare(args: &Args, config: Option<&OsStr>) -> Result<ExitCode, NoPlan> {
    let Args {
        from,
        to,
        add,
        remove,
        admin,
        repositories,
        catalog,
        ca,
        credentials,
        list,
        svg,
        format,
    } = args;
    let from_source = source_of(from.as_deref(), config);
    let to_source = to.as_deref().map(|to| source(Some(to)));
    let inputs = [Some(&from_source), to_source.as_ref()];
    let stdin = inputs
        .into_iter()
        .flatten()
        .filter(|input| **input == SourceName::Stdin)
        .count();
    if stdin + usize::from(repositories.as_deref().is_some_and(|file| file == "-")) > 1 {
        let message = "standard input can be read only once: `-` stands twice";
        return Err(NoPlan::Other(message.to_owned()));
    }
    let from = read(&from_source)?;
    let before = members::view(&from, *admin);
    let before = before.map_err(|why| NoPlan::Other(format!("{from_source}: {why}")))?;
    let after = match (&to_source, &from.coordination) {
        (Some(to), _) => match read(to)? {
            to if to.coordination.is_none() => Ok((*to.view).clone()),
            to => members::planned(&to, &before),
        },
        (None, None) => resize::resize(&before, add, remove),
        (None, Some(_)) => resize::resize_leased(&from, &before, add, remove),
    };
    let after = after.map_err(NoPlan::Other)?;
    let names = match (repositories, catalog) {
        (Some(file), _) => Names::read(file),
        (None, Some(url)) => catalog::read(url, ca.as_deref(), credentials.as_deref()),
        (None, None) => Ok(Names::made_up()),
    };
    let names = names.map_err(NoPlan::Other)?;
    let comparison = Comparison::new(&before, &after, &names);
    if let Some(file) = svg {
        let written = std::fs::write(file, chart::svg(&comparison));
        written.map_err(|error| NoPlan::Other(format!("{}: {error}", file.display())))?;
    }
    match (format, list) {
        (Format::Json, _) => output::json(&comparison.document()),
        (Format::Text, false) => output::result(&text::summary(&comparison)),
        (Format::Text, true) => output::result(&text::moves(&comparison)),
    }
    output::message(&names.complaints());
    Ok(if names.all_valid() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn read(source: &SourceName) -> Result<Config, NoPlan> {
    load(source, None, Identity::Offline).map_err(NoPlan::Configuration)
}
