//! Bounds on the open connections of one listener.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::transfers::customer;

/// Counts connections, all of them and those of each client address.
#[derive(Debug)]
pub(crate) struct Caps {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    limit: NonZeroUsize,
    limit_per_address: Option<NonZeroUsize>,
    total: usize,
    /// Counted without a limit too, since one may be set while they are open.
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    caps: Arc<Caps>,
    /// Whom it counts for; nobody, until a proxy has said whose it is.
    client: Option<IpAddr>,
}

impl Caps {
    /// At most `total` connections, and at most `per_address` of one client address.
    pub(crate) fn new(total: NonZeroUsize, per_address: Option<NonZeroUsize>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::new(Open {
                limit: total,
                limit_per_address: per_address,
                total: 0,
                by_address: HashMap::new(),
            }),
        })
    }

    /// From now on these limits hold. Connections beyond them stay open; no new one is taken
    /// until there are fewer.
    pub(crate) fn set(&self, total: NonZeroUsize, per_address: Option<NonZeroUsize>) {
        let mut open = self.open();
        open.limit = total;
        open.limit_per_address = per_address;
    }

    /// A place for a connection from `client`, if there is one; without a client, one that is still to
    /// be counted for somebody ([`Place::count_for`]).
    pub(crate) fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Place> {
        let mut open = self.open();
        if open.total >= open.limit.get() {
            return None;
        }
        let client = client.map(customer);
        if let Some(client) = client {
            open.count(client)?;
        }
        open.total += 1;
        Some(Place {
            caps: self.clone(),
            client,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Counts one more for this client, if it may have one.
    fn count(&mut self, client: IpAddr) -> Option<()> {
        let of_client = self.by_address.get(&client).copied().unwrap_or_default();
        if self
            .limit_per_address
            .is_some_and(|limit| of_client >= limit.get())
        {
            return None;
        }
        self.by_address.insert(client, of_client + 1);
        Some(())
    }
}

impl Place {
    /// Whether it is known whom it counts for.
    pub(crate) fn is_counted(&self) -> bool {
        self.client.is_some()
    }

    /// Counts it for this client from now on, if it may have one more.
    pub(crate) fn count_for(&mut self, client: IpAddr) -> Option<()> {
        let client = customer(client);
        self.caps.open().count(client)?;
        self.client = Some(client);
        Some(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.caps.open();
        open.total -= 1;
        if let Some(client) = self.client
            && let Some(of_client) = open.by_address.get_mut(&client)
        {
            *of_client -= 1;
            if *of_client == 0 {
                open.by_address.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    #[test]
    fn caps_hold_and_places_come_back() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let caps = Caps::new(number(3), Some(number(2)));
        let first = caps.take(Some(one)).unwrap();
        let _second = caps.take(Some(one)).unwrap();
        assert!(caps.take(Some(one)).is_none(), "two of one address");
        let _third = caps.take(Some(two)).unwrap();
        assert!(caps.take(Some(two)).is_none(), "three in all");
        drop(first);
        assert!(caps.take(Some(one)).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let caps = Caps::new(number(10), Some(number(1)));
        let _first = caps.take(Some("2001:db8:0:1::1".parse().unwrap())).unwrap();
        let same = caps.take(Some("2001:db8:0:1:ffff::2".parse().unwrap()));
        assert!(same.is_none(), "the same 64 bits");
        let _next = caps.take(Some("2001:db8:0:2::1".parse().unwrap())).unwrap();
        let _v4 = caps.take(Some("10.0.0.1".parse().unwrap())).unwrap();
        let _v4 = caps.take(Some("10.0.0.2".parse().unwrap())).unwrap();
        let mapped = caps.take(Some("::ffff:10.0.0.2".parse().unwrap()));
        assert!(mapped.is_none(), "an IPv4 address in other words");
    }

    #[test]
    fn a_connection_may_be_counted_for_its_client_later() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let caps = Caps::new(number(4), Some(number(1)));
        let mut first = caps.take(None).unwrap();
        let mut second = caps.take(None).unwrap();
        let _third = caps.take(None).unwrap();
        first.count_for(one).unwrap();
        assert_eq!(second.count_for(one), None, "one of one client");
        assert!(caps.take(Some(one)).is_none());
        second.count_for(two).unwrap();
        drop(first);
        let _again = caps.take(Some(one)).unwrap();
        let _fourth = caps.take(None);
        assert!(caps.take(None).is_none(), "four in all");
    }

    #[test]
    fn limits_change_while_connections_are_open() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let caps = Caps::new(number(3), None);
        let first = caps.take(Some(one)).unwrap();
        let second = caps.take(Some(one)).unwrap();
        caps.set(number(2), None);
        assert!(caps.take(Some(two)).is_none(), "two are open already");
        caps.set(number(9), Some(number(2)));
        assert!(
            caps.take(Some(one)).is_none(),
            "those from before the limit count"
        );
        let _other = caps.take(Some(two)).unwrap();
        drop((first, second));
        let _again = caps.take(Some(one)).unwrap();
        let _again = caps.take(Some(one)).unwrap();
        assert!(caps.take(Some(one)).is_none());
    }
}
