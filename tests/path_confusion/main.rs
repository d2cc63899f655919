//! Path confusion: whatever the parser accepts must mean the same repository to the registries behind it.
//!
//! Two models of real routers, made from their regular expressions, read every generated path beside our parser: CNCF
//! distribution, which decodes the path first, and zot, which does not. A third model decodes, cuts and cleans more
//! than either, for whatever may stand between. If one of them sees another repository, or one where we see none, two
//! members could write one repository.
//!
//! `PROPTEST_CASES=1000000 cargo test --release --test path_confusion` runs the long version.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end at the first surprise"
)]

mod oracles;
mod paths;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shardlet::shard::{Resource, Route, RouteError, parse};

use oracles::Oracles;

/// Paths generated when `PROPTEST_CASES` does not say how many.
const CASES: u32 = 20_000;

#[test]
fn what_we_accept_means_one_repository_to_every_registry() {
    let oracles = Oracles::new();
    let seen = RefCell::new(Seen::default());
    let result = runner().run(&paths::paths(), |path| {
        seen.borrow_mut().paths += 1;
        let theirs = oracles.read(&path);
        let route = match parse(&path) {
            Ok(route) => route,
            Err(error) => {
                let reached = theirs.iter().any(|(_, repository)| repository.is_some());
                *seen.borrow_mut().refused.entry(check(error)).or_default() += usize::from(reached);
                return Ok(());
            }
        };
        *seen.borrow_mut().accepted.entry(kind(&route)).or_default() += 1;
        let ours = repository(&route);
        for (registry, theirs) in theirs {
            let agrees = theirs.is_none() || theirs.as_deref() == ours;
            prop_assert!(
                agrees,
                "{path:?} is {ours:?} to us and {theirs:?} to {registry}"
            );
            *seen.borrow_mut().agreed.entry(registry).or_default() += usize::from(theirs.is_some());
        }
        Ok(())
    });
    assert!(
        result.is_ok(),
        "{}",
        result
            .err()
            .map(|failure| failure.to_string())
            .unwrap_or_default()
    );
    seen.into_inner().assert_wide_enough();
}

/// The generator must not be so tame that the test above proves nothing, nor so wild that everything is refused.
#[derive(Default, Debug)]
struct Seen {
    paths: usize,
    accepted: BTreeMap<&'static str, usize>,
    /// Accepted paths in which a registry saw the repository that we saw.
    agreed: BTreeMap<&'static str, usize>,
    /// Refused paths in which a registry saw a repository, by the check that refused them: each check is needed.
    refused: BTreeMap<&'static str, usize>,
}

impl Seen {
    fn assert_wide_enough(&self) {
        println!("{self:?}");
        let accepted: usize = self.accepted.values().sum();
        assert!(
            accepted * 4 > self.paths,
            "few paths are accepted: {self:?}"
        );
        assert!(
            accepted * 10 < self.paths * 9,
            "few paths are refused: {self:?}"
        );
        assert_eq!(
            self.accepted.len(),
            KINDS,
            "some kind of route is never met: {self:?}"
        );
        assert!(
            self.accepted
                .values()
                .all(|count| count * 1000 > self.paths),
            "{self:?}"
        );
        assert_eq!(self.agreed.len(), 3);
        assert!(
            self.agreed.values().all(|count| count * 20 > self.paths),
            "few repositories: {self:?}"
        );
        for check in ["byte", "escape", "empty component", "dot component", "name"] {
            let count = self.refused.get(check).copied().unwrap_or_default();
            assert!(
                count * 5000 > self.paths,
                "the check for {check} is hardly tried: {self:?}"
            );
        }
    }
}

const KINDS: usize = 9;

fn kind(route: &Route<'_>) -> &'static str {
    match route {
        Route::Repository { resource, .. } => match resource {
            Resource::Manifest { .. } => "manifest",
            Resource::Blob { .. } => "blob",
            Resource::UploadStart => "upload start",
            Resource::Upload { .. } => "upload",
            Resource::Tags => "tags",
            Resource::Referrers { .. } => "referrers",
        },
        Route::Registry(_) => "registry",
        Route::Session => "session",
        Route::Private => "private",
    }
}

fn repository<'p>(route: &Route<'p>) -> Option<&'p str> {
    match route {
        Route::Repository { repository, .. } => Some(repository.as_str()),
        Route::Registry(_) | Route::Session | Route::Private => None,
    }
}

fn runner() -> TestRunner {
    let mut config = Config {
        failure_persistence: None,
        max_shrink_iters: 10_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    TestRunner::new(config)
}

/// A line of tests/corpus/paths.txt.
#[derive(Debug)]
struct Row {
    expected: String,
    path: String,
}

fn corpus() -> Vec<Row> {
    let text = include_str!("../corpus/paths.txt");
    let rows = text.lines().filter_map(|line| {
        let (expected, target) = line.split_once(char::is_whitespace)?;
        let target = target.trim().replace(r"\\", r"\").replace(r"\xc3\xa9", "é");
        let path = target.split('?').next()?.to_owned();
        let expected = expected.to_owned();
        (expected != "#").then_some(Row { expected, path })
    });
    rows.collect()
}

#[test]
fn the_corpus_is_read_as_it_says_and_nobody_reads_it_otherwise() {
    let oracles = Oracles::new();
    let corpus = corpus();
    assert!(corpus.len() > 100, "{} paths", corpus.len());
    for row in corpus {
        let ours = match parse(&row.path) {
            Ok(route) => repository(&route).unwrap_or("-").to_owned(),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(ours, row.expected, "{row:?}");
        if ours == "refused" {
            continue;
        }
        for (registry, theirs) in oracles.read(&row.path) {
            let agrees = theirs.as_ref().is_none_or(|theirs| *theirs == ours);
            assert!(agrees, "{row:?} is {theirs:?} to {registry}");
        }
    }
}

/// The models must see what the real routers see, or agreement with them means nothing.
#[test]
fn the_models_read_paths_as_the_registries_do() {
    let oracles = Oracles::new();
    for (path, distribution, zot) in [
        ("/v2/a/manifests/x", Some("a"), Some("a")),
        ("/v2/a/tags/list", Some("a"), Some("a")),
        ("/v2/a/b/blobs/uploads/", Some("a/b"), Some("a/b")),
        ("/v2/a/blobs/uploads/0-1_x.y=", Some("a"), Some("a")),
        // A redirect to the path with the slash, and a blob of that name.
        ("/v2/a/blobs/uploads", Some("a"), Some("a")),
        ("/v2/a/referrers/x", None, Some("a")),
        ("/v2/a/blobs/short", None, Some("a")),
        // Decoding.
        ("/v2/a%2Fb/manifests/x", Some("a/b"), None),
        ("/%76%32/a/manifests/x", Some("a"), None),
        ("/v2/a/manifests/%78", Some("a"), Some("a")),
        // One byte that Go's parser would have escaped makes zot see the decoded path too.
        ("/v2/a%2Fb/manifests/x\"", None, Some("a/b")),
        // Cleaning, by a redirect.
        ("//v2/a/manifests/x", Some("a"), Some("a")),
        ("/x/../v2/a/./manifests/x", Some("a"), Some("a")),
        ("/x/%2e%2e/v2/a/manifests/x", Some("a"), None),
        // A host name in front of the name, for distribution alone.
        ("/v2/Host:5000/a/manifests/x", Some("Host:5000/a"), None),
        ("/v2/Host/manifests/x", None, None),
        ("/v2/a..b/manifests/x", None, None),
        ("/v2/_catalog", None, None),
        ("/v2/a/manifests/x%zz", None, None),
    ] {
        let seen: Vec<_> = oracles
            .read(path)
            .into_iter()
            .map(|(_, repository)| repository)
            .collect();
        assert_eq!(
            (seen[0].as_deref(), seen[1].as_deref()),
            (distribution, zot),
            "{path}"
        );
    }
}

fn check(error: RouteError) -> &'static str {
    match error {
        RouteError::NotOriginForm => "form",
        RouteError::ForbiddenByte { .. } => "byte",
        RouteError::PercentEncoded => "escape",
        RouteError::EmptyComponent => "empty component",
        RouteError::DotComponent => "dot component",
        RouteError::InvalidName { .. } => "name",
        RouteError::UnknownEndpoint => "endpoint",
    }
}
