mod case;

use case::{read, write};

use super::*;

const MANIFEST_OF_A: &str = "/v2/a/x/manifests/1";
const MANIFEST_OF_B: &str = "/v2/b/x/manifests/1";
const BLOB_OF_A: &str = "/v2/a/x/blobs/sha256:1";
const BLOB_OF_B: &str = "/v2/b/x/blobs/sha256:1";

#[test]
fn a_clients_request_goes_to_the_owner() {
    for (expected, case) in [
        ("local", read(MANIFEST_OF_B)),
        ("local", write(MANIFEST_OF_B)),
        ("local", read(MANIFEST_OF_B).down("ac")),
        ("forward a", read(MANIFEST_OF_A)),
        ("forward a", write(MANIFEST_OF_A)),
        ("forward a", read(MANIFEST_OF_A).sticky("c")),
        ("forward c", read("/v2/c/tags/list")),
        // The local replica is not needed for a forward.
        ("forward a", read(MANIFEST_OF_A).down("bc")),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn reads_fall_back_and_writes_do_not() {
    for (expected, case) in [
        ("fallback a", read(MANIFEST_OF_A).down("a")),
        ("fallback a", read(MANIFEST_OF_A).down("a").not_get()),
        ("fallback a", read(BLOB_OF_A).down("ac").ranged()),
        ("owner a down", write(MANIFEST_OF_A).down("a")),
        ("owner a down", write(MANIFEST_OF_A).down("a").spreading()),
        ("owner a down", read(MANIFEST_OF_A).down("a").rejecting()),
        ("owner a down", read(MANIFEST_OF_A).down("ab")),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn reads_of_ours_fall_back_to_a_peer_while_our_replica_is_down() {
    for (expected, case) in [
        // The next peer in order, then from the start.
        ("fallback to peer c", read(MANIFEST_OF_B).down("b")),
        ("fallback to peer a", read(MANIFEST_OF_B).down("bc")),
        ("replica down", read(MANIFEST_OF_B).down("abc")),
        (
            "fallback to peer c",
            read(MANIFEST_OF_B).down("b").not_get(),
        ),
        ("fallback to peer c", read(BLOB_OF_B).down("b").spreading()),
        ("fallback to peer c", read(BLOB_OF_B).down("b").sticky("a")),
        // Rather one that stays.
        (
            "fallback to peer a",
            read(MANIFEST_OF_B).down("b").draining("c"),
        ),
        (
            "fallback to peer c",
            read(MANIFEST_OF_B).down("b").draining("ac"),
        ),
        (
            "fallback to peer c",
            read(MANIFEST_OF_B).down("ab").draining("c"),
        ),
        ("replica down", read(MANIFEST_OF_B).down("b").rejecting()),
        ("replica down", write(MANIFEST_OF_B).down("b")),
        // No client asks us to stand in for anybody.
        (
            "fallback to peer c",
            read(MANIFEST_OF_B).down("b").fallback(),
        ),
        ("replica down", write(MANIFEST_OF_B).down("b").fallback()),
        ("forward a", read(MANIFEST_OF_A).fallback()),
        ("local", read(MANIFEST_OF_B).fallback()),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn we_stand_in_for_an_owner_that_asks_us_to() {
    let asked = |path| read(path).peer().fallback();
    for (expected, case) in [
        ("fallback a", asked(MANIFEST_OF_A)),
        ("fallback a", asked(MANIFEST_OF_A).down("a")),
        ("fallback a", asked(MANIFEST_OF_A).draining("b")),
        ("fallback c", asked("/v2/c/tags/list")),
        ("fallback a", asked(BLOB_OF_A).spreading().ranged()),
        ("replica down", asked(MANIFEST_OF_A).down("b")),
        ("owner a down", asked(MANIFEST_OF_A).rejecting()),
        ("owner a down", asked(MANIFEST_OF_A).rejecting().down("b")),
        // What is ours we serve anyhow.
        ("local", asked(MANIFEST_OF_B)),
        ("local", asked(MANIFEST_OF_B).rejecting()),
        ("replica down", asked(MANIFEST_OF_B).down("b")),
        // Nobody stands in for writes, nor where there is no owner.
        (
            "misdirected, owner a",
            write(MANIFEST_OF_A).peer().fallback(),
        ),
        ("local", write(MANIFEST_OF_B).peer().fallback()),
        ("local", asked("/v2/")),
        ("replica down", asked("/v2/").down("b")),
        ("private", asked("/metrics")),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn who_is_draining_is_spared_what_another_can_do() {
    for (expected, case) in [
        ("fallback a", read(MANIFEST_OF_A).draining("a")),
        ("forward a", write(MANIFEST_OF_A).draining("a")),
        ("forward a", read(MANIFEST_OF_A).draining("a").down("b")),
        ("forward a", read(MANIFEST_OF_A).draining("a").rejecting()),
        ("spread a", read(BLOB_OF_A).draining("a").spreading()),
        ("local", read("/v2/").sticky("c").draining("c")),
        ("forward a", read("/v2/").down("b").draining("c")),
        ("forward c", read("/v2/").down("b").draining("ac")),
        (
            "forward a",
            read("/v2/").sticky("a").down("b").draining("ac"),
        ),
        ("forward c", read("/v2/").sticky("c").draining("a")),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn whole_blobs_are_spread_where_the_operator_says_so() {
    for (expected, case) in [
        ("spread a", read(BLOB_OF_A).spreading()),
        ("spread a", read(BLOB_OF_A).spreading().down("a")),
        ("local", read(BLOB_OF_B).spreading()),
        ("forward a", read(BLOB_OF_A)),
        ("forward a", read(BLOB_OF_A).spreading().ranged()),
        ("forward a", read(BLOB_OF_A).spreading().not_get()),
        ("forward a", write(BLOB_OF_A).spreading()),
        ("forward a", read(MANIFEST_OF_A).spreading()),
        ("forward a", read("/v2/a/blobs/uploads/s").spreading()),
        ("forward a", read("/v2/a/blobs/uploads/").spreading()),
        ("forward a", read(BLOB_OF_A).spreading().down("b")),
        ("misdirected, owner a", read(BLOB_OF_A).spreading().peer()),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn a_peers_request_is_served_here_or_nowhere() {
    for (expected, case) in [
        ("local", read(MANIFEST_OF_B).peer()),
        ("local", write(MANIFEST_OF_B).peer()),
        ("replica down", read(MANIFEST_OF_B).peer().down("b")),
        ("misdirected, owner a", read(MANIFEST_OF_A).peer()),
        ("misdirected, owner a", read(MANIFEST_OF_A).peer().down("a")),
        ("local", read("/v2/").peer()),
        ("local", read("/home").peer().sticky("c")),
        ("replica down", read("/v2/").peer().down("b")),
        ("private", read("/metrics").peer()),
    ] {
        assert_eq!(case.plan(), expected, "{case:?}");
    }
}

#[test]
fn routes_without_a_repository_stay_where_the_cookie_says() {
    for path in [
        "/v2/",
        "/v2/_catalog",
        "/v2/_zot/ext/search",
        "/zot/auth/login",
        "/home",
    ] {
        for (expected, sticky, down) in [
            ("local", "", ""),
            ("local", "b", ""),
            ("forward c", "c", ""),
            ("forward c", "c", "b"),
            ("local", "c", "c"),
            // The next peer in order, then from the start.
            ("forward c", "", "b"),
            ("forward c", "b", "b"),
            ("forward a", "", "bc"),
            ("forward a", "c", "bc"),
            ("replica down", "", "abc"),
        ] {
            let case = read(path).sticky(sticky).down(down);
            assert_eq!(case.plan(), expected, "{case:?}");
        }
    }
}

#[test]
fn private_routes_are_closed_to_all() {
    for path in ["/metrics", "/v2/_zot/pprof/heap", "/swagger/v2/index.html"] {
        for case in [read(path), write(path), read(path).sticky("a")] {
            assert_eq!(case.plan(), "private", "{case:?}");
        }
    }
}

#[test]
fn a_member_without_a_verdict_is_tried() {
    assert_eq!(
        write(MANIFEST_OF_A).plan_with(|_| Health::Unknown),
        "forward a"
    );
    assert_eq!(write(MANIFEST_OF_B).plan_with(|_| Health::Unknown), "local");
}
