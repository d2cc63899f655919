//! Repositories where nobody looks for them.

use super::*;

/// What a registry behind a path prefix would take for a repository.
#[test]
fn repositories_behind_a_prefix_are_not_found() {
    #[rustfmt::skip]
    assert_refused(RouteError::UnknownEndpoint, &[
        "/x/v2/a/manifests/b", "/x/y/v2/a/blobs/uploads/", "/x/y%2Fv2%2fa/tags%2Flist", "/v2x/v2/v2/a/manifests/b",
    ]);
}
