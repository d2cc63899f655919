//! What clients and replicas see of a cluster, situation by situation: the rows of
//! docs/behaviour.md, each with its test.

// A test that meets what it does not expect has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../cluster/mod.rs"]
mod cluster;

mod access_log;
mod bodies;
mod certificates;
mod circuit;
mod connections;
mod cuts;
mod drain;
mod front;
mod gate;
mod handover;
mod headers;
mod hold;
mod hold_clients;
mod hold_many;
mod hostile;
mod http2;
mod http2_abuse;
mod http2_reads;
mod leases;
mod lifecycle;
mod links;
mod moves;
mod names;
mod owner_down;
mod peers;
mod queue;
mod reload;
mod rolling;
mod routing;
mod shown;
mod slow;
mod smuggling;
mod takeover;
mod traces;
mod transfers;

/// The table and the tests are one thing.
#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    use std::collections::BTreeSet;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("docs/behaviour.md")).unwrap();
    let test_of = |row: &str| {
        row.trim_end_matches("` |")
            .rsplit_once('`')
            .unwrap()
            .1
            .to_owned()
    };
    let rows: BTreeSet<String> = page
        .lines()
        .filter(|line| line.ends_with("` |") && line.contains("::"))
        .map(test_of)
        .collect();
    let mut tests = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join("tests/behaviour")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let functions = text.split("#[tokio::test]\nasync fn ").skip(1);
        tests.extend(functions.map(|text| format!("{room}::{}", text.split('(').next().unwrap())));
    }
    // What this test says of itself is no test of a row.
    tests.retain(|test| !test.starts_with("main::"));
    assert!(tests.len() > 50);
    let lone: Vec<_> = rows.symmetric_difference(&tests).collect();
    assert!(
        lone.is_empty(),
        "a row without a test, or a test without a row: {lone:?}"
    );
}

/// What every restart in the tests rests on.
#[tokio::test]
async fn a_reserved_port_is_for_its_member_alone() {
    use tokio::net::{TcpSocket, TcpStream};
    let (_held, address) = cluster::reserve(std::net::Ipv4Addr::LOCALHOST.into());
    for _ in 0..2 {
        assert!(TcpSocket::new_v4().unwrap().bind(address).is_err());
        let member = TcpSocket::new_v4().unwrap();
        member.set_reuseaddr(true).unwrap();
        member.bind(address).unwrap();
        let listener = member.listen(1).unwrap();
        TcpStream::connect(address).await.unwrap();
        drop(listener);
    }
}
