//! Which registry process a member writes with.

use std::net::SocketAddr;
use std::sync::OnceLock;

use crate::config::RegistryAddress;
use crate::shard::Host;
use crate::shard::ownership::ReplicaId;

/// Where Linux tells one boot of one machine from any other.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The identity of a replica: the address that its name has now, and the machine where the address
/// alone says nothing, as `127.0.0.1:5001` does. Empty while the name has no address.
pub(crate) fn replica_id(address: &RegistryAddress, resolved: Option<SocketAddr>) -> ReplicaId {
    match (address, resolved) {
        (RegistryAddress::Unix(path), _) => {
            ReplicaId::new(format!("unix:{}@{}", path.display(), boot_id()))
        }
        (RegistryAddress::Tcp(_), Some(at)) => at_address(at),
        (RegistryAddress::Tcp(name), None) => match name.host {
            Host::Ip(ip) => at_address(SocketAddr::new(ip, name.port)),
            Host::Name(_) => ReplicaId::default(),
        },
    }
}

fn at_address(at: SocketAddr) -> ReplicaId {
    if at.ip().is_loopback() {
        ReplicaId::new(format!("{at}@{}", boot_id()))
    } else {
        ReplicaId::new(at.to_string())
    }
}

/// Another one after each boot of the machine; empty where that is not told.
pub(crate) fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let read = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        read.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_its_address_and_on_loopback_its_machine_too() {
        let id = |text: &str, resolved: Option<&str>| {
            let address = RegistryAddress::Tcp(text.parse().unwrap());
            let id = replica_id(&address, resolved.map(|at| at.parse().unwrap()));
            id.as_str().to_owned()
        };
        assert_eq!(id("10.0.0.1:5001", None), "10.0.0.1:5001");
        assert_eq!(id("zot:5001", None), "");
        assert_eq!(id("zot:5001", Some("10.0.0.2:5001")), "10.0.0.2:5001");
        assert!(id("127.0.0.1:5001", None).starts_with("127.0.0.1:5001@"));
        assert_eq!(
            id("localhost:5001", Some("127.0.0.1:5001")),
            id("127.0.0.1:5001", None)
        );
        let socket = replica_id(&RegistryAddress::Unix("/run/zot".into()), None);
        assert!(socket.as_str().starts_with("unix:/run/zot@"));
    }
}
