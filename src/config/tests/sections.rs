//! What is written arrives; what is left out has the default that is documented.

use std::num::{NonZeroU32, NonZeroUsize};

use super::*;
use crate::shard::CircuitLimits;

/// Every section, with values that are no defaults.
const ALL: &str = "listen:\n  clients: { address: '[::1]:6000', tls: { cert: a.crt, key: /abs/a.key }, proxy_protocol: true }\n\
         threads: 3\n\
         registry: { address: 'unix:/run/r.sock', max_in_flight: 1, queue: { limit: 0, timeout: 1m } }\n\
         reads: { blobs: any, owner_down: reject }\n\
         sticky: { cookie: lb, path: /ui }\n\
         timeouts: { connect: 500ms, request_header: 1s, keepalive: 1d, idle: 1m30s, commit: 1.5m, aftermath: 1m, drain: 0s, drain_delay: 1m }\n\
         limits: { connections: 10_000, connections_per_address: 7, header_bytes: 10kB, h2_window: 64KiB, handshakes: 9, transfers: 8, upload_rate: 1kB, download_rate: 2KiB }\n\
         circuit: { failures: 1, open: 1s, open_limit: 1m }\n\
         reload: { watch: false }\n\
         trusted_proxies: [10.0.0.0/8, '::1']\n\
         probes: { interval: 5s, rise: 1, fall: 3, path: /readyz }\n\
         resolve: { interval: 1m }\n\
         log: { format: json, level: 'warn,shardlet::proxy=debug', requests: false }\n";

#[test]
fn listeners_replica_and_reads() {
    let config = good(ALL);
    assert_eq!(config.listen.clients.address.to_string(), "[::1]:6000");
    assert!(config.listen.clients.proxy_protocol);
    let tls = config.listen.clients.tls.expect("TLS");
    assert_eq!(tls.cert, Path::new("etc/a.crt"));
    assert_eq!(tls.key, Path::new("/abs/a.key"));
    assert_eq!(
        config.registry.address,
        RegistryAddress::Unix("/run/r.sock".into())
    );
    assert_eq!(config.registry.max_in_flight.get(), 1);
    assert_eq!(
        config.registry.queue,
        Queue {
            limit: 0,
            timeout: Duration::from_secs(60)
        }
    );
    assert_eq!(config.reads.blobs, BlobReads::Any);
    assert_eq!(config.reads.owner_down, OwnerDown::Reject);
    assert_eq!(
        (config.sticky.cookie.as_str(), config.sticky.path.as_str()),
        ("lb", "/ui")
    );
    assert_eq!(
        config.threads,
        Threads::Exactly(NonZeroUsize::MIN.saturating_add(2))
    );
    let files = ["etc/proxy.yaml", "etc/a.crt", "/abs/a.key"].map(PathBuf::from);
    assert_eq!(config.files, files);
}

#[test]
fn times_limits_and_the_rest() {
    let config = good(ALL);
    assert_eq!(config.timeouts.connect, Duration::from_millis(500));
    assert_eq!(config.timeouts.keepalive, Duration::from_secs(86_400));
    assert_eq!(config.timeouts.idle, config.timeouts.commit);
    assert_eq!(config.timeouts.idle, Duration::from_secs(90));
    assert_eq!(config.timeouts.drain, Duration::ZERO);
    assert_eq!(config.timeouts.drain_delay, Duration::from_secs(60));
    assert_eq!(
        config.limits.connections_per_address.map(usize::from),
        Some(7)
    );
    assert_eq!(config.limits.header_bytes, 10_000);
    assert_eq!(config.limits.h2_window, 65_536);
    assert_eq!(config.limits.handshakes.get(), 9);
    assert_eq!(config.limits.transfers.get(), 8);
    let rates = [config.limits.upload_rate, config.limits.download_rate];
    assert_eq!(
        rates.map(|rate| rate.map(u32::from)),
        [Some(1000), Some(2048)]
    );
    assert_eq!(
        config.circuit,
        CircuitLimits {
            failures: NonZeroU32::MIN,
            open: Duration::from_secs(1),
            open_limit: Duration::from_secs(60),
        }
    );
    assert_eq!(config.probes.path, ProbePath::Fixed("/readyz".into()));
    assert!(!config.reload.watch);
    assert_eq!(
        config
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert_eq!(
        (
            config.probes.thresholds.rise.get(),
            config.probes.thresholds.fall.get()
        ),
        (1, 3)
    );
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.log.requests);
}

#[test]
fn a_peer_has_limits_of_its_own() {
    let limits = |text: &str| read(text).expect("a configuration").peer_limits;
    let default = limits(&minimal(""));
    assert_eq!(default.max_in_flight.get(), 2048);
    assert_eq!(default.queue, good("").registry.queue);
    let written = minimal("").replace(
        "insecure: true",
        "insecure: true\n  max_in_flight: 7\n  queue: { limit: 0, timeout: 1m }",
    );
    let written = limits(&written);
    assert_eq!(written.max_in_flight.get(), 7);
    let queue = Queue {
        limit: 0,
        timeout: Duration::from_secs(60),
    };
    assert_eq!(written.queue, queue);
}

/// Defaults that no other test would miss.
#[test]
fn documented_defaults() {
    let config = good("");
    assert_eq!(config.timeouts.drain_delay, Duration::from_secs(5));
    assert_eq!(config.limits.handshakes.get(), 256);
    assert_eq!(config.limits.transfers.get(), 4096);
    let rates = (config.limits.upload_rate, config.limits.download_rate);
    assert_eq!(rates, (None, None));
    let CircuitLimits {
        failures,
        open,
        open_limit,
    } = config.circuit;
    let seconds = (open.as_secs(), open_limit.as_secs());
    assert_eq!((failures.get(), seconds), (5, (2, 30)));
    assert_eq!(config.probes.path, ProbePath::Auto);
    assert!(config.reload.watch);
}
