//! Names to addresses, in the background and for ever: a name that does not resolve yet never
//! stops the start, and a request never waits for DNS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::shard::{Host, MemberAddress};

/// How soon a name that has not resolved yet is looked up again, at the latest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// A look-up that takes longer has failed. The system's resolver goes on: it cannot be told to stop.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// So many look-ups are under way at once. Each takes a thread, for as long as the resolver likes.
static LOOKUPS: Semaphore = Semaphore::const_new(16);
/// The most addresses that one name may have. All of them are tried before somebody counts as gone,
/// so a name has all of its addresses or none; with more it is not the name of one machine.
const ADDRESSES: usize = 16;
/// A port that nothing is sent to.
const DISCARD: u16 = 9;

/// Keeps the addresses of one name up to date: calls `found` with all of them whenever they are
/// others, and `failed` for every look-up that brought none. What is known stays in use while
/// look-ups fail.
pub(crate) async fn keep(
    address: MemberAddress,
    interval: Duration,
    found: impl Fn(Vec<SocketAddr>) + Send + Sync,
    failed: impl Fn(&io::Error) + Send + Sync,
) {
    let name: Arc<str> = match &address.host {
        Host::Ip(ip) => return found(vec![SocketAddr::new(*ip, address.port)]),
        Host::Name(name) => name.clone(),
    };
    let mut current: Vec<IpAddr> = Vec::new();
    loop {
        match look_up(name.clone()).await {
            Ok(ips) if !are_same(&ips, &current) => {
                let at = |ip: &IpAddr| SocketAddr::new(*ip, address.port);
                found(ips.iter().map(at).collect());
                current = ips;
            }
            Ok(_) => {}
            Err(error) => failed(&error),
        }
        let pause = if current.is_empty() {
            interval.min(FIRST_RETRY)
        } else {
            interval
        };
        tokio::time::sleep(pause).await;
    }
}

/// Another order is no change: names with several addresses turn them around at each look-up.
fn are_same(some: &[IpAddr], others: &[IpAddr]) -> bool {
    some.len() == others.len() && some.iter().all(|ip| others.contains(ip))
}

/// The addresses of a name, in the order in which they are to be tried; at least one.
async fn look_up(name: Arc<str>) -> io::Result<Vec<IpAddr>> {
    // Never closed.
    let turn = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let look_up = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let addresses = (&*name, 0).to_socket_addrs()?;
        let ips = in_turns(addresses.map(|at| at.ip()).collect());
        Ok::<_, io::Error>(those_in_reach(ips, is_in_reach))
    });
    let Ok(ended) = tokio::time::timeout(LOOKUP_TIMEOUT, look_up).await else {
        let error = "the look-up takes too long";
        return Err(io::Error::new(io::ErrorKind::TimedOut, error));
    };
    let ips: Vec<IpAddr> = ended.map_err(io::Error::other)??;
    match ips.len() {
        0 => Err(io::Error::other("the name has no address")),
        1..=ADDRESSES => Ok(ips),
        many => Err(io::Error::other(format!(
            "{many} addresses are not those of one machine"
        ))),
    }
}

/// What cannot even be asked could never be taken for gone, so it must not speak for what can. With
/// nothing in reach all are kept: then nobody was asked, and nobody is gone.
fn those_in_reach(ips: Vec<IpAddr>, is_in_reach: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let reached: Vec<IpAddr> = ips.iter().copied().filter(is_in_reach).collect();
    if reached.is_empty() { ips } else { reached }
}

/// Whether this machine speaks the address's family. One without IPv6 has `::1` in its /etc/hosts,
/// and finds IPv6 addresses of peers, all the same.
fn is_in_reach(ip: &IpAddr) -> bool {
    // errno(3): EAFNOSUPPORT, EADDRNOTAVAIL.
    const NOT_SPOKEN: [i32; 2] = [97, 99];
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Sends nothing: it only looks for a way, and for an address of ours.
    let way = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((*ip, DISCARD)));
    let code = way.err().and_then(|error| error.raw_os_error());
    code.is_none_or(|code| !NOT_SPOKEN.contains(&code))
}

/// The system's order (RFC 6724), families by turns (RFC 8305 §4): where one of them leads nowhere,
/// the other's first address is not the last to be tried.
fn in_turns(ips: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for ip in ips {
        if !seen.contains(&ip) {
            seen.push(ip);
        }
    }
    let first_is_v6 = seen.first().is_some_and(IpAddr::is_ipv6);
    let (firsts, others): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|ip| ip.is_ipv6() == first_is_v6);
    let (mut firsts, mut others) = (firsts.into_iter(), others.into_iter());
    let mut turns = Vec::new();
    loop {
        let (first, other) = (firsts.next(), others.next());
        if first.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(first.into_iter().chain(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_no_address_comes_twice() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&[], &[]),
            (
                &["10.0.0.1", "10.0.0.2", "10.0.0.1"],
                &["10.0.0.1", "10.0.0.2"],
            ),
            (
                &["fd00::1", "fd00::2", "fd00::3", "10.0.0.1"],
                &["fd00::1", "10.0.0.1", "fd00::2", "fd00::3"],
            ),
            (
                &["10.0.0.1", "10.0.0.2", "::1"],
                &["10.0.0.1", "::1", "10.0.0.2"],
            ),
        ];
        for (found, tried) in cases {
            assert_eq!(in_turns(ips(found)), ips(tried));
        }
    }

    #[test]
    fn another_order_is_no_change() {
        let known = ips(&["10.0.0.1", "10.0.0.2"]);
        assert!(are_same(&ips(&["10.0.0.2", "10.0.0.1"]), &known));
        for other in [&["10.0.0.1"][..], &["10.0.0.1", "10.0.0.3"], &[]] {
            assert!(!are_same(&ips(other), &known));
        }
    }

    #[test]
    fn addresses_of_a_family_that_this_machine_lacks_are_left_out() {
        assert!(is_in_reach(&ips(&["127.0.0.1"])[0]));
        let has_v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        assert_eq!(is_in_reach(&ips(&["::1"])[0]), has_v6);

        let both = || ips(&["fd00::1", "10.0.0.1"]);
        assert_eq!(those_in_reach(both(), IpAddr::is_ipv4), ips(&["10.0.0.1"]));
        assert_eq!(those_in_reach(both(), |_| true), both());
        assert_eq!(those_in_reach(both(), |_| false), both());
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
        assert_eq!(
            *found.lock().unwrap(),
            [vec!["10.0.0.1:5443".parse().unwrap()]]
        );
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
