//! What a reload cannot change.

use std::path::PathBuf;

use crate::config::{ClusterTls, Config, Listen, Log, Telemetry, Threads};
use crate::shard::MemberId;

/// What this member was started with, and keeps.
pub(super) struct Fixed {
    member: MemberId,
    listen: Listen,
    threads: Threads,
    mutual: bool,
    log: Log,
    telemetry: Telemetry,
    state: Option<PathBuf>,
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
        let changed = changes.iter().filter(|(_, changed)| *changed);
        Ok(changed.map(|(key, _)| (*key).to_owned()).collect())
    }
}

fn is_mutual(config: &Config) -> bool {
    match config.cluster {
        ClusterTls::Mutual { .. } => true,
        ClusterTls::Insecure => false,
    }
}
