//! Names to addresses, in the background and for ever: a name that does not resolve yet never
//! stops the start, and a request never waits for DNS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::shard::{Host, MemberAddress};

/// How soon a name that has not resolved yet is looked up again, at the latest.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Keeps one address up to date: calls `found` with every new one, and `failed` for every look-up
/// that brought none. An address that is known stays in use while look-ups fail.
pub(crate) async fn keep(
    address: MemberAddress,
    interval: Duration,
    found: impl Fn(SocketAddr) + Send + Sync,
    failed: impl Fn(&std::io::Error) + Send + Sync,
) {
    let name: Arc<str> = match &address.host {
        Host::Ip(ip) => return found(SocketAddr::new(*ip, address.port)),
        Host::Name(name) => name.clone(),
    };
    let mut current = None;
    loop {
        match tokio::net::lookup_host((&*name, address.port)).await {
            Ok(addresses) => {
                let chosen = choose(addresses.map(|address| address.ip()).collect(), current);
                if let Some(ip) = chosen.filter(|ip| Some(*ip) != current) {
                    current = chosen;
                    found(SocketAddr::new(ip, address.port));
                }
            }
            Err(error) => failed(&error),
        }
        let pause = if current.is_none() {
            interval.min(FIRST_RETRY)
        } else {
            interval
        };
        tokio::time::sleep(pause).await;
    }
}

/// The address in use as long as the name still has it, else the first: an answer in another
/// order is no reason to leave warm connections.
fn choose(addresses: Vec<IpAddr>, current: Option<IpAddr>) -> Option<IpAddr> {
    current
        .filter(|ip| addresses.contains(ip))
        .or_else(|| addresses.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_while_the_name_has_it() {
        let ips: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"]
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect();
        let gone: IpAddr = "10.9.9.9".parse().unwrap();
        assert_eq!(choose(ips.clone(), None), Some(ips[0]));
        assert_eq!(choose(ips.clone(), Some(ips[1])), Some(ips[1]));
        assert_eq!(choose(ips.clone(), Some(gone)), Some(ips[0]));
        assert_eq!(choose(vec![], Some(gone)), None);
    }

    #[tokio::test]
    async fn a_literal_address_needs_no_look_up() {
        let found = std::sync::Mutex::new(Vec::new());
        let address: MemberAddress = "10.0.0.1:5443".parse().unwrap();
        keep(
            address,
            Duration::from_secs(1),
            |at| found.lock().unwrap().push(at),
            |_| (),
        )
        .await;
        assert_eq!(*found.lock().unwrap(), ["10.0.0.1:5443".parse().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_is_asked_again() {
        let failures = std::sync::atomic::AtomicUsize::new(0);
        let (enough, reached) = (tokio::sync::Notify::new(), ());
        let address: MemberAddress = "no-such-host.invalid:5443".parse().unwrap();
        let watch = keep(
            address,
            Duration::from_secs(60),
            |_| (),
            |_| {
                if failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 {
                    enough.notify_one();
                }
            },
        );
        tokio::select! { () = watch => {}, () = enough.notified() => reached }
        assert_eq!(failures.into_inner(), 3);
    }
}
