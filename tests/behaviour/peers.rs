//! Who may speak as a peer, and what happens when two members' views differ.

use crate::cluster::authority::{Authority, Signed};
use crate::cluster::{Cluster, Connection, Plan, Request};

const VIEW: &str = "X-Shardlet-View";

/// A connection to a member's peer listener as somebody with this certificate.
async fn as_peer(
    cluster: &Cluster,
    index: usize,
    shown: Option<&Signed>,
) -> std::io::Result<Connection> {
    let config = cluster.authority.client(shown, &["http/1.1"]);
    Connection::open_tls(cluster.plan().peer_address(index), config).await
}

fn member_certificate(cluster: &Cluster) -> Signed {
    cluster.authority.sign(&["zot-1".into()])
}

fn own_view(cluster: &Cluster, index: usize) -> String {
    cluster
        .at(index)
        .generation()
        .view
        .fingerprint()
        .to_string()
}

/// A repository that the first member sends to the second, which sees another owner.
fn disputed(cluster: &Cluster) -> String {
    let second = cluster.at(1).generation();
    let not_its_own = |name: &String| {
        let repository = shardlet::shard::Repository::parse(name).unwrap();
        second.view.owner(&repository).get() != 1
    };
    cluster.repositories_of(1).find(not_its_own).unwrap()
}

fn of_two_views() -> Plan {
    Plan::of(3).set_at(1, "cluster", "hash_key: ffffffffffffffffffffffffffffffff")
}

#[tokio::test]
async fn a_peer_that_takes_us_for_the_owner_is_told_our_view() {
    let cluster = Cluster::of_three().await;
    let shown = member_certificate(&cluster);
    let mut peer = as_peer(&cluster, 1, Some(&shown)).await.unwrap();
    let other = cluster.repository_of(2);
    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::new(method, &format!("/v2/{other}/manifests/latest"))
            .field(VIEW, &own_view(&cluster, 0))
            .body("");
        let answer = peer.ask(&request).await;
        assert_eq!(answer.refused(), (421, "misdirected".into()));
        assert_eq!(answer.field(VIEW), Some(&*own_view(&cluster, 1)));
        let error = answer.oci_error();
        assert_eq!(error["detail"]["view"], own_view(&cluster, 1));
        assert_eq!(error["detail"]["owner"], "zot-3");
    }
    let own = cluster.repository_of(1);
    let request = Request::get(&format!("/v2/{own}/tags/list")).field(VIEW, &own_view(&cluster, 0));
    assert_eq!(peer.ask(&request).await.field("x-replica"), Some("zot-2"));
    assert_eq!(cluster.requests_elsewhere(1), 0);
}

#[tokio::test]
async fn a_peer_request_without_the_fields_of_a_member_is_refused() {
    let cluster = Cluster::of_three().await;
    let shown = member_certificate(&cluster);
    let mut peer = as_peer(&cluster, 1, Some(&shown)).await.unwrap();
    let own = cluster.repository_of(1);
    let answer = peer
        .ask(&Request::get(&format!("/v2/{own}/tags/list")))
        .await;
    assert_eq!(answer.refused(), (400, "peer_fields".into()));
    assert_eq!(cluster.replica(1).requests().len(), 0);
}

#[tokio::test]
async fn members_that_disagree_on_the_owner_serve_nobody_the_repository() {
    let cluster = Cluster::start(of_two_views().eager_probes()).await;
    let repository = disputed(&cluster);
    // Before, a write is refused as a read is, by the peer.
    crate::cluster::eventually("the other view to be known", async || {
        let metrics = cluster.at(0).metrics();
        metrics.contains("shardlet_peer_view_same{member=\"zot-2\"} 0")
    })
    .await;
    for method in ["PUT", "POST", "PATCH", "DELETE", "GET"] {
        let target = format!("/v2/{repository}/manifests/latest");
        let answer = cluster
            .at(0)
            .ask(Request::new(method, &target).body(""))
            .await;
        // A write would have lost its body by the time the peer refuses it, so it is not sent at all.
        let reason = if method == "GET" {
            "peer_misdirected"
        } else {
            "views_differ"
        };
        assert_eq!(answer.refused(), (503, reason.into()), "{method}");
        assert_eq!(answer.field(VIEW), None, "the view is between members");
    }
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn a_write_in_dispute_is_refused_by_both_owners() {
    let pinned =
        "hash_key: 000102030405060708090a0b0c0d0e0f, pins: [ { prefix: team/, member: zot-2 } ]";
    let plan = Plan::of(3).eager_probes().set_at(1, "cluster", pinned);
    let cluster = Cluster::start(plan).await;
    let disputed = cluster.repository_of(0);
    assert!(disputed.starts_with("team/"));
    let other_names = |name: &String| {
        let repository = shardlet::shard::Repository::parse(name).unwrap();
        cluster.at(0).generation().view.owner(&repository).get() == 0
    };
    let agreed = (0..)
        .map(|number| format!("other/app-{number}"))
        .find(other_names)
        .unwrap();
    let put = async |at: usize, name: &str| {
        let target = format!("/v2/{name}/manifests/latest");
        cluster
            .at(at)
            .ask(Request::new("PUT", &target).body("x"))
            .await
    };
    for at in [0, 1] {
        crate::cluster::eventually("the dispute to be known", async || {
            put(at, &disputed).await.status == 503
        })
        .await;
        let before = cluster.replica(at).requests().len();
        assert_eq!(
            put(at, &disputed).await.refused(),
            (503, "views_differ".into())
        );
        assert_eq!(cluster.replica(at).requests().len(), before);
        assert_eq!(
            cluster
                .at(at)
                .get(&format!("/v2/{disputed}/tags/list"))
                .await
                .status,
            200
        );
        assert_eq!(put(at, &agreed).await.status, 201, "others go on");
    }
}

/// Nobody can compute the other's owners, so any repository may be in dispute.
#[tokio::test]
async fn members_with_another_key_write_nothing_until_they_agree() {
    let mut cluster = Cluster::start(of_two_views().eager_probes()).await;
    let names: Vec<_> = (0..3).map(|owner| cluster.repository_of(owner)).collect();
    let put = async |cluster: &Cluster, at: usize, name: &str| {
        let target = format!("/v2/{name}/manifests/latest");
        let put = Request::new("PUT", &target).body("x");
        cluster.at(at).ask(put).await.status
    };
    crate::cluster::eventually("the views to be told", async || {
        (0..3).all(|at| !cluster.at(at).warnings().is_empty())
    })
    .await;
    for name in &names {
        for at in 0..3 {
            assert_eq!(put(&cluster, at, name).await, 503, "{name} through {at}");
        }
    }
    let read = format!("/v2/{}/tags/list", names[0]);
    assert_eq!(cluster.at(0).get(&read).await.status, 200);

    let same = "hash_key: 000102030405060708090a0b0c0d0e0f";
    assert!(
        cluster
            .reload(1, |plan| plan.set_at(1, "cluster", same))
            .await
            .taken
    );
    for name in &names {
        crate::cluster::eventually("writes to be taken", async || {
            put(&cluster, 2, name).await == 201
        })
        .await;
    }
}

#[tokio::test]
async fn differing_views_are_seen_by_the_probes() {
    let cluster = Cluster::start(of_two_views().eager_probes()).await;
    let same = |peer| format!("shardlet_peer_view_same{{member=\"{peer}\"}}");
    crate::cluster::eventually("the views to be told", async || {
        cluster.at(0).metric(&same("zot-3")) > 0.0
            && cluster.at(1).metrics().contains(&same("zot-1"))
    })
    .await;
    assert!(cluster.at(0).metric(&same("zot-2")) < 1.0);
    assert!(cluster.at(1).metric(&same("zot-1")) < 1.0);
}

#[tokio::test]
async fn a_stranger_at_the_peer_listener_gets_no_answer() {
    let cluster = Cluster::of_three().await;
    let stranger = Authority::new("cluster authority");
    let certificates = [
        ("none", None),
        (
            "by another authority",
            Some(stranger.sign(&["zot-1".into(), cluster.plan().ip().to_string()])),
        ),
        (
            "of no member",
            Some(cluster.authority.sign(&["build-runner".into()])),
        ),
        ("of nobody", Some(cluster.authority.sign(&[]))),
    ];
    let own = cluster.repository_of(1);
    let request = Request::get(&format!("/v2/{own}/tags/list")).field(VIEW, &own_view(&cluster, 0));
    for (which, shown) in &certificates {
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        let Ok(mut connection) = as_peer(&cluster, 1, shown.as_ref()).await else {
            continue;
        };
        connection.send(request.bytes()).await;
        assert!(!connection.speaks().await, "certificate {which}");
    }
    let mut plain = Connection::open(cluster.plan().peer_address(1)).await;
    plain.send(request.bytes()).await;
    let said = plain.until_closed().await;
    assert!(!said.starts_with(b"HTTP/"), "{said:?}");

    assert_eq!(cluster.replica(1).requests().len(), 0);
    let refused =
        |why| format!("shardlet_connections_refused_total{{listener=\"peers\",reason=\"{why}\"}}");
    crate::cluster::eventually("the refusals to be counted", async || {
        cluster.at(1).metric(&refused("not_member")) >= 2.0
            && cluster.at(1).metric(&refused("tls")) >= 3.0
    })
    .await;
}

#[tokio::test]
async fn members_without_tls_forward_too() {
    let cluster = Cluster::start(Plan::of(3).insecure()).await;
    for owner in 0..3 {
        let repository = cluster.repository_of(owner);
        let answer = cluster
            .at(0)
            .get(&format!("/v2/{repository}/tags/list"))
            .await;
        assert_eq!(answer.field("x-replica"), Some(&*cluster.plan().id(owner)));
    }
}
