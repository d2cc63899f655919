//! Paths made to confuse: right ones, right ones with a few faults, and loose fragments.

use proptest::arbitrary::any;
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use proptest::sample::{Index, select};

/// Any path.
pub(crate) fn paths() -> BoxedStrategy<String> {
    let part = || prop_oneof![select(COMPONENTS), select(FRAGMENTS)];
    prop_oneof![
        4 => right(),
        8 => (right(), vec(fault(), 1..4)).prop_map(|(path, faults)| apply(path, &faults)),
        2 => vec(part(), 1..8).prop_map(|parts| format!("/{}", parts.join("/"))),
        1 => vec(part(), 1..10).prop_map(|parts| parts.concat()),
    ]
    .boxed()
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Components that stand in right paths, keywords above all.
#[rustfmt::skip]
const COMPONENTS: &[&str] = &[
    "v2", "manifests", "blobs", "uploads", "tags", "list", "referrers", "a", "b", "0", "library", "alpine",
    "my-org", "a.b", "a__b", "a---b", "latest", "_catalog", "_oci", "_zot", "ext", "search", "pprof", "debug",
    "discover", "zot", "auth", "login", "token", "home", "image", "metrics", "swagger", DIGEST, "sha256:0",
];

/// What turns a path into another one for somebody.
#[rustfmt::skip]
const FRAGMENTS: &[&str] = &[
    "/", "//", "/./", "/../", "..", ".", "%2F", "%2f", "%2e", "%2E%2e", "%252F", "%25", "%", "%3A", "%3a", "%2B",
    "%5C", "%00", "%0a", "%20", "%3B", "%3F", "%23", "%C3%A9", "%76", "%32", "%61", "%5f", "\\", ";", ";x", "?",
    "?x=/v2/", "#", "\"", "<", "[", "]", "{", "|", "^", " ", "\t", "\u{7f}", "é", "A", "Z", "V2", "-", "_", "__",
    "___", "--", "..a", ":", ":5000", "@", "+", "!", "~", "*", "=", "&", "$", ",", "(", "manifests/", "/manifests",
    "/blobs/uploads/", "/tags/list", "/v2/", "%2Fmanifests%2F", "manifests%2Fx", "/%2e%2e/", "%2F..%2F",
    "localhost:5000/", "Host/", "[::1]/",
];

/// What somebody may take for a slash, or for more or less than one.
#[rustfmt::skip]
const SLASHES: &[&str] = &[
    "%2F", "%2f", "%252F", "%5C", "\\", "//", "/./", "/x/../", ";/", ";x/", "/;/", "%3B/", "/%2e/", "%2F/",
];

/// What cleaning, after this or that decoding, may take away again.
#[rustfmt::skip]
const PREFIXES: &[&str] = &[
    "/", "/.", "/x/..", "/%2e", "/x/%2e%2e", "/x/%252e%252e", "/x/y%2F..%2F..", "/x/%2F..%2f..", "/x%2F..",
    "/x\\..", "/x/%5C..%5C..", "/x/..;y", "/x/..%3By", "http://h", "/x", "%2F",
];

/// What may turn all before it into a name.
#[rustfmt::skip]
const SUFFIXES: &[&str] = &[
    "%2Fmanifests%2Flatest", "%2ftags%2flist", "%2Fblobs%2Fuploads%2F", "%5Ctags%5Clist", "%252Ftags%252Flist", "/",
    "%2F", ";x", "%3A", "%3F/manifests/x", "/tags/list",
];

/// First components of paths that are not under `/v2`.
const PAGES: &[&str] = &[
    "/image", "/home", "/explore", "/user", "/x", "/v2x", "/V2", "/v", "/static", "",
];

#[rustfmt::skip]
const WITHOUT_REPOSITORY: &[&str] = &[
    "/v2", "/v2/", "/v2/_catalog", "/v2/_oci/ext/discover", "/v2/_zot/ext/search", "/v2/_zot/ext/mgmt",
    "/v2/_zot/pprof/", "/v2/_zot/debug/graphql-playground", "/zot/auth/token", "/zot/auth/login", "/metrics",
    "/swagger/v2/index.html", "/readyz", "/",
];

/// A path that some registry serves.
fn right() -> BoxedStrategy<String> {
    let component = prop_oneof![
        4 => select(COMPONENTS).prop_map(str::to_owned),
        1 => "[a-z0-9]{1,3}([._-][a-z0-9]{1,2})?",
    ];
    let last = prop_oneof![
        3 => Just(DIGEST.to_owned()),
        1 => Just(DIGEST.replace(':', "%3A")),
        1 => "sha256%2Bb64:[a-f0-9]{32}",
        2 => select(COMPONENTS).prop_map(str::to_owned),
        2 => "[A-Za-z0-9_][A-Za-z0-9._=-]{0,8}",
    ];
    let keyword = select(&["manifests", "blobs", "referrers", "blobs/uploads"][..]);
    let endpoint = prop_oneof![
        4 => (keyword, last).prop_map(|(keyword, last)| format!("{keyword}/{last}")),
        1 => select(&["tags/list", "blobs/uploads/", "blobs/uploads"][..]).prop_map(str::to_owned),
    ];
    let page = |separator: &'static str| {
        let part = prop_oneof![3 => select(COMPONENTS), 1 => select(FRAGMENTS)];
        (select(PAGES), vec(part, 0..5))
            .prop_map(move |(page, parts)| format!("{page}/{}", parts.join(separator)))
    };
    prop_oneof![
        12 => (vec(component, 1..5), endpoint)
            .prop_map(|(name, endpoint)| format!("/v2/{}/{endpoint}", name.join("/"))),
        1 => select(WITHOUT_REPOSITORY).prop_map(str::to_owned),
        1 => page("/"),
        1 => page("%2F"),
    ]
    .boxed()
}

/// A change to a path.
#[derive(Clone, Debug)]
enum Fault {
    Insert(Index, &'static str),
    Replace(Index, &'static str),
    Delete(Index),
    /// Escapes one character.
    Escape(Index),
    /// Puts something before the path.
    Prefix(&'static str),
    /// Puts something behind the path.
    Suffix(&'static str),
    /// Takes something else for a slash.
    Slash(Index, &'static str),
}

fn fault() -> impl Strategy<Value = Fault> {
    let part = || prop_oneof![3 => select(FRAGMENTS), 1 => select(COMPONENTS)];
    prop_oneof![
        4 => (any::<Index>(), part()).prop_map(|(at, part)| Fault::Insert(at, part)),
        3 => (any::<Index>(), part()).prop_map(|(at, part)| Fault::Replace(at, part)),
        2 => any::<Index>().prop_map(Fault::Delete),
        2 => any::<Index>().prop_map(Fault::Escape),
        3 => select(PREFIXES).prop_map(Fault::Prefix),
        2 => select(SUFFIXES).prop_map(Fault::Suffix),
        6 => (any::<Index>(), select(SLASHES)).prop_map(|(at, slash)| Fault::Slash(at, slash)),
    ]
}

fn apply(mut path: String, faults: &[Fault]) -> String {
    for fault in faults {
        let characters: Vec<_> = path
            .char_indices()
            .map(|(at, c)| at..at + c.len_utf8())
            .collect();
        let slashes: Vec<_> = path.match_indices('/').map(|(at, _)| at..at + 1).collect();
        if characters.is_empty() || slashes.is_empty() {
            return path;
        }
        let character = |index: &Index| characters[index.index(characters.len())].clone();
        match fault {
            Fault::Insert(at, part) => path.insert_str(character(at).start, part),
            Fault::Replace(at, part) => path.replace_range(character(at), part),
            Fault::Delete(at) => path.replace_range(character(at), ""),
            Fault::Escape(at) => {
                let at = character(at);
                let escape = |byte| format!("%{byte:02x}");
                let escaped: String = path[at.clone()].bytes().map(escape).collect();
                path.replace_range(at, &escaped);
            }
            Fault::Prefix(part) => path.insert_str(0, part),
            Fault::Suffix(part) => path.push_str(part),
            Fault::Slash(at, slash) => {
                path.replace_range(slashes[at.index(slashes.len())].clone(), slash);
            }
        }
    }
    path
}
