//! Certificates change while members run.

use std::io;
use std::net::SocketAddr;

use crate::cluster::authority::{Authority, Signed};
use crate::cluster::bad_pairs;
use crate::cluster::client::certificate_shown;
use crate::cluster::{Cluster, Plan, Request, eventually};

fn reloads(certificate: &str, result: &str) -> String {
    format!("shardlet_tls_reloads_total{{certificate=\"{certificate}\",result=\"{result}\"}}")
}

/// The certificate that a client listener shows.
async fn shown(cluster: &Cluster, address: SocketAddr) -> io::Result<Vec<u8>> {
    certificate_shown(address, cluster.authority.client(None, &["http/1.1"])).await
}

async fn write_through(cluster: &Cluster, sidecar: usize, owner: usize) -> u16 {
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(owner));
    cluster
        .at(sidecar)
        .ask(Request::new("PUT", &target).body("x"))
        .await
        .status
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not_taken() {
    let cluster = Cluster::start(Plan::of(1).client_tls()).await;
    let address = cluster.at(0).addresses().clients;
    let mut open = cluster.at(0).connect().await;
    let old = shown(&cluster, address).await.unwrap();

    let renewed = cluster
        .authority
        .sign(&[cluster.plan().other_ip().to_string()]);
    renewed.write(cluster.folder.path(), "server");
    eventually("the new certificate to be shown", async || {
        shown(&cluster, address).await.unwrap() == renewed.der().as_ref()
    })
    .await;
    assert_ne!(old, renewed.der().as_ref());
    assert_eq!(
        open.ask(&Request::get("/v2/")).await.status,
        200,
        "open connections go on"
    );

    let taken = cluster.at(0).metric(&reloads("clients", "ok"));
    assert!(taken >= 1.0, "{taken}");
    std::fs::write(cluster.folder.path().join("server.crt"), "no certificate").unwrap();
    eventually("the broken file to be counted", async || {
        cluster.at(0).metric(&reloads("clients", "error")) >= 1.0
    })
    .await;
    assert_eq!(
        shown(&cluster, address).await.unwrap(),
        renewed.der().as_ref()
    );
}

#[tokio::test]
async fn a_pair_that_peers_would_refuse_is_never_taken() {
    // Each of the first eight gets a pair of its own kind.
    let cluster = Cluster::start(Plan::of(9)).await;
    let (folder, plan) = (cluster.folder.path(), cluster.plan());
    let names = |index: usize| vec![plan.id(index), plan.ip().to_string()];
    let caller = cluster.authority.sign(&names(8));
    let caller = cluster.authority.client(Some(&caller), &["http/1.1"]);
    let shown = async |index: usize| {
        let address = plan.peer_address(index);
        certificate_shown(address, caller.clone()).await.unwrap()
    };
    let mut before = Vec::new();
    for index in 0..8 {
        before.push(shown(index).await);
        let bad = &bad_pairs::all(&cluster.authority, &names(index))[index];
        bad.write(folder, &plan.id(index));
    }
    for (index, before) in before.iter().enumerate() {
        let bad = &bad_pairs::all(&cluster.authority, &names(index))[index];
        let (kind, member) = (bad.kind, cluster.at(index));
        eventually(&format!("the {kind} to be refused"), async || {
            member.warnings().contains(bad.reason)
        })
        .await;
        let (file, warnings) = (
            format!("{}.{}", plan.id(index), bad.file),
            member.warnings(),
        );
        assert!(warnings.contains(&file), "{kind}: {warnings}");
        assert!(member.metric(&reloads("member", "error")) >= 1.0, "{kind}");

        // It goes on with the one before, on new connections too.
        assert_eq!(shown(index).await, *before, "{kind}");
        assert_eq!(write_through(&cluster, 8, index).await, 201, "{kind}");
        assert_eq!(write_through(&cluster, index, 8).await, 201, "{kind}");

        let reloaded = member.server.reload().await;
        assert!(!reloaded.taken, "{kind}");
        let problems = reloaded.problems.join("\n");
        assert!(problems.contains(bad.reason), "{kind}: {problems}");
        let error = member.start_error().await;
        assert!(
            error.contains(bad.reason) && error.contains(&file),
            "{kind}: {error}"
        );
    }
    for index in 0..8 {
        let good = cluster.authority.sign(&names(index));
        good.write(folder, &plan.id(index));
        eventually("a good pair to be taken", async || {
            let member = cluster.at(index);
            member.warnings().is_empty() && member.metric(&reloads("member", "ok")) >= 1.0
        })
        .await;
        assert_eq!(shown(index).await, good.der().as_ref());
    }
}

#[tokio::test]
async fn an_expired_certificate_for_clients_keeps_nobody_away() {
    let mut cluster = Cluster::start(Plan::of(1).client_tls()).await;
    let names = [cluster.plan().other_ip().to_string()];
    let expired = &bad_pairs::all(&cluster.authority, &names)[1];
    assert_eq!(expired.kind, "expired");
    expired.write(cluster.folder.path(), "server");
    eventually("the expired pair to be refused", async || {
        cluster.at(0).warnings().contains(expired.reason)
    })
    .await;
    // It is worse than the one in use, which a reload keeps too.
    assert!(!cluster.at(0).server.reload().await.taken);

    // A start has no other, and the files do not change afterwards.
    cluster.stop(0).await;
    cluster.restart_alone(0).await;
    let member = cluster.at(0);
    let warnings = member.warnings();
    let told = format!("the certificate (clients) {}", expired.reason);
    assert!(warnings.contains(&told), "{warnings}");
    let reloaded = member.server.reload().await;
    assert!(reloaded.taken, "{:?}", reloaded.problems);
    assert!(!member.warnings().contains("not taken"));

    let good = cluster.authority.sign(&names);
    good.write(cluster.folder.path(), "server");
    eventually("a good pair to be taken", async || {
        member.warnings().is_empty() && member.metric(&reloads("clients", "ok")) >= 1.0
    })
    .await;
    assert_eq!(member.metric(&reloads("clients", "error")), 0.0);
}

#[tokio::test]
async fn members_move_to_a_new_authority_without_a_pause() {
    let cluster = Cluster::start(Plan::of(2)).await;
    let folder = cluster.folder.path();
    let next = Authority::new("next authority");
    let sign = |authority: &Authority, index: usize| -> Signed {
        authority.sign(&[cluster.plan().id(index), cluster.plan().ip().to_string()])
    };
    let taken = async |times: f64| {
        eventually("both members to take the files", async || {
            let mut all = true;
            for index in 0..2 {
                assert_eq!(write_through(&cluster, index, 1 - index).await, 201);
                all &= cluster.at(index).metric(&reloads("member", "ok")) >= times;
            }
            all
        })
        .await;
    };
    assert_eq!(write_through(&cluster, 0, 1).await, 201);
    std::fs::write(folder.join("ca.crt"), cluster.authority.pem() + &next.pem()).unwrap();
    taken(1.0).await;
    for index in 0..2 {
        sign(&next, index).write(folder, &cluster.plan().id(index));
    }
    taken(2.0).await;
    next.write(&folder.join("ca.crt"));
    taken(3.0).await;

    let old = sign(&cluster.authority, 0);
    let config = next.client(Some(&old), &["http/1.1"]);
    let connection =
        crate::cluster::Connection::open_tls(cluster.plan().peer_address(1), config).await;
    if let Ok(mut connection) = connection {
        connection.send(Request::get("/v2/").bytes()).await;
        assert!(
            !connection.speaks().await,
            "the old authority is not believed any more"
        );
    }
    assert_eq!(cluster.at(0).metric(&reloads("member", "error")), 0.0);
}

#[tokio::test]
async fn a_certificate_may_carry_the_id_or_the_host() {
    for names in [&["zot-2"][..], &["IP"]] {
        let plan = Plan::of(2).certificate_of(1, names);
        let cluster = Cluster::start(plan).await;
        assert_eq!(write_through(&cluster, 0, 1).await, 201, "{names:?}");
        assert_eq!(write_through(&cluster, 1, 0).await, 201, "{names:?}");
        assert_eq!(cluster.replica(1).requests().len(), 1, "{names:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_member_is_not_the_owners() {
    let cluster = Cluster::start(Plan::of(3).certificate_of(1, &["zot-3"])).await;
    for _ in 0..3 {
        assert_eq!(write_through(&cluster, 0, 1).await, 502);
    }
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}
