//! Reads the sections with a default for everything: policies, timeouts, limits, probes, log.

use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::duration::{duration, spelled};
use super::findings::{Findings, Wrong};
use super::schema;
use super::section::{Section, scalar};
use super::settings::{
    Hold, Limits, Log, LogFormat, ProbePath, Probes, Reload, Resolve, Sample, Sticky, Telemetry,
    Threads, Timeouts, Traces,
};
use super::values::{
    boolean, choice, collector, log_filter, network, number, probe_path, sample, size, token,
    url_path,
};
use crate::shard::{BlobReads, CircuitLimits, OwnerDown, Policy, Thresholds};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Reads `threads`.
pub(super) fn threads(root: &Section<'_>, out: &mut Findings<'_>) -> Threads {
    root.or("threads", out, Threads::Auto, |text| {
        if text == "auto" {
            return Ok(Threads::Auto);
        }
        let threads = number(1..=1024)(text).map(|threads| Threads::Exactly(at_least_one(threads)));
        threads.map_err(|_| Wrong::expected("`auto` or a whole number from 1 to 1024"))
    })
}

/// Reads `reads`.
pub(super) fn reads(root: &Section<'_>, out: &mut Findings<'_>) -> Policy {
    let reads = root.section("reads", &schema::READS, out);
    Policy {
        blobs: reads.or(
            "blobs",
            out,
            BlobReads::Owner,
            choice(&[("owner", BlobReads::Owner), ("any", BlobReads::Any)]),
        ),
        owner_down: reads.or(
            "owner_down",
            out,
            OwnerDown::Fallback,
            choice(&[
                ("fallback", OwnerDown::Fallback),
                ("reject", OwnerDown::Reject),
            ]),
        ),
    }
}

/// Reads `sticky`.
pub(super) fn sticky(root: &Section<'_>, out: &mut Findings<'_>) -> Sticky {
    let sticky = root.section("sticky", &schema::STICKY, out);
    Sticky {
        cookie: sticky.or("cookie", out, "SHARDLET".to_owned(), token),
        path: sticky.or("path", out, "/".to_owned(), url_path),
    }
}

/// Reads `writes`.
pub(super) fn hold(root: &Section<'_>, out: &mut Findings<'_>) -> Hold {
    let writes = root.section("writes", &schema::WRITES, out);
    Hold {
        time: writes.or(
            "hold",
            out,
            20 * SECOND,
            duration(Duration::ZERO..=5 * MINUTE),
        ),
        limit: writes.or("limit", out, 4096, number(1..=1_000_000)),
    }
}

/// Reads `timeouts` and `probes`, and holds their numbers together.
pub(super) fn times(root: &Section<'_>, out: &mut Findings<'_>) -> (Timeouts, Probes) {
    let written = root.section("timeouts", &schema::TIMEOUTS, out);
    let timeouts = timeouts(&written, out);
    let probed = root.section("probes", &schema::PROBES, out);
    let probes = probes(&probed, out);
    let (aftermath, commit) = (timeouts.aftermath, timeouts.commit);
    // Silence is made of unanswered questions: one alone says nothing.
    let asked = probed.node("interval").or(probed.node("timeout"));
    if let Some(node) = written.node("aftermath").or(asked)
        && !aftermath.is_zero()
        && probes.interval + probes.timeout >= aftermath
    {
        let message = format!(
            "`timeouts.aftermath` ({}) is not longer than `probes.interval` and `probes.timeout` together ({} and {})",
            spelled(aftermath),
            spelled(probes.interval),
            spelled(probes.timeout)
        );
        let help = "a member that is asked so seldom would be taken for gone after one question; \
                    ask more often, or wait longer";
        out.problem(&node.mark, message, Some(help.into()));
    }
    if let Some(node) = written.node("aftermath")
        && !aftermath.is_zero()
        && aftermath < commit
        && written.node("commit").is_some()
    {
        let message = format!(
            "`aftermath` ({}) is shorter than `commit` ({})",
            spelled(aftermath),
            spelled(commit)
        );
        let help = "a write that storage takes longer over than `aftermath` is not waited for where its member dies; \
                    harmless for blobs, not for manifests";
        out.remark(&node.mark, message, Some(help.into()));
    }
    (timeouts, probes)
}

fn timeouts(timeouts: &Section<'_>, out: &mut Findings<'_>) -> Timeouts {
    let mut of = |key, default: Duration, range: RangeInclusive<Duration>| {
        timeouts.or(key, out, default, duration(range))
    };
    let timeouts_of = Timeouts {
        connect: of("connect", 2 * SECOND, 10 * MILLISECOND..=5 * MINUTE),
        request_header: of(
            "request_header",
            10 * SECOND,
            100 * MILLISECOND..=10 * MINUTE,
        ),
        keepalive: of("keepalive", 75 * SECOND, SECOND..=24 * HOUR),
        idle: of("idle", MINUTE, SECOND..=24 * HOUR),
        commit: of("commit", 300 * SECOND, SECOND..=24 * HOUR),
        aftermath: of("aftermath", 30 * SECOND, Duration::ZERO..=24 * HOUR),
        // Nothing in flight may be waited for: 0s is a fair wish.
        drain: of("drain", 30 * SECOND, Duration::ZERO..=24 * HOUR),
        drain_delay: of("drain_delay", 5 * SECOND, Duration::ZERO..=HOUR),
    };
    let (idle, commit) = (timeouts_of.idle, timeouts_of.commit);
    let written = timeouts.node("commit").or(timeouts.node("idle"));
    if let (true, Some(node)) = (commit < idle, written) {
        let message = format!(
            "`commit` ({}) is shorter than `idle` ({})",
            spelled(commit),
            spelled(idle)
        );
        let help = "a large layer's write is then given up sooner than a silent connection";
        out.remark(&node.mark, message, Some(help.into()));
    }
    timeouts_of
}

/// Reads `limits`.
pub(super) fn limits(root: &Section<'_>, out: &mut Findings<'_>) -> Limits {
    let limits = root.section("limits", &schema::LIMITS, out);
    let connections = |text: &str| number(1..=10_000_000)(text).map(at_least_one);
    // The ranges keep every result far below what the narrower types hold.
    let bytes = |range| {
        move |text: &str| size(range)(text).map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX))
    };
    let mut length = |key, default: u64, range: RangeInclusive<u64>| {
        let default = u32::try_from(default).unwrap_or(u32::MAX);
        limits.or(key, out, default, bytes(range))
    };
    let request_line = length("request_line", 16 * KIB, 512..=MIB) as usize;
    let header_bytes = length("header_bytes", 64 * KIB, KIB..=MIB) as usize;
    // 65,535 is what HTTP/2 begins with, 2^31 − 1 what it allows (RFC 9113 §6.9.2, §6.9.1).
    let h2_window = length("h2_window", MIB, 65_535..=(1 << 31) - 1);
    // Nobody is asked to be faster than 1 GiB/s.
    let mut rate = |key| {
        let rate = limits.value(key, out, bytes(1..=GIB));
        rate.and_then(NonZeroU32::new)
    };
    let (upload_rate, download_rate) = (rate("upload_rate"), rate("download_rate"));
    let limits_of = Limits {
        connections: limits.or("connections", out, at_least_one(10_000), connections),
        connections_per_address: limits.value("connections_per_address", out, connections),
        requests_per_connection: limits.or(
            "requests_per_connection",
            out,
            NonZeroU32::MIN.saturating_add(9_999),
            |text| {
                number(1..=1_000_000_000)(text)
                    .map(|requests: u32| NonZeroU32::MIN.saturating_add(requests - 1))
            },
        ),
        request_line,
        header_count: limits.or("header_count", out, 100, number(8..=240)),
        header_bytes,
        h2_streams: limits.or("h2_streams", out, 128, number(1..=10_000)),
        h2_window,
        handshakes: limits.or("handshakes", out, at_least_one(256), |text| {
            number(1..=1_000_000)(text).map(at_least_one)
        }),
        transfers: limits.or("transfers", out, at_least_one(4096), connections),
        upload_rate,
        download_rate,
    };
    let (all, each) = (limits_of.connections, limits_of.connections_per_address);
    if let (Some(each), Some(node)) = (each, limits.node("connections_per_address"))
        && each > all
    {
        out.remark(
            &node.mark,
            format!("no address can have {each} connections: all together may have {all}"),
            None,
        );
    }
    limits_of
}

/// Reads `circuit`.
pub(super) fn circuit(root: &Section<'_>, out: &mut Findings<'_>) -> CircuitLimits {
    let circuit = root.section("circuit", &schema::CIRCUIT, out);
    let mut of = |key, default| circuit.or(key, out, default, duration(100 * MILLISECOND..=HOUR));
    let (open, open_limit) = (of("open", 2 * SECOND), of("open_limit", 30 * SECOND));
    let written = circuit.node("open").or(circuit.node("open_limit"));
    if let (true, Some(node)) = (open > open_limit, written) {
        let message = format!(
            "`circuit.open` ({}) is longer than `circuit.open_limit` ({})",
            spelled(open),
            spelled(open_limit)
        );
        out.problem(&node.mark, message, None);
    }
    CircuitLimits {
        failures: circuit.or("failures", out, NonZeroU32::MIN.saturating_add(4), |text| {
            number(1..=10_000)(text)
                .map(|failures: u32| NonZeroU32::MIN.saturating_add(failures - 1))
        }),
        open,
        open_limit,
    }
}

fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// Reads `trusted_proxies`.
pub(super) fn trusted_proxies(root: &Section<'_>, out: &mut Findings<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for node in root.items("trusted_proxies", "networks, such as `10.0.0.0/8`", out) {
        let Some(net) = scalar(node, "trusted_proxies", out, network) else {
            continue;
        };
        if net.prefix_len() == 0 {
            let help = "any client can then forge its address and the scheme in `Location`";
            out.remark(
                &node.mark,
                format!("{net} trusts everybody's forwarding headers"),
                Some(help.into()),
            );
        }
        networks.push(net);
    }
    networks
}

fn probes(probes: &Section<'_>, out: &mut Findings<'_>) -> Probes {
    let times =
        |text: &str| number(1..=100_u8)(text).map(|times| NonZeroU8::MIN.saturating_add(times - 1));
    let two = NonZeroU8::MIN.saturating_add(1);
    Probes {
        interval: probes.or("interval", out, SECOND, duration(100 * MILLISECOND..=HOUR)),
        timeout: probes.or(
            "timeout",
            out,
            SECOND,
            duration(10 * MILLISECOND..=5 * MINUTE),
        ),
        thresholds: Thresholds {
            rise: probes.or("rise", out, two, times),
            fall: probes.or("fall", out, two, times),
        },
        path: probes.or("path", out, ProbePath::Auto, probe_path),
    }
}

/// Reads `resolve`.
pub(super) fn resolve(root: &Section<'_>, out: &mut Findings<'_>) -> Resolve {
    let resolve = root.section("resolve", &schema::RESOLVE, out);
    Resolve {
        interval: resolve.or("interval", out, 10 * SECOND, duration(SECOND..=HOUR)),
    }
}

/// Reads `reload`.
pub(super) fn reload(root: &Section<'_>, out: &mut Findings<'_>) -> Reload {
    let reload = root.section("reload", &schema::RELOAD, out);
    Reload {
        watch: reload.or("watch", out, true, boolean),
    }
}

/// Reads `telemetry`.
pub(super) fn telemetry(root: &Section<'_>, out: &mut Findings<'_>) -> Telemetry {
    let telemetry = root.section("telemetry", &schema::TELEMETRY, out);
    let traces = telemetry.section("traces", &schema::TELEMETRY_TRACES, out);
    if !traces.is_written() {
        return Telemetry { traces: None };
    }
    let sample = traces.or("sample", out, Sample::default(), sample);
    let endpoint = traces.required("endpoint", out, collector);
    let traces = endpoint.map(|endpoint| Traces { endpoint, sample });
    Telemetry { traces }
}

/// Reads `log`.
pub(super) fn log(root: &Section<'_>, out: &mut Findings<'_>) -> Log {
    let log = root.section("log", &schema::LOG, out);
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
    ];
    Log {
        format: log.or("format", out, LogFormat::Auto, choice(&formats)),
        level: log.or("level", out, "info".to_owned(), log_filter),
        requests: log.or("requests", out, true, boolean),
    }
}
