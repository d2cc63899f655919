//! The keys that zot's configuration can have (v2.1), to name those that it cannot.

use crate::cli::import::notes::Notes;
use crate::cli::import::tree::{Tree, Value};

/// Keys by section, in lower case. `*` stands for any key, `[]` for the items of a list. A section that is not listed
/// is zot's own business.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "distspecversion",
            "goversion",
            "commit",
            "releasetag",
            "binarytype",
            "storage",
            "http",
            "log",
            "extensions",
            "scheduler",
            "cluster",
        ],
    ),
    ("storage", STORAGE),
    ("storage.subpaths.*", STORAGE),
    ("storage.retention", &["dryrun", "delay", "policies"]),
    (
        "http",
        &[
            "address",
            "externalurl",
            "port",
            "alloworigin",
            "readtimeout",
            "writetimeout",
            "tls",
            "auth",
            "accesscontrol",
            "realm",
            "ratelimit",
            "compat",
        ],
    ),
    ("http.tls", TLS),
    (
        "http.auth",
        &[
            "faildelay",
            "htpasswd",
            "ldap",
            "bearer",
            "openid",
            "apikey",
            "sessionkeysfile",
            "sessiondriver",
            "securesession",
            "mtls",
        ],
    ),
    (
        "http.accesscontrol",
        &["repositories", "adminpolicy", "groups", "metrics"],
    ),
    ("http.ratelimit", &["rate", "methods"]),
    ("log", &["level", "output", "audit"]),
    ("scheduler", &["numworkers"]),
    ("cluster", &["members", "hashkey", "tls"]),
    ("cluster.tls", TLS),
    (
        "extensions",
        &[
            "search", "sync", "metrics", "scrub", "lint", "ui", "mgmt", "apikey", "trust", "events",
        ],
    ),
    ("extensions.search", &["enable", "cve"]),
    ("extensions.search.cve", &["updateinterval", "trivy"]),
    (
        "extensions.sync",
        &["enable", "credentialsfile", "downloaddir", "registries"],
    ),
    (
        "extensions.sync.registries[]",
        &[
            "urls",
            "pollinterval",
            "content",
            "tlsverify",
            "ondemand",
            "manifestcheckinterval",
            "certdir",
            "maxretries",
            "retrydelay",
            "maxretrydelay",
            "onlysigned",
            "synclegacycosigntags",
            "credentialhelper",
            "oauth2credentialhelper",
            "preservedigest",
            "synctimeout",
            "reqconcurrent",
            "reqpersec",
            "disablehttp2",
            "maxidleconnsperhost",
        ],
    ),
    (
        "extensions.sync.registries[].content[]",
        &["prefix", "tags", "destination", "stripprefix"],
    ),
    ("extensions.metrics", &["enable", "prometheus"]),
    ("extensions.scrub", &["enable", "interval"]),
    ("extensions.lint", &["enable", "mandatoryannotations"]),
    ("extensions.ui", &["enable"]),
    ("extensions.mgmt", &["enable"]),
    ("extensions.apikey", &["enable"]),
    ("extensions.trust", &["enable", "cosign", "notation"]),
];

const TLS: &[&str] = &["cert", "key", "cacert"];
const STORAGE: &[&str] = &[
    "rootdirectory",
    "maxrepos",
    "dedupe",
    "remotecache",
    "redirectbloburl",
    "gc",
    "commit",
    "gcdelay",
    "gcinterval",
    "gctimewindow",
    "retention",
    "storagedriver",
    "cachedriver",
    "gcmaxschedulerdelay",
    "subpaths",
    "fastrestart",
];

/// Notes every key that no zot has.
pub(super) fn check(tree: &Tree, notes: &mut Notes) {
    visit(tree, "", "", notes);
}

/// `shown` is the section as it is written, `section` as it stands in the table.
fn visit(tree: &Tree, section: &str, shown: &str, notes: &mut Notes) {
    match &tree.value {
        Value::Null | Value::Plain(_) | Value::Text(_) => {}
        Value::List(items) => {
            for item in items {
                visit(item, &format!("{section}[]"), shown, notes);
            }
        }
        Value::Map(entries) => {
            let known = KNOWN
                .iter()
                .find(|(name, _)| *name == section)
                .map(|(_, keys)| *keys);
            for (key, value) in entries {
                let lower = key.to_ascii_lowercase();
                let name = if shown.is_empty() {
                    key.clone()
                } else {
                    format!("{shown}.{key}")
                };
                if known.is_some_and(|known| !known.contains(&lower.as_str())) {
                    notes.at(
                        value.line,
                        format!("unknown key {name}: it stays in zot's configuration as it is"),
                    );
                    continue;
                }
                let step = if section == "storage.subpaths" {
                    "*"
                } else {
                    lower.as_str()
                };
                let below = if section.is_empty() {
                    step.to_owned()
                } else {
                    format!("{section}.{step}")
                };
                visit(value, &below, &name, notes);
            }
        }
    }
}
