//! The members' proxy.yaml, as text: the demo is an example too, and `--keep` leaves it behind.

use std::fmt::Write;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use super::ports::Ports;
use crate::config::{self, Config, Environment, Files, Problems, SourceName};

/// The certificate of the authority, in the folder of all members.
pub(super) const AUTHORITY: &str = "ca.crt";
/// The hash key's file, in the folder of all members.
pub(super) const HASH_KEY_FILE: &str = "hash.key";
/// Always the same, so that the demo tells the same story every time. A real cluster has a random
/// one of its own.
pub(super) const HASH_KEY: &str = "shardlet-demo-37";
/// A member's configuration, in its own folder.
pub(super) const FILE: &str = "proxy.yaml";
/// A member's certificate, in its own folder.
pub(super) const CERTIFICATE: &str = "member.crt";
/// A member's private key, in its own folder.
pub(super) const KEY: &str = "member.key";

/// One member, as far as its configuration and the printed lines are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberAddresses {
    pub(super) id: String,
    pub(super) clients: SocketAddr,
    pub(super) replica: SocketAddr,
    pub(super) peers: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl MemberAddresses {
    pub(super) fn new(id: String, ports: Ports, replica: SocketAddr) -> Self {
        let Ports {
            clients,
            peers,
            admin,
        } = ports;
        Self {
            id,
            clients,
            replica,
            peers,
            admin,
        }
    }
}

/// The configuration of one of the members.
pub(super) fn render(member: &MemberAddresses, all: &[MemberAddresses]) -> String {
    let MemberAddresses {
        id,
        clients,
        replica,
        peers,
        admin,
    } = member;
    let mut members = String::new();
    for MemberAddresses { id, peers, .. } in all {
        let _ = writeln!(members, "    - {{ id: {id}, address: {peers} }}");
    }
    format!(
        "\
# {id} of `shardlet demo`. Its two peers have the same file with their own name, addresses and
# certificate; everything under `cluster` but the certificate is the same on every member.
member: {id}

listen:
  clients: {{ address: {clients} }}
  peers: {{ address: {peers} }}
  admin: {{ address: {admin}, socket: admin.sock }}

registry:
  address: {replica}   # the replica beside this member

cluster:
  hash_key_file: ../{HASH_KEY_FILE}   # a cluster of your own needs a random one
  placement: rendezvous
  tls: {{ ca: ../{AUTHORITY}, cert: {CERTIFICATE}, key: {KEY} }}
  members:
{members}
probes: {{ interval: 500ms }}   # the demo is quick to notice
# And quick to begin and to end: its registries die with it, so nobody has to wait for their writes.
timeouts: {{ drain_delay: 0s, drain: 1s, aftermath: 0s }}
"
    )
}

/// Reads a rendered configuration, which may have been edited since, as `shardlet run` would. The
/// environment variables of `run` do not count: they may be those of another cluster.
pub(super) fn load(path: &Path) -> Result<Config, Problems> {
    let source = SourceName::File(path.to_owned());
    let bytes = Disk.read(path, config::MAX_FILE_BYTES);
    let bytes = bytes.map_err(|error| Problems::unreadable(&source, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| Problems::no_text(&source, &error))?;
    let env = Environment {
        member_flag: None,
        member_variable: None,
        address: None,
        hash_key: None,
        files: &Disk,
        surroundings: None,
        elsewhere: false,
    };
    config::load(&text, &source, &env)
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        std::fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::folder::Folder;
    use crate::demo::text::tests::places;
    use crate::demo::{OTHER_REPOSITORIES, REPOSITORY};
    use crate::shard::Repository;

    fn loaded() -> Config {
        let folder = Folder::open(None).unwrap();
        folder.write_secret(HASH_KEY_FILE, HASH_KEY).unwrap();
        let places = places();
        let text = render(&places[1], &places);
        let path = folder.write(&format!("member-2/{FILE}"), &text).unwrap();
        load(&path).unwrap()
    }

    #[test]
    fn the_rendered_text_is_pinned() {
        let places = places();
        insta::assert_snapshot!(render(&places[1], &places));
    }

    #[test]
    fn the_rendered_text_is_a_configuration() {
        let config = loaded();
        let members = config.view.members();
        assert_eq!(members.len(), 3);
        assert_eq!(members.get(members.local()).id.to_string(), "member-2");
        assert_eq!(config.listen.clients.address, places()[1].clients);
    }

    #[test]
    fn the_pushed_repository_is_a_hop_away_and_the_others_have_other_owners() {
        let view = loaded().view;
        let owner = |name: &str| {
            let owner = view.owner(&Repository::parse(name).unwrap());
            view.members().get(owner).id.to_string()
        };
        assert_eq!(owner(REPOSITORY), "member-3");
        assert_eq!(
            OTHER_REPOSITORIES.map(owner),
            ["member-1", "member-2", "member-3"]
        );
    }
}
