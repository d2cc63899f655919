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
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

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
    total: AtomicUsize,
    /// Of each address for as long as a connection or a transfer has its share.
    shares: Mutex<HashMap<IpAddr, Weak<Share>>>,
}

/// For whom a transfer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'c> {
    /// Its address; none behind a proxy that does not tell.
    pub(crate) address: Option<IpAddr>,
    /// Its connection.
    pub(crate) connection: &'c Connection,
    /// Whether that can have more than one transfer at a time.
    pub(crate) is_multiplexed: bool,
}

/// What is kept with a connection, so that a request need not look for its address among all.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Of its first transfer's address: behind a trusted proxy the next may be for another.
    share: OnceLock<Arc<Share>>,
    has: AtomicUsize,
}

/// What one address has.
#[derive(Debug)]
struct Share {
    transfers: Arc<Transfers>,
    /// None if nobody tells: such a share has no bounds.
    address: Option<IpAddr>,
    has: AtomicUsize,
}

/// One transfer, counted out when dropped.
#[derive(Debug)]
pub(crate) struct Transfer<'c>(Sharers<'c>);

/// Whose shares a transfer is counted in.
#[derive(Debug)]
struct Sharers<'c> {
    address: Arc<Share>,
    connection: Option<&'c AtomicUsize>,
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
        self.limit.store(limit.get(), Relaxed);
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// Whether so few are on their way that every client may have another.
    pub(crate) fn is_roomy(&self) -> bool {
        self.total().saturating_mul(ROOMY_PART) < self.limit()
    }

    /// Whether this client may have another one now.
    pub(crate) fn has_room(self: &Arc<Self>, client: Client<'_>) -> bool {
        let has = self.sharers(client).each(|count| count.load(Relaxed));
        self.is_within(self.total(), has)
    }

    /// Another one for this client, if it may have one.
    pub(crate) fn begin<'c>(self: &Arc<Self>, client: Client<'c>) -> Option<Transfer<'c>> {
        let sharers = self.sharers(client);
        // Counted in first and judged second, so that no two take the last one of a share.
        let has = sharers.each(|count| count.fetch_add(1, Relaxed));
        let one_more = |total| self.is_within(total, has).then_some(total + 1);
        if self.total.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            sharers.give_back();
            return None;
        }
        Some(Transfer(sharers))
    }

    /// Whether there may be another one beside so many, for whom has these.
    fn is_within(&self, total: usize, [address, connection]: [usize; 2]) -> bool {
        let free = self.limit().saturating_sub(total);
        address < free.saturating_mul(ADDRESS_TIMES)
            && connection.saturating_mul(CONNECTION_PART) < free
    }

    fn sharers<'c>(self: &Arc<Self>, client: Client<'c>) -> Sharers<'c> {
        let Client {
            address,
            connection,
            is_multiplexed,
        } = client;
        let address = address.map(customer);
        let kept = connection.share.get_or_init(|| self.share_of(address));
        Sharers {
            address: if kept.address == address {
                kept.clone()
            } else {
                self.share_of(address)
            },
            connection: is_multiplexed.then_some(&connection.has),
        }
    }

    fn share_of(self: &Arc<Self>, address: Option<IpAddr>) -> Arc<Share> {
        let new = || {
            Arc::new(Share {
                transfers: self.clone(),
                address,
                has: AtomicUsize::new(0),
            })
        };
        let Some(address) = address else {
            return new();
        };
        let mut shares = self.shares();
        let known = shares.entry(address).or_default();
        known.upgrade().unwrap_or_else(|| {
            let share = new();
            *known = Arc::downgrade(&share);
            share
        })
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Share>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sharers<'_> {
    /// Those counts that are bounded; 0 for others.
    fn each(&self, count: impl Fn(&AtomicUsize) -> usize) -> [usize; 2] {
        let of_address = self.address.address.map(|_| &self.address.has);
        [of_address, self.connection].map(|bounded| bounded.map_or(0, &count))
    }

    fn give_back(&self) {
        self.each(|count| count.fetch_sub(1, Relaxed));
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

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.0.give_back();
        self.0.address.transfers.total.fetch_sub(1, Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        // It may be another's by now.
        if let Entry::Occupied(known) = self.transfers.shares().entry(address)
            && known.get().strong_count() == 0
        {
            known.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn transfers(limit: usize) -> Arc<Transfers> {
        Transfers::new(NonZeroUsize::new(limit).unwrap())
    }

    /// A connection that can have many, of this address.
    fn of(number: u8, connection: &Connection) -> Client<'_> {
        Client {
            address: Some(IpAddr::from([192, 0, 2, number])),
            connection,
            is_multiplexed: true,
        }
    }

    /// One of many connections of this address, each with one at a time.
    fn address(number: u8, connection: &Connection) -> Client<'_> {
        Client {
            is_multiplexed: false,
            ..of(number, connection)
        }
    }

    /// As many as this client may have.
    fn fill<'c>(transfers: &Arc<Transfers>, client: Client<'c>) -> Vec<Transfer<'c>> {
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
            let connection = Connection::default();
            let most = |client| fill(&transfers, client).len();
            assert_eq!(most(address(1, &connection)), of_address, "of {limit}");
            assert_eq!(most(of(1, &connection)), of_connection);
            let nobody = Client {
                address: None,
                ..address(1, &connection)
            };
            assert_eq!(most(nobody), limit);
        }
    }

    #[test]
    fn greedy_ones_share_and_leave_room_for_a_newcomer() {
        let transfers = transfers(1000);
        let connections: Vec<Connection> = (0..100).map(|_| Connection::default()).collect();
        let mut held: Vec<_> = connections.iter().map(|_| Vec::new()).collect();
        // Each takes what it can get, in turns, for as long as anybody gets anything.
        loop {
            let before = transfers.total();
            for (number, (held, connection)) in (1..).zip(held.iter_mut().zip(&connections)) {
                held.extend(transfers.begin(of(number, connection)));
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
        let newcomer = Connection::default();
        assert!(transfers.has_room(of(200, &newcomer)));
        let _one = transfers.begin(of(200, &newcomer)).unwrap();
        held.clear();
        assert!(transfers.has_room(of(1, &connections[0])));
    }

    #[test]
    fn connections_of_one_address_share_what_it_has() {
        let transfers = transfers(20);
        let connections: [Connection; 4] = Default::default();
        let _first = fill(&transfers, of(1, &connections[0]));
        let _second = fill(&transfers, of(1, &connections[1]));
        let rest = fill(&transfers, address(1, &connections[2]));
        assert_eq!((transfers.total(), rest.is_empty()), (16, false));
        assert!(!transfers.has_room(of(1, &connections[3])));
        assert!(transfers.has_room(of(2, &connections[3])));
    }

    #[test]
    fn a_connection_of_several_addresses_counts_for_each() {
        let transfers = transfers(20);
        let (proxy, other) = (Connection::default(), Connection::default());
        let first = fill(&transfers, address(1, &proxy));
        let second = fill(&transfers, address(2, &proxy));
        assert_eq!((first.len(), second.is_empty()), (16, false));
        drop(first);
        let again = fill(&transfers, address(2, &other));
        assert!(transfers.has_room(address(1, &proxy)));
        assert_eq!(second.len() + again.len(), 16);
    }

    #[test]
    fn nobody_has_too_much_while_it_is_roomy() {
        let (transfers, connection) = (transfers(20), Connection::default());
        let mut held = Vec::new();
        while transfers.is_roomy() {
            held.push(transfers.begin(of(1, &connection)).unwrap());
        }
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let (transfers, proxy, other) =
            (transfers(20), Connection::default(), Connection::default());
        let kept = || transfers.shares().len();
        drop(fill(&transfers, of(1, &proxy)));
        drop(fill(&transfers, of(2, &proxy)));
        assert_eq!(
            (transfers.total(), kept()),
            (0, 1),
            "the proxy's first client"
        );
        drop(fill(&transfers, of(1, &other)));
        drop(proxy);
        assert_eq!(kept(), 1, "the same address, from elsewhere");
        drop(other);
        assert_eq!(kept(), 0);
    }

    #[test]
    fn threads_take_no_more_than_there_is() {
        let transfers = transfers(8);
        thread::scope(|scope| {
            for thread in 0..4_u8 {
                let transfers = &transfers;
                scope.spawn(move || {
                    for round in 0..5_000_u32 {
                        let connection = Connection::default();
                        let client = address(thread % 2 + (round % 2) as u8, &connection);
                        let held = fill(transfers, client);
                        assert!(transfers.total() <= 8 && held.len() <= 7);
                    }
                });
            }
        });
        assert_eq!((transfers.total(), transfers.shares().len()), (0, 0));
        let one = Connection::default();
        assert_eq!(fill(&transfers, address(1, &one)).len(), 7);
    }

    #[test]
    fn another_limit_holds_for_who_comes_then() {
        let (transfers, connection) = (transfers(20), Connection::default());
        let held = fill(&transfers, address(1, &connection));
        transfers.set_limit(NonZeroUsize::new(4).unwrap());
        assert!(transfers.begin(address(2, &connection)).is_none());
        transfers.set_limit(NonZeroUsize::new(40).unwrap());
        assert!(transfers.begin(address(1, &connection)).is_some());
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
