//! Ports: the usual ones where they are free, others where they are not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::configuration::MemberAddresses;

/// The first member's peer port, the default of proxy.yaml.
const PEERS: u16 = 5443;
/// The first member's admin port, the default of proxy.yaml.
const ADMIN: u16 = 9900;
/// From one member's ports to the next one's.
const STEP: u16 = 10;

/// The ports of one member that we would like to have; 0 is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) clients: u16,
    pub(super) replica: u16,
    pub(super) peers: u16,
    pub(super) admin: u16,
}

/// Where the listeners of one member will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) clients: SocketAddr,
    pub(super) peers: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Wishes {
    /// Any ports.
    pub(super) const ANY: Self = Self {
        clients: 0,
        replica: 0,
        peers: 0,
        admin: 0,
    };

    /// Those of them that are another's now.
    pub(super) fn missed(self, place: &MemberAddresses) -> Vec<u16> {
        let pairs = [
            (self.clients, place.clients),
            (self.replica, place.replica),
            (self.peers, place.peers),
            (self.admin, place.admin),
        ];
        let missed = pairs
            .into_iter()
            .filter(|(wish, at)| *wish != 0 && *wish != at.port());
        missed.map(|(wish, _)| wish).collect()
    }

    /// Those of the member number `index`, if the first one's clients are to come to `first`.
    pub(super) fn of(index: u16, first: u16) -> Self {
        if first == 0 {
            return Self::ANY;
        }
        // Beyond the last port there is none to wish for.
        let port = |base: u16| {
            index
                .checked_mul(STEP)
                .and_then(|step| base.checked_add(step))
        };
        let clients = port(first).unwrap_or(0);
        Self {
            clients,
            // Beside it, as in proxy.yaml. 0 stays 0.
            replica: if clients == 0 {
                0
            } else {
                clients.checked_add(1).unwrap_or(0)
            },
            peers: port(PEERS).unwrap_or(0),
            admin: port(ADMIN).unwrap_or(0),
        }
    }
}

/// A socket on the wished port, or on any if that one is taken.
pub(super) fn bind(wish: u16) -> io::Result<TcpListener> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind((Ipv4Addr::LOCALHOST, wish)).or_else(|_| any())
}

/// Ports that are free now, all different. The members bind them later; if somebody else was
/// faster, choose again.
pub(super) fn choose(wishes: &[Wishes]) -> io::Result<Vec<Ports>> {
    // Held until the last one is chosen, so that none is chosen twice.
    let mut held = Vec::with_capacity(wishes.len() * 3);
    let mut free = |wish| {
        let socket = bind(wish)?;
        let address = socket.local_addr();
        held.push(socket);
        address
    };
    wishes
        .iter()
        .map(|wish| {
            let Wishes {
                clients,
                replica: _,
                peers,
                admin,
            } = *wish;
            Ok(Ports {
                clients: free(clients)?,
                peers: free(peers)?,
                admin: free(admin)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_usual_ports_are_wished_for() {
        let third = Wishes {
            clients: 5020,
            replica: 5021,
            peers: 5463,
            admin: 9920,
        };
        assert_eq!(Wishes::of(2, 5000), third);
        assert_eq!(Wishes::of(1, 0), Wishes::ANY);
        let last = Wishes {
            clients: 65535,
            replica: 0,
            peers: 5443,
            admin: 9900,
        };
        assert_eq!(Wishes::of(0, 65535), last);
        assert_eq!(
            Wishes::of(1, 65535),
            Wishes {
                peers: 5453,
                admin: 9910,
                ..Wishes::ANY
            }
        );
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let other = bind(port).unwrap().local_addr().unwrap();
        assert_ne!(other.port(), port);
        assert!(other.ip().is_loopback());
    }

    #[test]
    fn no_port_is_chosen_twice() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let same = Wishes {
            clients: port,
            replica: port,
            peers: port,
            admin: port,
        };
        let chosen = choose(&[same, same, Wishes::ANY]).unwrap();
        let ports: HashSet<u16> = chosen
            .iter()
            .flat_map(|ports| [ports.clients.port(), ports.peers.port(), ports.admin.port()])
            .collect();
        assert_eq!(ports.len(), 9);
        assert!(!ports.contains(&port) && !ports.contains(&0));
    }
}
