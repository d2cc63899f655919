//! Bounds on the open connections of one listener.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::member::transfers::customer;

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
    address: IpAddr,
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

    /// A place for a connection from `address`, if there is one.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = customer(address);
        let mut open = self.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        let full = open.total >= open.limit.get()
            || open
                .limit_per_address
                .is_some_and(|limit| of_address >= limit.get());
        if full {
            return None;
        }
        open.by_address.insert(address, of_address + 1);
        open.total += 1;
        Some(Place {
            caps: self.clone(),
            address,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.caps.open();
        open.total -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
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
        let first = caps.take(one).unwrap();
        let _second = caps.take(one).unwrap();
        assert!(caps.take(one).is_none(), "two of one address");
        let _third = caps.take(two).unwrap();
        assert!(caps.take(two).is_none(), "three in all");
        drop(first);
        assert!(caps.take(one).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let caps = Caps::new(number(10), Some(number(1)));
        let _first = caps.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        let same = caps.take("2001:db8:0:1:ffff::2".parse().unwrap());
        assert!(same.is_none(), "the same 64 bits");
        let _next = caps.take("2001:db8:0:2::1".parse().unwrap()).unwrap();
        let _v4 = caps.take("10.0.0.1".parse().unwrap()).unwrap();
        let _v4 = caps.take("10.0.0.2".parse().unwrap()).unwrap();
        let mapped = caps.take("::ffff:10.0.0.2".parse().unwrap());
        assert!(mapped.is_none(), "an IPv4 address in other words");
    }

    #[test]
    fn limits_change_while_connections_are_open() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let caps = Caps::new(number(3), None);
        let first = caps.take(one).unwrap();
        let second = caps.take(one).unwrap();
        caps.set(number(2), None);
        assert!(caps.take(two).is_none(), "two are open already");
        caps.set(number(9), Some(number(2)));
        assert!(
            caps.take(one).is_none(),
            "those from before the limit count"
        );
        let _other = caps.take(two).unwrap();
        drop((first, second));
        let _again = caps.take(one).unwrap();
        let _again = caps.take(one).unwrap();
        assert!(caps.take(one).is_none());
    }
}
