//! Bodies on their way between clients and upstreams: answers from their head on, writes from their
//! beginning. A transfer takes no place at the replica, but a socket and buffers here for as long as
//! the client likes. So there are only so many, and a share of them for each client.
//!
//! A client may have more as long as it has fewer than a multiple of what is still free (the dynamic
//! thresholds of Choudhury and Hahne). Nobody counts clients, there is room while few ask for it, and as
//! long as greedy addresses are fewer than a quarter of the limit, something is free for one that has
//! nothing yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An address may have so many times what is free: four fifths of all if it is alone, since many
/// people may stand behind it.
const ADDRESS_TIMES: usize = 4;
/// Of a connection it is a part: one fifth of all if it is alone.
const CONNECTION_PART: usize = 4;
/// As long as no more than one of so many is taken, nobody can have too much.
const ROOMY_PART: usize = CONNECTION_PART + 1;

/// The part of an IPv6 address that names a customer; the rest is the customer's to make up.
const IPV6_NETWORK: u128 = !0 << 64;

/// The transfers of all clients of this member.
#[derive(Debug)]
pub(crate) struct Transfers {
    limit: AtomicUsize,
    /// Written under the lock.
    total: AtomicUsize,
    shares: Mutex<HashMap<Sharer, usize>>,
}

/// For whom a transfer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; none behind a proxy that does not tell.
    pub(crate) address: Option<IpAddr>,
    /// Its connection, by its other end; none if that can have one transfer only.
    pub(crate) connection: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sharer {
    Address(IpAddr),
    Connection(SocketAddr),
}

/// One transfer, counted out when dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    transfers: Arc<Transfers>,
    sharers: [Option<Sharer>; 2],
}

impl Transfers {
    /// At most so many.
    pub(crate) fn new(limit: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit.get()),
            total: AtomicUsize::new(0),
            shares: Mutex::default(),
        })
    }

    /// Takes another limit; what is on its way goes on.
    pub(crate) fn set_limit(&self, limit: NonZeroUsize) {
        self.limit.store(limit.get(), Ordering::Relaxed);
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether so few are on their way that every client may have another.
    pub(crate) fn is_roomy(&self) -> bool {
        self.total().saturating_mul(ROOMY_PART) < self.limit()
    }

    /// Whether this client may have another one now.
    pub(crate) fn has_room(&self, client: Client) -> bool {
        self.is_within(&self.shares(), client.sharers())
    }

    /// Another one for this client, if it may have one.
    pub(crate) fn begin(self: &Arc<Self>, client: Client) -> Option<Transfer> {
        let sharers = client.sharers();
        let mut shares = self.shares();
        if !self.is_roomy() && !self.is_within(&shares, sharers) {
            return None;
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        for sharer in sharers.into_iter().flatten() {
            *shares.entry(sharer).or_default() += 1;
        }
        Some(Transfer {
            transfers: self.clone(),
            sharers,
        })
    }

    fn is_within(
        &self,
        shares: &HashMap<Sharer, usize>,
        [address, connection]: [Option<Sharer>; 2],
    ) -> bool {
        let free = self.limit().saturating_sub(self.total());
        let has = |sharer: Option<Sharer>| {
            sharer.map_or(0, |sharer| shares.get(&sharer).copied().unwrap_or_default())
        };
        has(address) < free.saturating_mul(ADDRESS_TIMES)
            && has(connection).saturating_mul(CONNECTION_PART) < free
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Sharer, usize>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn sharers(self) -> [Option<Sharer>; 2] {
        let address = self
            .address
            .map(|address| Sharer::Address(customer(address)));
        [address, self.connection.map(Sharer::Connection)]
    }
}

/// Whom an address is counted for: an IPv4 address, or an IPv6 network of 64 bits, all of whose
/// addresses are at the disposal of one host.
pub(crate) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut shares = self.transfers.shares();
        self.transfers.total.fetch_sub(1, Ordering::Relaxed);
        for sharer in self.sharers.into_iter().flatten() {
            if let Entry::Occupied(mut has) = shares.entry(sharer) {
                *has.get_mut() -= 1;
                if *has.get() == 0 {
                    has.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfers(limit: usize) -> Arc<Transfers> {
        Transfers::new(NonZeroUsize::new(limit).unwrap())
    }

    fn address(number: u8) -> Client {
        Client {
            address: Some(IpAddr::from([192, 0, 2, number])),
            connection: None,
        }
    }

    fn connection(of: u8, port: u16) -> Client {
        let address = IpAddr::from([192, 0, 2, of]);
        Client {
            address: Some(address),
            connection: Some(SocketAddr::new(address, port)),
        }
    }

    /// As many as this client may have.
    fn fill(transfers: &Arc<Transfers>, client: Client) -> Vec<Transfer> {
        std::iter::from_fn(|| transfers.begin(client)).collect()
    }

    #[test]
    fn a_client_alone_has_most_of_the_room_and_leaves_some() {
        for (limit, of_address, of_connection) in [
            (1, 1, 1),
            (2, 2, 1),
            (5, 4, 1),
            (20, 16, 4),
            (4096, 3277, 820),
        ] {
            let transfers = transfers(limit);
            assert_eq!(fill(&transfers, address(1)).len(), of_address, "of {limit}");
            assert_eq!(fill(&transfers, connection(1, 1)).len(), of_connection);
            assert_eq!(fill(&transfers, Client::default()).len(), limit);
        }
    }

    #[test]
    fn greedy_ones_share_and_leave_room_for_a_newcomer() {
        let transfers = transfers(1000);
        let mut held: Vec<_> = (1..=100).map(|_| Vec::new()).collect();
        // Each takes what it can get, in turns, for as long as anybody gets anything.
        loop {
            let before = transfers.total();
            for (number, held) in (1..).zip(&mut held) {
                held.extend(transfers.begin(connection(number, number.into())));
            }
            if transfers.total() == before {
                break;
            }
        }
        let (least, most) = (
            held.iter().map(Vec::len).min(),
            held.iter().map(Vec::len).max(),
        );
        assert!(most.unwrap() - least.unwrap() <= 1, "{least:?} to {most:?}");
        assert!(transfers.total() < 1000, "{}", transfers.total());
        assert!(transfers.has_room(connection(200, 1)));
        let _one = transfers.begin(connection(200, 1)).unwrap();
        held.clear();
        assert!(transfers.has_room(connection(1, 1)));
    }

    #[test]
    fn connections_of_one_address_share_what_it_has() {
        let transfers = transfers(20);
        let _first = fill(&transfers, connection(1, 1));
        let _second = fill(&transfers, connection(1, 2));
        let rest = fill(&transfers, address(1));
        assert_eq!((transfers.total(), rest.is_empty()), (16, false));
        assert!(!transfers.has_room(connection(1, 3)));
        assert!(transfers.has_room(connection(2, 1)));
    }

    #[test]
    fn nobody_has_too_much_while_it_is_roomy() {
        let transfers = transfers(20);
        let mut held = Vec::new();
        while transfers.is_roomy() {
            held.push(transfers.begin(connection(1, 1)).unwrap());
        }
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn nothing_is_kept_of_who_has_none() {
        let transfers = transfers(20);
        drop(fill(&transfers, connection(1, 1)));
        assert!(transfers.shares().is_empty());
        assert_eq!(transfers.total(), 0);
    }

    #[test]
    fn another_limit_holds_for_who_comes_then() {
        let transfers = transfers(20);
        let held = fill(&transfers, address(1));
        transfers.set_limit(NonZeroUsize::new(4).unwrap());
        assert!(transfers.begin(address(2)).is_none());
        transfers.set_limit(NonZeroUsize::new(40).unwrap());
        assert!(transfers.begin(address(1)).is_some());
        assert_eq!(held.len(), 16);
    }

    #[test]
    fn an_ipv6_network_is_one_customer() {
        let of = |text: &str| customer(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.2"), of("10.0.0.2"));
    }
}
