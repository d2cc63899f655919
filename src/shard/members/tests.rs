use std::net::IpAddr;

use proptest::prelude::*;
use rustls::pki_types::ServerName;

use super::*;

/// A member id that the test's author knows to be right.
pub(in crate::shard) fn id(text: &str) -> MemberId {
    text.parse().unwrap()
}

/// A list of members with weight 1.
pub(in crate::shard) fn members(ids: &[&str], local: &str) -> Members {
    let weighted: Vec<_> = ids.iter().map(|id| (*id, 1)).collect();
    weighted_members(&weighted, local)
}

/// A list of members with weights.
pub(in crate::shard) fn weighted_members(list: &[(&str, u16)], local: &str) -> Members {
    Members::new(
        list.iter()
            .map(|(id, weight)| member(id, *weight))
            .collect(),
        &id(local),
    )
    .unwrap()
}

fn member(name: &str, weight: u16) -> Member {
    let address = format!("{name}:5443").parse().unwrap();
    Member {
        id: id(name),
        address,
        weight: Weight::new(weight).unwrap(),
    }
}

#[test]
fn the_local_member_is_found_and_the_order_kept() {
    let members = members(&["c", "a", "b"], "a");
    assert_eq!(members.local().get(), 1);
    assert_eq!(members.get(members.local()).id, id("a"));
    assert_eq!(members.find(&id("b")).map(MemberIndex::get), Some(2));
    assert_eq!(members.find(&id("d")), None);
    assert_eq!(members.len(), 3);
    let peers: Vec<_> = members
        .peers()
        .map(|(index, member)| (index.get(), member.id.as_str()))
        .collect();
    assert_eq!(peers, [(0, "c"), (2, "b")]);
}

#[test]
fn lists_that_would_be_ambiguous_are_refused() {
    let local = id("a");
    let list = |names: &[&str]| names.iter().map(|name| member(name, 1)).collect::<Vec<_>>();
    assert_eq!(Members::new(vec![], &local), Err(MembersError::Empty));
    assert_eq!(
        Members::new(list(&["b"]), &local),
        Err(MembersError::LocalMissing { id: local.clone() })
    );

    let twice = Members::new(list(&["a", "b", "a"]), &local).unwrap_err();
    assert_eq!(
        twice,
        MembersError::DuplicateId {
            id: local.clone(),
            first: 0,
            second: 2
        }
    );
    assert_eq!(twice.to_string(), "members 1 and 3 have the same id a");

    let mut one_address = list(&["a", "b"]);
    one_address[1].address = "A:5443".parse().unwrap();
    let address = "a:5443".parse().unwrap();
    let expected = MembersError::DuplicateAddress {
        address,
        first: 0,
        second: 1,
    };
    assert_eq!(Members::new(one_address, &local), Err(expected));
}

#[test]
fn the_limit_of_members_is_exact() {
    let list = |count: usize| {
        (0..count)
            .map(|n| member(&format!("m{n}"), 1))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        Members::new(list(Members::MAX), &id("m7")).map(|members| members.len()),
        Ok(1024)
    );
    assert_eq!(
        Members::new(list(Members::MAX + 1), &id("m7")),
        Err(MembersError::TooMany { count: 1025 })
    );
}

#[test]
fn weights_are_between_1_and_1000() {
    assert_eq!(Weight::default().get(), 1);
    for weight in [1, 2, 1000] {
        assert_eq!(Weight::new(weight).map(Weight::get), Ok(weight));
    }
    for weight in [0, 1001, u16::MAX] {
        assert_eq!(Weight::new(weight), Err(WeightError { weight }));
    }
}

#[test]
fn ids_follow_their_grammar() {
    let longest = "x".repeat(63);
    for text in [
        "a",
        "zot-1",
        "zot-0.zot.ns.svc",
        "1a",
        "a_b",
        "a--b",
        "10.0.0.1a",
        longest.as_str(),
    ] {
        assert_eq!(
            text.parse::<MemberId>().map(|id| id.to_string()).as_deref(),
            Ok(text)
        );
    }
    let too_long = "x".repeat(64);
    for (text, error) in [
        ("", MemberIdError::Empty),
        (too_long.as_str(), MemberIdError::TooLong { length: 64 }),
        ("Zot", MemberIdError::Character { found: 'Z' }),
        ("a b", MemberIdError::Character { found: ' ' }),
        ("zöt", MemberIdError::Character { found: 'ö' }),
        ("-a", MemberIdError::Edge),
        ("a.", MemberIdError::Edge),
        ("_a", MemberIdError::Edge),
        ("a..b", MemberIdError::NotAServerName),
        ("a-.b", MemberIdError::NotAServerName),
        ("a.-b", MemberIdError::NotAServerName),
        ("1", MemberIdError::NotAServerName),
        ("10.0.0.1", MemberIdError::NotAServerName),
    ] {
        assert_eq!(text.parse::<MemberId>(), Err(error), "{text:?}");
    }
}

#[test]
fn addresses_are_read_and_written_alike() {
    for (text, host, written) in [
        ("zot-1:5443", Host::Name("zot-1".into()), "zot-1:5443"),
        (
            "Zot-1.Example:1",
            Host::Name("zot-1.example".into()),
            "zot-1.example:1",
        ),
        ("a_b:65535", Host::Name("a_b".into()), "a_b:65535"),
        (
            "10.0.0.1:5443",
            Host::Ip(IpAddr::from([10, 0, 0, 1])),
            "10.0.0.1:5443",
        ),
        ("[::1]:5443", Host::Ip("::1".parse().unwrap()), "[::1]:5443"),
        (
            "[2001:DB8::0:1]:80",
            Host::Ip("2001:db8::1".parse().unwrap()),
            "[2001:db8::1]:80",
        ),
    ] {
        let address: MemberAddress = text.parse().unwrap();
        assert_eq!(address.host, host, "{text}");
        assert_eq!(address.to_string(), written);
    }
    for (text, error) in [
        ("", AddressError::NoPort),
        ("zot-1", AddressError::NoPort),
        ("zot-1:", AddressError::Port),
        ("zot-1:0", AddressError::Port),
        ("zot-1:65536", AddressError::Port),
        ("zot-1:+80", AddressError::Port),
        (":80", AddressError::Host),
        ("::1:80", AddressError::Brackets),
        ("::1", AddressError::Brackets),
        ("[::1]", AddressError::Brackets),
        ("[::1:80", AddressError::Host),
        ("[zot-1]:80", AddressError::Host),
        ("[10.0.0.1]:80", AddressError::Host),
        ("10.0.0.256:80", AddressError::Host),
        ("zot 1:80", AddressError::Host),
        ("zot-1.:80", AddressError::Host),
        ("http://zot-1:80", AddressError::Brackets),
    ] {
        assert_eq!(text.parse::<MemberAddress>(), Err(error), "{text:?}");
    }
    assert_eq!("[::1]".parse::<Host>(), "::1".parse());
}

proptest! {
    /// TLS verifies a peer against its id or its address's host, so rustls must take whatever we take, as a name.
    #[test]
    fn ids_and_names_are_server_names_to_rustls(text in "[a-zA-Z0-9._-]{1,70}|[a-z0-9]{1,3}([.-]{1,2}[a-z0-9]{1,3}){0,4}") {
        let is_server_name = matches!(ServerName::try_from(text.as_str()), Ok(ServerName::DnsName(_)));
        if text.parse::<MemberId>().is_ok() {
            prop_assert!(is_server_name);
        }
        match text.parse::<Host>() {
            Ok(Host::Name(name)) => prop_assert!(is_server_name && ServerName::try_from(&*name).is_ok()),
            Ok(Host::Ip(_)) => prop_assert!(!is_server_name),
            // We refuse only the dot at the end, and labels that end in `-` are refused by both.
            Err(_) => prop_assert!(!is_server_name || text.ends_with('.')),
        }
    }

    #[test]
    fn addresses_round_trip(text in "[a-z0-9.:\\[\\]-]{1,40}|\\[[0-9a-f:]{2,12}\\]:[0-9]{1,5}|[a-z]{1,5}:[0-9]{1,5}") {
        if let Ok(address) = text.parse::<MemberAddress>() {
            prop_assert_eq!(address.to_string().parse::<MemberAddress>(), Ok(address));
        }
    }
}
