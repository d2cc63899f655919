//! What a reload cannot change.

use std::path::PathBuf;

use crate::config::{ClusterTls, Config, Coordination, Listen, Log, Telemetry, Threads};
use crate::shard::MemberId;
use crate::shard::leases::Timing;

/// What this member was started with, and keeps.
pub(super) struct Fixed {
    member: MemberId,
    listen: Listen,
    threads: Threads,
    mutual: bool,
    log: Log,
    telemetry: Telemetry,
    state: Option<PathBuf>,
    coordination: Option<Coordination>,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let members = config.view.members();
        Self {
            member: members.get(members.local()).id.clone(),
            listen: config.listen.clone(),
            threads: config.threads,
            mutual: is_mutual(config),
            log: config.log.clone(),
            telemetry: config.telemetry.clone(),
            state: config.state.clone(),
            coordination: config.coordination.clone(),
        }
    }

    /// The keys whose change waits for a restart, while the rest of the configuration is taken.
    ///
    /// # Errors
    /// Changes that leave no sense in taking the rest.
    pub(super) fn compare(&self, config: &Config) -> Result<Vec<String>, Vec<String>> {
        let Listen {
            clients,
            peers,
            admin,
        } = &config.listen;
        let members = config.view.members();
        let member = &members.get(members.local()).id;
        let mut refused = Vec::new();
        if *member != self.member {
            let old = &self.member;
            refused.push(format!(
                "member: this is {old}; becoming {member} takes a restart"
            ));
        }
        if is_mutual(config) != self.mutual {
            refused
                .push("cluster.tls: TLS between members is turned on or off by a restart".into());
        }
        if clients.tls.is_some() != self.listen.clients.tls.is_some() {
            refused.push(
                "listen.clients.tls: TLS for clients is turned on or off by a restart".into(),
            );
        }
        if config.coordination.is_some() != self.coordination.is_some() {
            // Without leases, whose file lists nobody is alone, and would write everything.
            refused.push(
                "cluster.coordination: members begin or cease to work by leases by a restart"
                    .into(),
            );
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let changes = [
            (
                "listen.clients.address",
                clients.address != self.listen.clients.address,
            ),
            (
                "listen.peers.address",
                peers.address != self.listen.peers.address,
            ),
            (
                "listen.admin.address",
                admin.address != self.listen.admin.address,
            ),
            (
                "listen.admin.socket",
                admin.socket != self.listen.admin.socket,
            ),
            ("threads", config.threads != self.threads),
            ("log", config.log != self.log),
            ("telemetry", config.telemetry != self.telemetry),
            ("cluster.state", config.state != self.state),
        ];
        let agreed = self.coordination.as_ref().zip(config.coordination.as_ref());
        let agreed = agreed.map(|(before, now)| agreed_changes(before, now));
        let changes = changes.into_iter().chain(agreed.into_iter().flatten());
        let changed = changes.filter(|(_, changed)| *changed);
        Ok(changed.map(|(key, _)| key.to_owned()).collect())
    }
}

/// Others count on what a lease says, for as long as it is held.
fn agreed_changes(before: &Coordination, now: &Coordination) -> [(&'static str, bool); 7] {
    let Coordination {
        store,
        timing,
        replica_kill,
        replica_ends_with_sidecar,
        address,
        // It is told to the view.
        weight: _,
        policy,
        listed,
    } = now;
    let with_grace = |grace| Timing { grace, ..*timing };
    let timing_changed = with_grace(before.timing.grace) != before.timing;
    let coordination = *store != before.store
        || timing_changed
        || *replica_kill != before.replica_kill
        || *replica_ends_with_sidecar != before.replica_ends_with_sidecar;
    let grace = timing.grace != before.timing.grace;
    // Members with another key would not understand the rest of it.
    let other_key = policy.key != before.policy.key;
    [
        ("cluster.coordination", coordination),
        ("timeouts.aftermath", grace),
        ("cluster.address", *address != before.address),
        ("cluster.hash_key", other_key),
        (
            "cluster.placement",
            other_key && policy.placement != before.policy.placement,
        ),
        (
            "cluster.pins",
            other_key && policy.pins != before.policy.pins,
        ),
        ("cluster.members", *listed != before.listed),
    ]
}

fn is_mutual(config: &Config) -> bool {
    match config.cluster {
        ClusterTls::Mutual { .. } => true,
        ClusterTls::Insecure => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Files, SourceName, load};
    use crate::shard::leases::record::Policy;

    struct NoFiles;

    impl Files for NoFiles {
        fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn config(cluster: &str) -> Config {
        let text = format!(
            "member: a\ncluster:\n  hash_key: loremipsumdolors\n  insecure: true\n{cluster}"
        );
        let env = Environment {
            member_flag: None,
            member_variable: None,
            address: None,
            hash_key: None,
            files: &NoFiles,
            surroundings: None,
            elsewhere: false,
        };
        load(&text, &SourceName::Stdin, &env).unwrap()
    }

    const LEASED: &str = "  address: a:1\n  coordination:\n    store: { kubernetes: }\n";

    #[test]
    fn members_neither_begin_nor_cease_to_work_by_leases_in_between() {
        let listed = "  members: [{ id: a, address: 'a:1' }, { id: b, address: 'b:1' }]\n";
        let both = format!("{listed}  coordination:\n    store: {{ kubernetes: }}\n");
        for (before, now) in [
            (listed, LEASED),
            (LEASED, listed),
            (listed, &both),
            (&both, listed),
        ] {
            let refused = Fixed::of(&config(before))
                .compare(&config(now))
                .unwrap_err();
            assert_eq!(
                refused,
                ["cluster.coordination: members begin or cease to work by leases by a restart"]
            );
        }
    }

    #[test]
    fn what_others_count_on_waits_for_a_restart() {
        let fixed = Fixed::of(&config(LEASED));
        let changed = |now: &str| fixed.compare(&config(now)).unwrap();
        let none: [&str; 0] = [];
        assert_eq!(changed(LEASED), none);
        let with = |from: &str, to: &str| changed(&LEASED.replace(from, to));
        // These are for the view to take in, unless the key is another one.
        let policy = "address: a:1\n  placement: zot\n  pins: [{ prefix: a, member: c }]";
        assert_eq!(with("address: a:1", policy), none);
        assert_eq!(with("address: a:1", "address: a:1\n  weight: 2"), none);
        let other_key = config(&LEASED.replace("address: a:1", policy));
        let other_key = fixed.compare(&Config {
            coordination: other_key.coordination.map(|leases| Coordination {
                policy: Policy {
                    key: "another".into(),
                    ..leases.policy
                },
                ..leases
            }),
            ..config(LEASED)
        });
        assert_eq!(
            other_key.unwrap(),
            ["cluster.hash_key", "cluster.placement", "cluster.pins"]
        );
        let lease = "kubernetes: }\n    lease: 20s\n";
        assert_eq!(with("kubernetes: }\n", lease), ["cluster.coordination"]);
        let fleet = "kubernetes: { fleet: b } }\n";
        assert_eq!(with("kubernetes: }\n", fleet), ["cluster.coordination"]);
        assert_eq!(with("address: a:1", "address: a:2"), ["cluster.address"]);
        let members = "members: [{ id: a, address: 'a:1' }, { id: b, address: 'b:1' }]";
        assert_eq!(with("address: a:1", members), ["cluster.members"]);
        let sure = "kubernetes: }\n    replica_kill: [a]\n    replica_ends_with_sidecar: true\n";
        assert_eq!(with("kubernetes: }\n", sure), ["cluster.coordination"]);
        let waited = format!("{LEASED}timeouts: {{ aftermath: 31s }}\n");
        assert_eq!(changed(&waited), ["timeouts.aftermath"]);
    }
}
