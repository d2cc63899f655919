//! proxy.yaml: text and environment in, [`Config`] or all [`Problems`] out.
//!
//! Pure: what is outside of the text comes in by [`Environment`]. Parsing goes in three steps, each
//! ignorant of the next:
//!
//! ```text
//!  text ──► yaml ──► tree of located nodes ──► section + values ──► listen, registry, cluster …
//!                          │                        │                        │
//!                          └ secret marks           └ findings (problems)    └ settings (Config)
//! ```
//!
//! Reading never stops at the first problem: a reader complains, takes a default and goes on, and
//! [`load`] throws the result away if anybody complained.

mod cluster;
mod coordination;
mod duration;
mod environment;
mod findings;
mod hash_key;
pub mod identity;
mod local;
mod network;
pub mod problem;
mod schema;
pub(crate) mod secret;
mod section;
pub mod settings;
mod source;
mod statefulset;
mod store;
#[cfg(test)]
mod tests;
mod tuning;
mod values;
pub(crate) mod yaml;

pub(crate) use duration::spelled as spelled_duration;
pub use environment::{
    ADDRESS_VARIABLE, CONFIG_VARIABLE, Environment, Files, HASH_KEY_VARIABLE, MEMBER_VARIABLE,
};
pub use identity::{Identified, Surroundings};
pub(crate) use network::ADMIN_PORT;
pub use problem::{Location, Problem, Problems, Severity};
pub use settings::{
    AdminListener, ClientListener, ClusterTls, Collector, Config, Coordination, DynamoDbSettings,
    Hold, KeyPairPaths, KubernetesSettings, Level, Limits, Listen, Log, LogFormat, PeerLimits,
    PeerListener, ProbePath, Probes, Queue, Registry, RegistryAddress, RegistryTls, Reload,
    Resolve, S3Settings, Sample, ServiceUrl, Sticky, StoreSettings, Telemetry, Threads, Timeouts,
    Traces,
};
pub use source::SourceName;

use findings::Findings;
use section::Section;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "proxy.yaml";

/// Largest configuration file that [`load`] takes, in bytes.
pub const MAX_FILE_BYTES: usize = yaml::MAX_BYTES;

/// Reads a configuration.
///
/// # Errors
/// Everything that is wrong with it, at once, each with its place.
pub fn load(text: &str, source: &SourceName, env: &Environment<'_>) -> Result<Config, Problems> {
    let mut out = Findings::new(source, text, env.files);
    let tree = out.parse();
    let draft = tree.and_then(|tree| {
        let root = Section::open(&schema::ROOT, &tree, &mut out);
        let listen = network::listen(&root, &mut out);
        let threads = tuning::threads(&root, &mut out);
        let registry = network::registry(&root, &mut out);
        let hold = tuning::hold(&root, &mut out);
        let reads = tuning::reads(&root, &mut out);
        let sticky = tuning::sticky(&root, &mut out);
        let limits = tuning::limits(&root, &mut out);
        let circuit = tuning::circuit(&root, &mut out);
        let trusted_proxies = tuning::trusted_proxies(&root, &mut out);
        let log = tuning::log(&root, &mut out);
        let telemetry = tuning::telemetry(&root, &mut out);
        let (timeouts, probes) = tuning::times(&root, &mut out);
        let resolve = tuning::resolve(&root, &mut out);
        let reload = tuning::reload(&root, &mut out);
        let cluster::Cluster {
            tls: cluster,
            view,
            coordination,
            key_known,
            identified,
            peer_limits,
            state,
        } = cluster::read(&root, &listen, &timeouts, env, &mut out)?;
        network::introduced(&tree, &listen, &trusted_proxies, &mut out);
        network::reachable(&tree, &listen, view.members(), &mut out);
        Some(Config {
            listen,
            threads,
            registry,
            cluster,
            view,
            coordination,
            key_known,
            identified,
            peer_limits,
            state,
            hold,
            reads,
            sticky,
            timeouts,
            limits,
            circuit,
            trusted_proxies,
            log,
            telemetry,
            probes,
            resolve,
            reload,
            files: Vec::new(),
            remarks: Vec::new(),
        })
    });
    let (files, remarks) = out.finish()?;
    // Without a problem there is a draft; the other way round would be a reader that failed silently.
    let draft = draft.ok_or_else(|| Problems::silent(source))?;
    Ok(Config {
        files,
        remarks,
        ..draft
    })
}
