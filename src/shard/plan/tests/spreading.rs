//! `reads.blobs: any`.

use super::*;

#[test]
fn whole_blobs_are_spread_where_the_operator_says_so() {
    const SPREAD: Case = Case {
        path: BLOB_OF_A,
        policy: SPREADING,
        ..ORDINARY
    };
    for (expected, case) in [
        ("spread a", SPREAD),
        (
            "spread a",
            Case {
                down: "a",
                ..SPREAD
            },
        ),
        (
            "local",
            Case {
                path: BLOB_OF_B,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                policy: ORDINARY.policy,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                ranged: true,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                method_is_get: false,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                access: Write,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                path: MANIFEST_OF_A,
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                path: "/v2/a/blobs/uploads/s",
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                path: "/v2/a/blobs/uploads/",
                ..SPREAD
            },
        ),
        (
            "forward a",
            Case {
                down: "b",
                ..SPREAD
            },
        ),
        (
            "misdirected, owner a",
            Case {
                arrival: Peer,
                ..SPREAD
            },
        ),
    ] {
        assert_eq!(case.plan(), expected);
    }
}
