//! A proxy.yaml in the making: what an import found, and how it is written.

use std::fmt::Write;
use std::net::IpAddr;

use crate::config::SourceName;
use crate::shard::text::printable;
use crate::shard::{MemberId, Placement};

/// The port of a sidecar's peer listener, and of its admin listener.
pub(super) const PEER_PORT: u16 = 5443;
pub(super) const ADMIN_PORT: u16 = 9900;
/// The port that a replica moves to.
pub(super) const REPLICA_PORT: u16 = 5001;

/// What differs from the defaults.
#[derive(Debug)]
pub(super) struct Draft {
    /// The local member, where its addresses do not tell.
    pub(super) member: Option<String>,
    pub(super) clients: String,
    pub(super) clients_tls: Option<[String; 2]>,
    pub(super) peers: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) registry: String,
    pub(super) reads_write: bool,
    pub(super) hash_key: String,
    pub(super) placement: Placement,
    /// Authority, certificate and key between members; plain HTTP without.
    pub(super) tls: Option<[String; 3]>,
    pub(super) members: Vec<DraftMember>,
    /// Prefix and id of a member.
    pub(super) pins: Vec<(String, String)>,
    /// Whether reads stay with the owner when it is down.
    pub(super) owner_reads_only: bool,
    /// Further settings, in order: section, key, value as it is written.
    pub(super) settings: Vec<(&'static str, &'static str, String)>,
}

/// One member.
#[derive(Debug, Clone)]
pub(super) struct DraftMember {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) weight: Option<u16>,
}

impl Draft {
    /// The file, with the hash key in it.
    pub(super) fn render(&self, source: &SourceName) -> String {
        self.file(source, &format!("hash_key: {}", quoted(&self.hash_key)))
    }

    /// The file, and a file for the hash key.
    pub(super) fn render_with_key_file(&self, source: &SourceName, name: &str) -> (String, String) {
        let file = self.file(source, &format!("hash_key_file: {name}"));
        (file, format!("{}\n", self.hash_key))
    }

    fn file(&self, source: &SourceName, key: &str) -> String {
        let from = printable(&source.to_string());
        let mut text = format!("# Made from {from} by `shardlet import`.\n");
        // Writing into a string cannot fail.
        if let Some(member) = &self.member {
            let _ = writeln!(text, "member: {member}\n");
        }
        text += &self.listen();
        let _ = writeln!(text, "\nregistry:\n  address: {}", scalar(&self.registry));
        if self.reads_write {
            text += "  reads_write: true\n";
        }
        text += &self.section("registry");
        text += &self.cluster(key);
        if self.owner_reads_only {
            text += "\nreads: { blobs: owner, owner_down: reject }\n";
        }
        let mut written = vec!["registry"];
        for (section, _, _) in &self.settings {
            if !written.contains(section) {
                written.push(section);
                let _ = write!(text, "\n{section}:\n{}", self.section(section));
            }
        }
        text
    }

    fn listen(&self) -> String {
        let mut text = format!(
            "listen:\n  clients:\n    address: {}\n",
            scalar(&self.clients)
        );
        if let Some([cert, key]) = &self.clients_tls {
            let _ = writeln!(
                text,
                "    tls: {{ cert: {}, key: {} }}",
                scalar(cert),
                scalar(key)
            );
        }
        for (name, address) in [("peers", &self.peers), ("admin", &self.admin)] {
            if let Some(address) = address {
                let _ = writeln!(text, "  {name}: {{ address: {} }}", scalar(address));
            }
        }
        text
    }

    fn cluster(&self, key: &str) -> String {
        let mut text = format!("\ncluster:\n  {key}\n  placement: {}\n", self.placement);
        match &self.tls {
            Some([ca, cert, key]) => {
                let (ca, cert, key) = (scalar(ca), scalar(cert), scalar(key));
                let _ = writeln!(text, "  tls: {{ ca: {ca}, cert: {cert}, key: {key} }}");
            }
            None => text += "  insecure: true\n",
        }
        text += "  members:\n";
        for DraftMember {
            id,
            host,
            port,
            weight,
        } in &self.members
        {
            let address = scalar(&format!("{host}:{port}"));
            let weight = weight
                .map(|weight| format!(", weight: {weight}"))
                .unwrap_or_default();
            let _ = writeln!(text, "    - {{ id: {id}, address: {address}{weight} }}");
        }
        if !self.pins.is_empty() {
            text += "  pins:\n";
        }
        for (prefix, member) in &self.pins {
            let _ = writeln!(
                text,
                "    - {{ prefix: {}, member: {member} }}",
                scalar(prefix)
            );
        }
        text
    }

    fn section(&self, section: &str) -> String {
        let of_it = self.settings.iter().filter(|(name, _, _)| *name == section);
        of_it
            .map(|(_, key, value)| format!("  {key}: {value}\n"))
            .collect()
    }
}

/// Hosts to members, in order. An id is the host's first label where that is unique and a name, else a number. Those
/// of one host get ports of their own.
pub(super) fn members(hosts: &[String], names: &[Option<String>]) -> Vec<DraftMember> {
    let proposed: Vec<String> = hosts
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let name = names.get(at).cloned().flatten();
            let label = host.split('.').next().unwrap_or_default();
            name.unwrap_or_else(|| label.to_owned())
                .to_ascii_lowercase()
        })
        .collect();
    let usable = proposed.iter().enumerate().all(|(at, id)| {
        id.parse::<MemberId>().is_ok() && id != "localhost" && !proposed[..at].contains(id)
    });
    let mut members: Vec<DraftMember> = Vec::new();
    for (at, (host, id)) in hosts.iter().zip(proposed).enumerate() {
        let same = members.iter().filter(|member| member.host == *host).count();
        members.push(DraftMember {
            id: if usable {
                id
            } else {
                format!("zot-{}", at + 1)
            },
            host: host.clone(),
            port: PEER_PORT.saturating_add(u16::try_from(same).unwrap_or(u16::MAX)),
            weight: None,
        });
    }
    members
}

/// Whether all run on one machine.
pub(super) fn on_one_host(members: &[DraftMember]) -> bool {
    let loopback = |member: &DraftMember| is_loopback(&member.host);
    members.len() > 1
        && (members.iter().all(|member| member.host == members[0].host)
            || members.iter().all(loopback))
}

/// Whether a host is an address of this machine alone.
pub(super) fn is_loopback(host: &str) -> bool {
    let ip = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    ip.is_ok_and(|ip| ip.is_loopback())
}

/// A value as YAML reads it back: plain where that is certain.
pub(super) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.'));
    if begins && !text.ends_with(':') && text.chars().all(plain) {
        return text.to_owned();
    }
    quoted(text)
}

/// A value in quotes.
fn quoted(text: &str) -> String {
    if text.chars().any(char::is_control) {
        // JSON's escapes are YAML's. Strings always serialise.
        return serde_json::to_string(text).unwrap_or_default();
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "a",
            "127.0.0.1:5001",
            "[::1]:5443",
            "/etc/a b",
            "it's",
            "# no",
            "a: b",
            "a:",
            "~",
            "yes",
            "1_000",
            "loremipsumdolors",
            "'",
            "\"",
            "{x}",
            "a\u{1}\n\tb",
            "- a",
            "ü €",
            "&anchor",
            "!tag",
            "",
            " lead",
            "%",
        ] {
            for written in [scalar(text), quoted(text)] {
                let node = yaml::parse(&format!("key: {written}\n")).unwrap();
                let value = node.get("key").unwrap();
                let yaml::Kind::Scalar(read) = &value.kind else {
                    panic!("{text:?} became {:?}", value.kind);
                };
                assert_eq!(read, text);
            }
        }
    }

    #[test]
    fn ids_are_names_or_numbers() {
        let ids = |hosts: &[&str]| -> Vec<String> {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            members(&hosts, &[])
                .into_iter()
                .map(|member| format!("{}={}:{}", member.id, member.host, member.port))
                .collect()
        };
        assert_eq!(
            ids(&["Zot-a.example", "zot-b.example"]),
            ["zot-a=Zot-a.example:5443", "zot-b=zot-b.example:5443"]
        );
        assert_eq!(
            ids(&["zot.a", "zot.b"]),
            ["zot-1=zot.a:5443", "zot-2=zot.b:5443"]
        );
        assert_eq!(
            ids(&["10.0.0.1", "10.0.0.2"]),
            ["zot-1=10.0.0.1:5443", "zot-2=10.0.0.2:5443"]
        );
        assert_eq!(
            ids(&["h", "h", "i"]),
            ["zot-1=h:5443", "zot-2=h:5444", "zot-3=i:5443"]
        );
    }
}
