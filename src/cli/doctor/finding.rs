//! What `doctor` can find: one table, which docs/doctor.md shows as it is.

use serde::Serialize;

/// One fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// A member, an address, or `FILE:LINE`.
    pub(super) place: String,
    /// What was seen there.
    pub(super) what: String,
}

/// Something that could not be looked at, and why.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct NotChecked {
    pub(super) what: String,
    pub(super) why: String,
}

/// What a kind of finding means.
#[derive(Debug)]
pub(super) struct Meaning {
    /// Stable: scripts go by it.
    pub(super) id: &'static str,
    pub(super) when: &'static str,
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

macro_rules! kinds {
    ($($kind:ident $id:literal { when: $when:literal, why: $why:literal, remedy: $remedy:literal })*) => {
        /// A kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Kind { $($kind),* }

        impl Kind {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$kind),*];

            pub(super) fn meaning(self) -> &'static Meaning {
                match self {
                    $(Self::$kind => &Meaning { id: $id, when: $when, why: $why, remedy: $remedy }),*
                }
            }
        }
    };
}

kinds! {
    SidecarUnreachable "sidecar-unreachable" {
        when: "this member's admin listener does not answer",
        why: "the sidecar does not run, or runs with another configuration than this one",
        remedy: "start it and read its log; name its admin listener by `--admin` if it is another than the configuration's"
    }
    ConfigurationNotLoaded "configuration-not-loaded" {
        when: "the file is not what the sidecar runs with: its view differs, or the last reload was refused",
        why: "what was changed is not in force, and comes at the next restart, or hinders it",
        remedy: "`shardlet check`, then `shardlet reload`"
    }
    ReplicaDown "replica-down" {
        when: "the replica beside this member, or beside a peer, does not answer",
        why: "repositories of that member cannot be pushed to; they are pulled only where another replica may stand in",
        remedy: "start the replica and read its log; `registry.address` and `probes.path` must be its own"
    }
    MemberUnreachable "member-unreachable" {
        when: "a peer does not answer at its address, or another answers there",
        why: "repositories that it owns cannot be pushed to through this member",
        remedy: "by the reason: start it, open its peer port between members, mend its name or its certificate (troubleshooting.md)"
    }
    HashKeyDiffers "hash-key-differs" {
        when: "a peer has another hash key",
        why: "the two give nearly every repository to different owners: pushes to those wait, then are refused",
        remedy: "give all members the same `cluster.hash_key_file`"
    }
    ViewDiffers "view-differs" {
        when: "a peer has other members, weights, pins or placement",
        why: "pushes to repositories on whose owner the two disagree wait, then are refused",
        remedy: "give all members the same `cluster` section, in the same order, and reload"
    }
    ModesDiffer "modes-differ" {
        when: "one member works by a list in its file, and another one by leases",
        why: "while both kinds are there nobody writes",
        remedy: "give all members the same kind, and start them anew one by one (safety.md)"
    }
    LeaseStore "lease-store" {
        when: "the store of leases does not do what it is asked, or has what cannot be read",
        why: "a lease that cannot be renewed ends: writes to its member wait, then are refused; reads go on, and nobody is taken for dead",
        remedy: "by the reason: the way to the store, its credentials and permissions, `cluster.coordination.store`"
    }
    LeaseLost "lease-lost" {
        when: "a member is not in the view, its lease is over or was taken, or it cannot go on",
        why: "it writes nothing; what it owned waits until others own it, or until it is back",
        remedy: "`shardlet status` there says why: start it if it does not run, do what a fault says and start it anew"
    }
    ViewUnsettled "view-unsettled" {
        when: "a change of the members waits for one of them",
        why: "writes to repositories that move wait for its acknowledgement, or until its lease was taken",
        remedy: "wait for a minute: writes under way are finished or cut after `handoff`, and who is dead is taken out; then look at the member that is named"
    }
    ClockSkew "clock-skew" {
        when: "a peer's clock is off by more than 5 s against this machine's",
        why: "certificates are good at one member and not yet, or no more, at another; logs and traces cannot be put side by side",
        remedy: "run a time service (chrony, systemd-timesyncd) on all machines"
    }
    CertificateExpires "certificate-expires" {
        when: "a certificate or the authority has expired, or will within 14 days",
        why: "from then on peers and clients turn this member away",
        remedy: "issue it anew in place; it is taken up without a restart"
    }
    ReplicaReachable "replica-reachable" {
        when: "the replica listens on, or answers at, another address than loopback",
        why: "whoever reaches it writes past its sidecar, as a second writer",
        remedy: "bind it to 127.0.0.1 (zot: `http.address`, distribution: `http.addr`), or keep its port closed to all others"
    }
    StorageDiffers "storage-differs" {
        when: "what one replica has stored, another does not have; or their configurations name different storage",
        why: "a repository that moves to another owner, and a read that another replica stands in for, are not found",
        remedy: "give all replicas the same bucket or shared folder, with the same root inside it"
    }
    DistributionSecret "distribution-secret" {
        when: "distribution's `http.secret` is not set, or differs between replicas",
        why: "an upload that began at one replica is refused by the one that goes on with it after an owner has changed",
        remedy: "set the same `http.secret` (or REGISTRY_HTTP_SECRET, which cannot be seen here) on all replicas"
    }
    DistributionCache "distribution-cache" {
        when: "distribution caches blob descriptors in memory",
        why: "the cache goes stale when another replica writes or deletes",
        remedy: "take `storage.cache` out, or use Redis"
    }
    ZotGc "zot-gc" {
        when: "zot collects garbage: `gc` is not false",
        why: "collecting rewrites the index of every repository on every replica: a second writer",
        remedy: "`\"gc\": false`, in sub-paths too; collect on one replica while nobody pushes"
    }
    ZotDedupe "zot-dedupe" {
        when: "zot deduplicates: `dedupe` is not false",
        why: "it links blobs across repositories, which have different owners, and HEAD of a blob writes",
        remedy: "`\"dedupe\": false`, in sub-paths too"
    }
    ZotCache "zot-cache" {
        when: "zot's storage is remote and its cache is not: no `cacheDriver`, and `remoteCache` is not false",
        why: "each replica keeps a metadata database of its own, which does not know what others wrote",
        remedy: "`cacheDriver` with DynamoDB or Redis, the same on all replicas; without search and user interface `\"remoteCache\": false` will do"
    }
    ZotTimeouts "zot-timeouts" {
        when: "zot's `readTimeout` or `writeTimeout` is not set (60 s), or shorter than `timeouts.commit`",
        why: "they limit whole requests: a large layer over a slow link is cut",
        remedy: "set both, `\"0s\"` or long, such as `\"1h\"`; zots before v2.1.17 have neither the keys nor the limits"
    }
    ZotSessions "zot-sessions" {
        when: "browsers log in at zot, and it has neither `sessionKeysFile` nor a `sessionDriver`",
        why: "another replica takes the session for a forged one: 401, and the browser is logged out everywhere",
        remedy: "one `http.auth.sessionKeysFile` for all replicas, or one Redis as `sessionDriver`"
    }
    ZotScan "zot-scan" {
        when: "zot is to scan for vulnerabilities, on remote storage",
        why: "zot scans local folders only, and refuses to start",
        remedy: "take `extensions.search.cve` out"
    }
    ZotCluster "zot-cluster" {
        when: "zot has a `cluster` block, and no periodic sync that needs it",
        why: "it forwards what it should serve: reads that leave the owner fail (500, `malformed HTTP response`)",
        remedy: "take it out"
    }
    ZotClusterLoop "zot-cluster-loop" {
        when: "zot's `cluster` block lists client listeners of sidecars",
        why: "zot sends a request to a sidecar, and that to the zot, without end",
        remedy: "take it out, or put the one of `shardlet export zot-cluster` in its place"
    }
    ZotClusterUnsafe "zot-cluster-unsafe" {
        when: "zot syncs by the clock with a `cluster` block that does not give it its member's repositories",
        why: "what it fetches is written beside the owner, and pushes are lost",
        remedy: "mend what is named, then use the block that `shardlet export zot-cluster --registry-config FILE` prints"
    }
    SyncOnDemand "sync-on-demand" {
        when: "zot syncs on demand, and `reads.owner_down` is `fallback`",
        why: "a replica that stands in for the owner fetches and stores: a second writer",
        remedy: "`reads: { owner_down: reject }` and `registry: { reads_write: true }`; then the owner alone fetches"
    }
    SyncSeveral "sync-periodic-several" {
        when: "several zots sync by the clock, without a `cluster` block, names that are not pinned to their members",
        why: "each of them writes what others own, and pushes are lost",
        remedy: "sync on one zot with every synced prefix pinned to its member; or on all with the blocks of `shardlet export zot-cluster`"
    }
    SyncUnpinned "sync-periodic-unpinned" {
        when: "a zot syncs by the clock, without a `cluster` block, names that are not all pinned to its member",
        why: "it writes what others own, and pushes are lost",
        remedy: "pin every synced local prefix to the member whose zot syncs, and sync on no other"
    }
}
