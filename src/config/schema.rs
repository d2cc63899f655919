//! Every key of proxy.yaml, by the mapping that it stands in.
//!
//! One table for the reader, its suggestions and the test that the reference in
//! docs/configuration.md is complete.

/// The keys of one mapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schema {
    /// Dotted, `[]` for the items of a list; empty for the root.
    pub(super) path: &'static str,
    pub(super) keys: &'static [&'static str],
}

macro_rules! schemas {
    ($($name:ident $path:literal [$($key:literal),+];)+) => {
        $(pub(super) const $name: Schema = Schema { path: $path, keys: &[$($key),+] };)+
        /// All of them, outer before inner.
        pub(super) const ALL: &[&Schema] = &[$(&$name),+];
    };
}

schemas! {
    ROOT "" ["member", "listen", "threads", "registry", "cluster", "writes", "reads", "sticky", "timeouts", "limits", "circuit", "trusted_proxies", "probes", "resolve", "log", "telemetry", "reload"];
    LISTEN "listen" ["clients", "peers", "admin"];
    LISTEN_CLIENTS "listen.clients" ["address", "tls", "proxy_protocol"];
    LISTEN_CLIENTS_TLS "listen.clients.tls" ["cert", "key"];
    LISTEN_PEERS "listen.peers" ["address"];
    LISTEN_ADMIN "listen.admin" ["address", "socket"];
    REGISTRY "registry" ["address", "tls", "max_in_flight", "queue", "reads_write"];
    REGISTRY_TLS "registry.tls" ["ca", "server_name"];
    REGISTRY_QUEUE "registry.queue" ["limit", "timeout"];
    CLUSTER "cluster" ["hash_key", "hash_key_file", "placement", "tls", "insecure", "members", "statefulset", "address", "weight", "coordination", "pins", "max_in_flight", "queue", "state"];
    CLUSTER_TLS "cluster.tls" ["ca", "cert", "key"];
    CLUSTER_QUEUE "cluster.queue" ["limit", "timeout"];
    MEMBER "cluster.members[]" ["id", "address", "weight"];
    STATEFULSET "cluster.statefulset" ["name", "replicas", "service", "port"];
    COORDINATION "cluster.coordination" ["store", "lease", "guard", "handoff", "replica_kill", "replica_ends_with_sidecar"];
    STORE "cluster.coordination.store" ["s3", "dynamodb", "kubernetes"];
    STORE_S3 "cluster.coordination.store.s3" ["bucket", "prefix", "region", "endpoint", "path_style", "ca", "profile"];
    STORE_DYNAMODB "cluster.coordination.store.dynamodb" ["table", "fleet", "region", "endpoint", "ca", "profile"];
    STORE_KUBERNETES "cluster.coordination.store.kubernetes" ["fleet", "namespace"];
    PIN "cluster.pins[]" ["prefix", "member"];
    WRITES "writes" ["hold", "limit"];
    READS "reads" ["blobs", "owner_down"];
    STICKY "sticky" ["cookie", "path"];
    TIMEOUTS "timeouts" ["connect", "request_header", "keepalive", "idle", "commit", "aftermath", "drain", "drain_delay"];
    LIMITS "limits" ["connections", "connections_per_address", "requests_per_connection", "request_line", "header_count", "header_bytes", "h2_streams", "h2_window", "handshakes", "transfers", "upload_rate", "download_rate"];
    CIRCUIT "circuit" ["failures", "open", "open_limit"];
    PROBES "probes" ["interval", "timeout", "rise", "fall", "path"];
    RESOLVE "resolve" ["interval"];
    LOG "log" ["format", "level", "requests"];
    TELEMETRY "telemetry" ["traces"];
    TELEMETRY_TRACES "telemetry.traces" ["endpoint", "sample"];
    RELOAD "reload" ["watch"];
}

impl Schema {
    /// The dotted path of one of its keys.
    pub(super) fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// What the writer of an unknown key may have meant.
    pub(super) fn advice(&self, unknown: &str) -> String {
        if let Some(key) = nearest(unknown, self.keys.iter().copied()) {
            return format!("did you mean `{key}`?");
        }
        let elsewhere: Vec<String> = ALL
            .iter()
            .filter(|schema| schema.keys.contains(&unknown))
            .map(|schema| match schema.path {
                "" => "at the top level".to_owned(),
                path => format!("under `{path}`"),
            })
            .collect();
        if elsewhere.is_empty() {
            return format!("known here: {}", self.keys.join(", "));
        }
        format!("`{unknown}` stands {}", elsewhere.join(" or "))
    }
}

/// The candidate that a misspelled word most likely stands for.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &plain(candidate)),
                candidate,
            )
        })
        .filter(|(edits, candidate)| *edits <= allowed_edits(candidate))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// One edit in a short word, two in a middling one, a third of a long one.
fn allowed_edits(word: &str) -> usize {
    match word.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        long => long / 3,
    }
}
