//! `shardlet demo`: a whole cluster in one process, to look around and to try clients on.
//!
//! The story: certificates → replicas → members → push → what to try → wait. Members are started
//! from real configuration files, exactly as `shardlet run` would; only the registries are of our
//! own, since a fresh machine has none. Everything is on 127.0.0.1 and gone at the end.

mod certificates;
mod client;
mod cluster;
mod configuration;
mod error;
mod failure;
mod folder;
mod image;
mod log;
mod ports;
mod push;
mod registry;
mod text;

pub(crate) use error::DemoError;

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;

use client::Client;
use cluster::Cluster;
use folder::Folder;
use image::Image;
use text::Pushed;

/// The repository that is pushed. With [`configuration::HASH_KEY`] the third member owns it, so
/// that both the push (through the first) and the pull (through the second) take a hop.
const REPOSITORY: &str = "demo/hello";
/// Its tag.
const TAG: &str = "v1";
/// Names that nobody has pushed, to show that owners differ.
const OTHER_REPOSITORIES: [&str; 3] = ["team/app", "team/web", "library/alpine"];

/// What the demo is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The first member's client port; 0 means free ports for everything. Ports that are taken are
    /// replaced by free ones.
    pub port: u16,
    /// No access logs.
    pub quiet: bool,
    /// End after what is shown.
    pub once: bool,
    /// Kill a member, and start it again.
    pub fail: bool,
    /// Where configuration and certificates are left for later use; a temporary folder otherwise.
    pub keep: Option<PathBuf>,
}

/// Runs until `stop`, which may come at any time.
///
/// # Errors
/// A cluster that does not start, or an image that does not come back as it was pushed.
pub(crate) async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let mut stop = pin!(stop);
    let folder = Folder::open(options.keep.as_deref())?;
    let mut cluster = tokio::select! {
        cluster = Cluster::start(&options, &folder) => cluster?,
        () = &mut stop => return Ok(()),
    };
    let shown = tokio::select! {
        shown = show(&mut cluster, &folder, &options) => Some(shown),
        () = &mut stop => None,
    };
    if matches!(shown, Some(Ok(()))) && !options.once {
        tokio::select! {
            () = cluster.obey(|id| say(&text::drained(id))) => {}
            () = &mut stop => {}
        }
    }
    cluster.end().await;
    shown.unwrap_or(Ok(()))
}

async fn show(cluster: &mut Cluster, folder: &Folder, options: &Options) -> Result<(), DemoError> {
    let places = cluster.places();
    say(&text::members(&places));
    say(&text::taken(&cluster.taken_ports()));
    cluster.settled().await?;

    let [first, second, ..] = places.as_slice() else {
        return Err(DemoError::NoMembers);
    };
    say(&text::pushing(REPOSITORY, TAG, &first.id, &second.id));
    let image = Image::new();
    push::push(&mut Client::new(first.clients), REPOSITORY, TAG, &image).await?;
    push::pull(&mut Client::new(second.clients), REPOSITORY, TAG, &image).await?;
    cluster.flush_logs();

    let pushed = Pushed {
        repository: REPOSITORY,
        tag: TAG,
        digest: image.digest(),
        owner: cluster.owner(REPOSITORY)?,
        requests: cluster.requests(REPOSITORY),
        others: cluster.owners(&OTHER_REPOSITORIES)?,
    };
    say(&text::proof(&pushed));
    if options.fail {
        failure::show(cluster, &image, &pushed.owner).await?;
        cluster.flush_logs();
    }
    say(&text::try_it(&places, &pushed));
    if let (Some(file), false) = (cluster.file(0), options.once) {
        say(&text::commands(&places, file, REPOSITORY));
    }
    if let Some(kept) = folder.kept() {
        say(&text::kept(kept, &places));
    }
    if !options.once {
        say(text::WAITING);
    }
    Ok(())
}

/// Prints a part of the story. Nobody reading it is no reason to end.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
