//! Routes without a repository.

use super::*;

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
            let case = Case {
                path,
                sticky,
                down,
                ..ORDINARY
            };
            assert_eq!(
                case.plan(),
                expected,
                "{path} sticky {sticky:?} down {down:?}"
            );
        }
    }
}

#[test]
fn private_routes_are_closed_to_all() {
    for path in ["/metrics", "/v2/_zot/pprof/heap", "/swagger/v2/index.html"] {
        for access in [Read, Write] {
            assert_eq!(
                Case {
                    path,
                    access,
                    sticky: "a",
                    ..ORDINARY
                }
                .plan(),
                "private"
            );
        }
    }
}
