//! A member that can be looked at without one.

use crate::operate::activity::*;
use crate::operate::status::*;
use crate::operate::*;
use async_trait::async_trait;
use std::sync::Mutex;

/// A server that shows always the same, and remembers what it was told to do.
#[derive(Default)]
pub(crate) struct Fixed {
    pub(crate) unready: bool,
    /// Whether its configuration is not to be taken.
    pub(crate) broken: bool,
    /// Whether its members hold leases.
    pub(crate) leased: bool,
    pub(crate) done: Mutex<Vec<&'static str>>,
}

impl Fixed {
    pub(crate) fn done(&self) -> Vec<&'static str> {
        self.done.lock().unwrap().clone()
    }
}

#[async_trait]
impl Operated for Fixed {
    async fn reload(&self) -> Reloaded {
        self.done.lock().unwrap().push("reload");
        if self.broken {
            let problem = "proxy.yaml:6:3: unknown key `pears` in `listen`\n6 |   pears: {}\n";
            return Reloaded {
                problems: vec![problem.into()],
                ..Reloaded::default()
            };
        }
        Reloaded {
            taken: true,
            needs_restart: vec!["listen.clients.address".into()],
            ..Reloaded::default()
        }
    }

    fn drain(&self) {
        self.done.lock().unwrap().push("drain");
    }

    fn leave(&self) -> bool {
        self.done.lock().unwrap().push("leave");
        self.leased
    }
}

impl Observed for Fixed {
    fn status(&self) -> Status {
        sample()
    }

    fn activity(&self) -> Activity {
        activity()
    }

    fn owner(&self, repository: &str) -> Result<OwnerAnswer, NameError> {
        crate::shard::Repository::parse(repository)?;
        Ok(OwnerAnswer {
            repository: repository.into(),
            owner: "zot-2".into(),
            address: "zot-2:5443".into(),
            local: false,
            pinned: false,
            pin: None,
            health: HealthStatus::Up,
            readers: vec!["zot-2".into(), "zot-1".into()],
            reads_here: "is forwarded to zot-2".into(),
            writes_here: "is forwarded to zot-2".into(),
            view: "000102030405060708090a0b0c0d0e0f".into(),
        })
    }

    fn readiness(&self) -> Vec<Check> {
        let detail = "no answer from the replica for 3 probes <timeout>".to_owned();
        vec![
            Check {
                name: "listeners",
                ok: true,
                detail: String::new(),
            },
            Check {
                name: "replica",
                ok: !self.unready,
                detail,
            },
        ]
    }

    fn metrics(&self) -> String {
        "shardlet_draining 0\n".into()
    }
}

/// A cluster in which most things can be seen: one peer is down, one has another view and drains;
/// the last reload was refused.
pub(crate) fn sample() -> Status {
    Status {
        member: "zot-1".into(),
        version: "0.1.0".into(),
        now_unix: 1_800_000_000,
        uptime_seconds: 93_784,
        ready: true,
        draining: false,
        listeners: vec![
            listener("clients", "0.0.0.0:5000", "tls", 17),
            listener("peers", "0.0.0.0:5443", "mtls", 4),
            listener("admin", "127.0.0.1:9900", "none", 1),
        ],
        commands: CommandStatus {
            socket: Some("/run/shardlet/127.0.0.1:9900.sock".into()),
            problem: None,
        },
        view: ViewStatus {
            fingerprint: "000102030405060708090a0b0c0d0e0f".into(),
            placement: "rendezvous".into(),
            members: vec![
                member(1, HealthStatus::Up, None),
                member(2, HealthStatus::Up, Some(false)),
                member(3, HealthStatus::Down, None),
            ],
            pins: vec![PinStatus {
                prefix: "infra/base".into(),
                member: "zot-3".into(),
            }],
        },
        replica: ReplicaStatus {
            address: "127.0.0.1:5001".into(),
            health: HealthStatus::Up,
            circuit: CircuitStatus::HalfOpen,
            in_flight: 12,
            reads_in_flight: 9,
            writes_in_flight: 3,
            in_flight_limit: 256,
            queued: 0,
            queue_limit: 1024,
        },
        leases: None,
        writes: WritesStatus {
            ready: true,
            held: 3,
            held_limit: 4096,
            hold_seconds: 20.0,
        },
        requests: RequestTotals {
            in_flight: 14,
            transfers: 9,
            transfers_limit: 4096,
            ended: 81_264,
            rejected: 31,
            fallbacks: 7,
            retries: 2,
        },
        owner_down: "fallback".into(),
        configuration: refused(),
        certificates: vec![CertificateStatus {
            name: "member".into(),
            expires_unix: 1_900_000_000,
        }],
        warnings: vec!["zot-2 has another view: its configuration differs".into()],
    }
}

fn member(n: usize, health: HealthStatus, same_view: Option<bool>) -> MemberStatus {
    MemberStatus {
        id: format!("zot-{n}"),
        address: format!("zot-{n}.registry:5443"),
        weight: if n == 3 { 2 } else { 1 },
        share: if n == 3 { 0.5 } else { 0.25 },
        local: n == 1,
        circuit: if n == 3 {
            CircuitStatus::Open
        } else {
            CircuitStatus::Closed
        },
        draining: n == 2,
        health,
        same_view,
        resolved: if n == 1 {
            vec![]
        } else {
            vec![format!("10.0.0.{n}:5443")]
        },
        since: Some("2026-11-22T05:20:00.000Z".into()),
        since_seconds: Some(610),
        silent_seconds: (n == 3).then_some(612),
        why: (n == 3).then(|| "connection <refused>".into()),
        in_flight: n as u64,
        queued: u64::from(n == 3),
        lease: None,
        traffic: TrafficStatus {
            requests_per_second: 12.5 * n as f64,
            errors_per_second: if n == 3 { 0.5 } else { 0.0 },
            bytes_per_second: 3_500_000.0,
            p50_ms: (n != 3).then_some(18.0),
            p99_ms: (n != 3).then_some(1_250.0),
        },
    }
}

/// The same cluster when nothing is wrong.
pub(crate) fn healthy() -> Status {
    let mut status = sample();
    for member in &mut status.view.members {
        (member.health, member.circuit) = (HealthStatus::Up, CircuitStatus::Closed);
        (member.draining, member.same_view) = (false, Some(true));
        (member.why, member.silent_seconds) = (None, None);
        member.queued = 0;
        member.traffic.errors_per_second = 0.0;
    }
    status.replica.circuit = CircuitStatus::Closed;
    status.writes.held = 0;
    status.configuration.last_reload = None;
    status.configuration.needs_restart.clear();
    status.warnings.clear();
    status
}

/// The same cluster by leases: one is down and watched, one leaves, one wishes to be in.
pub(crate) fn leased() -> Status {
    let mut status = sample();
    let lease = |incarnation, acked| LeaseStatus {
        state: "live".into(),
        incarnation,
        acked,
        left_ms: Some(8_400),
        told_by: "member".into(),
        age_ms: 300,
        ..LeaseStatus::default()
    };
    let [one, two, three] = &mut status.view.members[..] else {
        return status;
    };
    one.lease = Some(lease(1, 12));
    two.lease = Some(LeaseStatus {
        wish: Some("leave".into()),
        ..lease(4, 11)
    });
    three.lease = Some(LeaseStatus {
        left_ms: None,
        falls_in_ms: Some(31_000),
        told_by: "store".into(),
        ..lease(2, 11)
    });
    let change = |epoch, at: &str| ViewChangeStatus {
        epoch,
        at: at.into(),
        members: 3,
        ..ViewChangeStatus::default()
    };
    status.leases = Some(LeasesStatus {
        store: "s3://registry/<prod>".into(),
        level: "L0".into(),
        member: true,
        lasts: true,
        epoch: 12,
        unsettled: 1,
        awaited: vec!["zot-2".into(), "zot-3".into()],
        chain: vec![EarlierViewStatus {
            epoch: 11,
            members: 4,
        }],
        wishes: vec![WishStatus {
            member: "zot-5".into(),
            wish: "join".into(),
        }],
        history: vec![
            ViewChangeStatus {
                fenced: vec!["zot-4".into()],
                ..change(12, "2026-11-22T05:20:00.000Z")
            },
            ViewChangeStatus {
                members: 4,
                first: true,
                ..change(11, "2026-11-21T05:20:00.000Z")
            },
        ],
        ..LeasesStatus::default()
    });
    status
}

/// Some of everything.
pub(crate) fn activity() -> Activity {
    let member = |n: u64| MemberActivity {
        id: format!("zot-{n}"),
        slot_seconds: 5,
        requests: (0..60).map(|slot| (slot * n) % 40).collect(),
        errors: (0..60).map(|slot| u64::from(n == 3 && slot > 50)).collect(),
    };
    Activity {
        members: (1..=3).map(member).collect(),
        repositories: vec![RepositoryActivity {
            repository: "app/web".into(),
            owner: "zot-2".into(),
            requests_per_second: 12.25,
            errors_per_second: 0.5,
            bytes_per_second: 3_500_000.0,
        }],
        errors: vec![ErrorEntry {
            at: "2026-11-22T05:31:07.123Z".into(),
            request_id: "cbb291f338c4f06771e9ca4851bdeba0".into(),
            operation: "upload_start".into(),
            repository: Some("app/<web>".into()),
            member: "zot-3".into(),
            status: 503,
            reason: "owner_down".into(),
        }],
        changes: vec![ChangeEntry {
            at: "2026-11-22T05:20:00.000Z".into(),
            kind: "member".into(),
            text: "zot-3 is down: connection <refused>".into(),
        }],
    }
}

fn listener(name: &str, address: &str, security: &str, connections: u64) -> ListenerStatus {
    ListenerStatus {
        name: name.into(),
        address: address.into(),
        security: security.into(),
        connections,
    }
}

fn refused() -> ConfigurationStatus {
    ConfigurationStatus {
        source: "/etc/shardlet/proxy.yaml".into(),
        loaded_at: "2026-11-22T04:14:21.676Z".into(),
        last_reload: Some(ReloadStatus {
            at: "2026-11-22T05:30:00.000Z".into(),
            taken: false,
            problems: vec![
                "proxy.yaml:6:3: unknown key `pears` in `listen`\n\
                 6 |   pears: { address: <0.0.0.0:5443> }\n  |   ^^^^^\n  = help: did you mean `peers`?\n"
                    .into(),
                "proxy.yaml: missing key `cluster.members`".into(),
            ],
        }),
        needs_restart: vec!["listen.clients.address".into()],
    }
}
