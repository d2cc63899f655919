//! Paths made to confuse: right ones, right ones with a few faults, and loose fragments.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Any path.
pub(crate) fn paths() -> BoxedStrategy<String> {
    prop_oneof![
        4 => right(),
        6 => (right(), vec(fault(), 1..4)).prop_map(|(path, faults)| apply(path, &faults)),
        2 => vec(prop_oneof![3 => select(COMPONENTS), 2 => select(FRAGMENTS)], 1..8)
            .prop_map(|parts| format!("/{}", parts.join("/"))),
        1 => vec(prop_oneof![select(COMPONENTS), select(FRAGMENTS)], 1..10).prop_map(|parts| parts.concat()),
    ]
    .boxed()
}

/// Components that stand in right paths, keywords above all.
const COMPONENTS: &[&str] = &[
    "v2",
    "manifests",
    "blobs",
    "uploads",
    "tags",
    "list",
    "referrers",
    "a",
    "b",
    "0",
    "library",
    "alpine",
    "my-org",
    "a.b",
    "a__b",
    "a---b",
    "latest",
    "_catalog",
    "_oci",
    "_zot",
    "ext",
    "search",
    "pprof",
    "debug",
    "discover",
    "zot",
    "auth",
    "login",
    "token",
    "home",
    "image",
    "metrics",
    "swagger",
    "sha256",
    DIGEST,
    "sha256:0",
];

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What turns a path into another one for somebody.
const FRAGMENTS: &[&str] = &[
    "/",
    "//",
    "/./",
    "/../",
    "..",
    ".",
    "%2F",
    "%2f",
    "%2e",
    "%2E%2e",
    "%252F",
    "%25",
    "%",
    "%3A",
    "%3a",
    "%2B",
    "%5C",
    "%00",
    "%0a",
    "%20",
    "%3B",
    "%3F",
    "%23",
    "%C3%A9",
    "%76",
    "%32",
    "%61",
    "%5f",
    "\\",
    ";",
    ";x",
    "?",
    "?x=/v2/",
    "#",
    "\"",
    "<",
    "[",
    "]",
    "{",
    "|",
    "^",
    " ",
    "\t",
    "\u{7f}",
    "é",
    "A",
    "Z",
    "V2",
    "-",
    "_",
    "__",
    "___",
    "--",
    "..a",
    ":",
    ":5000",
    "@",
    "+",
    "!",
    "~",
    "*",
    "=",
    "&",
    "$",
    ",",
    "(",
    "manifests/",
    "/manifests",
    "/blobs/uploads/",
    "/tags/list",
    "/v2/",
    "%2Fmanifests%2F",
    "manifests%2Fx",
    "/%2e%2e/",
    "%2F..%2F",
    "localhost:5000/",
    "Host/",
    "[::1]/",
];

/// A path that some registry serves.
fn right() -> BoxedStrategy<String> {
    let name = vec(
        prop_oneof![4 => select(COMPONENTS), 1 => "[a-z0-9]{1,3}([._-][a-z0-9]{1,2})?".prop_map(leak)],
        1..5,
    );
    let last = prop_oneof![
        3 => Just(DIGEST.to_owned()),
        1 => Just(DIGEST.replace(':', "%3A")),
        1 => "sha256%2Bb64:[a-f0-9]{32}",
        2 => select(COMPONENTS).prop_map(str::to_owned),
        2 => "[A-Za-z0-9_][A-Za-z0-9._=-]{0,8}",
    ];
    let endpoint = prop_oneof![
        4 => (select(&["manifests", "blobs", "referrers", "blobs/uploads"][..]), last)
            .prop_map(|(keyword, last)| format!("{keyword}/{last}")),
        2 => select(PREFIXES).prop_map(Fault::Prefix),
        4 => (proptest::arbitrary::any::<Index>(), select(SLASHES)).prop_map(|(at, slash)| Fault::Slash(at, slash)),
    ]
}

/// Applies faults at the borders of components and characters, where most confusion lies.
fn apply(mut path: String, faults: &[Fault]) -> String {
    for fault in faults {
        let borders: Vec<usize> = path.char_indices().map(|(at, _)| at).collect();
        let Some(last) = borders.last() else {
            return path;
        };
        let place = |index: &Index| borders[index.index(borders.len())];
        let width = |at: usize| path[at..].chars().next().map_or(0, char::len_utf8);
        match fault {
            Fault::Insert(at, part) => path.insert_str(place(at), part),
            Fault::Replace(at, part) => {
                let at = place(at);
                path.replace_range(at..at + width(at), part);
            }
            Fault::Delete(at) => {
                path.remove(place(at).min(*last));
            }
            Fault::Escape(at) => {
                let at = place(at);
                let escaped: String = path[at..at + width(at)]
                    .bytes()
                    .map(|byte| format!("%{byte:02x}"))
                    .collect();
                path.replace_range(at..at + width(at), &escaped);
            }
            Fault::Prefix(part) => path.insert_str(0, part),
            Fault::Slash(at, slash) => {
                let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
                if !slashes.is_empty() {
                    let at = slashes[at.index(slashes.len())];
                    path.replace_range(at..=at, slash);
                }
            }
        }
    }
    path
}

/// Generated names are few and short, and a test process ends soon.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
