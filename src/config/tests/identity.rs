//! Who we are: in which order it is asked, and what is answered.

use std::net::IpAddr;

use super::*;
use crate::config::identity::{Resolved, Unidentified, by_address};
use crate::shard::Member;

/// A machine with addresses and a resolver.
struct Host {
    addresses: &'static [&'static str],
    names: &'static [(&'static str, &'static str)],
}

impl Surroundings for Host {
    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        Ok(self
            .addresses
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect())
    }

    fn host_name(&self) -> io::Result<String> {
        Ok("host".to_owned())
    }

    fn resolve(&self, names: &[&str]) -> Resolved {
        names
            .iter()
            .map(|name| {
                let found: Vec<IpAddr> = self
                    .names
                    .iter()
                    .filter(|(known, _)| known == name)
                    .map(|(_, ip)| ip.parse().unwrap())
                    .collect();
                let answer = if found.is_empty() {
                    Err("no such name".to_owned())
                } else {
                    Ok(found)
                };
                ((*name).to_owned(), answer)
            })
            .collect()
    }
}

const NOBODY: Host = Host {
    addresses: &["127.0.0.1"],
    names: &[],
};

fn members(list: &[(&str, &str)]) -> Vec<Member> {
    let member = |(id, address): &(&str, &str)| Member {
        id: id.parse().unwrap(),
        address: address.parse().unwrap(),
        weight: Default::default(),
    };
    list.iter().map(member).collect()
}

fn find(list: &[(&str, &str)], port: u16, host: &Host) -> Result<String, Unidentified> {
    let names: Vec<&str> = list
        .iter()
        .filter_map(|(_, address)| Some(address.rsplit_once(':')?.0))
        .collect();
    let local = host.addresses().unwrap();
    by_address(&members(list), port, &local, &host.resolve(&names)).map(|(id, _)| id.to_string())
}

#[test]
fn a_member_is_found_by_address_and_port() {
    let three = [
        ("a", "10.0.0.1:5443"),
        ("b", "10.0.0.2:5443"),
        ("c", "b.example:5443"),
    ];
    let on = |addresses| Host {
        addresses,
        names: &[("b.example", "10.0.0.3")],
    };
    assert_eq!(
        find(&three, 5443, &on(&["127.0.0.1", "10.0.0.2"])),
        Ok("b".into())
    );
    assert_eq!(find(&three, 5443, &on(&["10.0.0.3"])), Ok("c".into()));
    // An IPv4 address in IPv6 clothes is the same address.
    assert_eq!(
        find(&three, 5443, &on(&["::ffff:10.0.0.1"])),
        Ok("a".into())
    );
    // One machine, three ports.
    let ports = [("a", "127.0.0.1:1"), ("b", "127.0.0.1:2"), ("c", "[::1]:3")];
    assert_eq!(find(&ports, 2, &NOBODY), Ok("b".into()));
    assert_eq!(find(&ports, 3, &NOBODY), Ok("c".into()));
    // Debian's own name for the machine.
    let debian = Host {
        addresses: &["127.0.0.1", "10.9.9.9"],
        names: &[("zot-1", "127.0.1.1")],
    };
    assert_eq!(
        find(&[("x", "zot-1:5443"), ("y", "zot-2:5443")], 5443, &debian),
        Ok("x".into())
    );
}

#[test]
fn no_answer_says_what_was_tried() {
    let list = [
        ("a", "10.0.0.1:5443"),
        ("b", "zot-2:5443"),
        ("c", "zot-3:6000"),
        ("d", "zot-4:5443"),
    ];
    let host = Host {
        addresses: &["127.0.0.1", "10.0.0.9"],
        names: &[("zot-4", "10.0.0.4")],
    };
    let error = find(&list, 5443, &host).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot tell which member this is: no member has an address of this machine with the peer listener's \
         port 5443; this machine has 127.0.0.1, 10.0.0.9; tried a (10.0.0.1:5443: not local), \
         b (zot-2:5443: no such name), c (zot-3:6000: another port than 5443), d (zot-4:5443: at 10.0.0.4, not local)"
    );
}

#[test]
fn two_answers_are_none() {
    let host = Host {
        addresses: &["10.0.0.1", "10.0.0.2"],
        names: &[("vip", "10.0.0.2")],
    };
    let error = find(&[("a", "10.0.0.1:5443"), ("b", "vip:5443")], 5443, &host)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "cannot tell which member this is: more than one member has an address of this machine with port 5443: \
         a (by 10.0.0.1), b (by 10.0.0.2)"
    );
}

fn identify(env: &Environment<'_>, more: &str) -> Result<(String, Identified), Problems> {
    let config = load(&minimal(more), &source(), env)?;
    let members = config.view.members();
    Ok((
        members.get(members.local()).id.to_string(),
        config.identified,
    ))
}

#[test]
fn flag_before_variable_before_file_before_addresses() {
    let files = Memory::default();
    let host = Host {
        addresses: &["10.0.0.1"],
        names: &[("zot-1", "10.0.0.1")],
    };
    let mut env = Environment {
        surroundings: Some(&host),
        ..offline(&files)
    };
    let found = |env: &Environment<'_>, more: &str| identify(env, more).unwrap();
    assert_eq!(
        found(&env, ""),
        (
            "zot-1".into(),
            Identified::Address("10.0.0.1".parse().unwrap())
        )
    );
    assert_eq!(
        found(&env, "member: zot-2\n"),
        ("zot-2".into(), Identified::File)
    );
    env.member_variable = Some("zot-1");
    assert_eq!(
        found(&env, "member: zot-2\n"),
        ("zot-1".into(), Identified::Variable)
    );
    env.member_flag = Some("zot-2");
    assert_eq!(
        found(&env, "member: zot-1\n"),
        ("zot-2".into(), Identified::Flag)
    );
    assert_eq!(
        identify(&offline(&files), "").unwrap(),
        ("zot-1".into(), Identified::Assumed)
    );
}

#[test]
fn unknown_members_are_named_with_their_source() {
    let files = Memory::default();
    let fail = |env: Environment<'_>, more: &str| told(&identify(&env, more).unwrap_err());
    let env = || offline(&files);
    assert_eq!(
        fail(
            Environment {
                member_flag: Some("zot_1"),
                ..env()
            },
            ""
        ),
        "--member: bad value `zot_1`: expected the id of a member (did you mean `zot-1`?)"
    );
    assert_eq!(
        fail(
            Environment {
                member_variable: Some("\u{1b}[2Jx"),
                ..env()
            },
            ""
        ),
        "SHARDLET_MEMBER: bad value `\u{fffd}[2Jx`: expected the id of a member \
         (a member id is made of a-z, 0-9, '.', '_' and '-', and '\\u{1b}' is none of them)"
    );
    // Even if it is overruled.
    assert_eq!(
        fail(
            Environment {
                member_flag: Some("zot-1"),
                ..env()
            },
            "member: other\n"
        ),
        "etc/proxy.yaml:7:9: bad value `other` for `member`: expected the id of a member (the members are zot-1, zot-2)"
    );
    let error = fail(
        Environment {
            surroundings: Some(&NOBODY),
            ..env()
        },
        "",
    );
    assert!(
        error.starts_with("etc/proxy.yaml: cannot tell which member this is: no member"),
        "{error}"
    );
    assert!(
        error.ends_with(
            "(name it: `--member ID`, the variable SHARDLET_MEMBER, or `member: ID` in the file)"
        ),
        "{error}"
    );
}

/// A machine whose name is published at the third look.
#[derive(Default)]
struct Late(std::cell::Cell<u32>);

impl Surroundings for Late {
    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        NOBODY.addresses()
    }

    fn host_name(&self) -> io::Result<String> {
        Ok("host".to_owned())
    }

    fn resolve(&self, names: &[&str]) -> Resolved {
        let host = Host {
            names: &[("zot-2", "127.0.0.1")],
            ..NOBODY
        };
        if self.0.get() < 2 { NOBODY } else { host }.resolve(names)
    }

    fn wait_for_names(&self, looks: u32, why: &Unidentified) -> bool {
        assert!(
            why.to_string().contains("zot-2:5443: no such name"),
            "{why}"
        );
        assert_eq!(looks, self.0.get());
        self.0.set(looks + 1);
        true
    }
}

#[test]
fn a_member_waits_for_names_and_for_nothing_else() {
    let files = Memory::default();
    let late = Late::default();
    let env = Environment {
        surroundings: Some(&late),
        ..offline(&files)
    };
    // Another member's address rules itself out. By elimination it would be zot-2 at the first look; but
    // then it would be zot-2 on every machine that no member is on.
    let text = minimal("").replace("zot-1:5443", "10.0.0.9:5443");
    let config = load(&text, &source(), &env).unwrap();
    let by = Identified::Address("127.0.0.1".parse().unwrap());
    assert_eq!(
        (config.view.members().local().get(), config.identified),
        (1, by)
    );
    assert_eq!(late.0.get(), 2);

    // No name can tell any more.
    let text = text.replace("zot-2:5443", "10.0.0.8:5443");
    let error = load(&text, &source(), &env).unwrap_err().to_string();
    assert!(
        error.contains("no member has an address of this machine"),
        "{error}"
    );
    assert_eq!(late.0.get(), 2);
}
