mod hidden;

use super::*;
use crate::shard::repository::NameError;

fn route(path: &str) -> Result<Route<'_>, RouteError> {
    parse(path)
}

fn manifest(reference: &str) -> Resource<'_> {
    Resource::Manifest { reference }
}

fn blob(digest: &str) -> Resource<'_> {
    Resource::Blob { digest }
}

fn upload(session: &str) -> Resource<'_> {
    Resource::Upload { session }
}

fn referrers(digest: &str) -> Resource<'_> {
    Resource::Referrers { digest }
}

fn assert_read(rows: &[(&str, &str, Resource<'_>)]) {
    for &(path, name, resource) in rows {
        let repository = Repository::parse(name).unwrap();
        let expected = Route::Repository {
            repository,
            resource,
        };
        assert_eq!(route(path), Ok(expected), "{path}");
    }
}

#[test]
fn repository_endpoints_are_read() {
    assert_read(&[
        ("/v2/a/manifests/latest", "a", manifest("latest")),
        (
            "/v2/library/alpine/manifests/sha256:0a",
            "library/alpine",
            manifest("sha256:0a"),
        ),
        ("/v2/a/b/c/blobs/sha256:0a", "a/b/c", blob("sha256:0a")),
        ("/v2/a/blobs/uploads/", "a", Resource::UploadStart),
        ("/v2/a/blobs/uploads", "a", Resource::UploadStart),
        ("/v2/a/blobs/uploads/0-9_x.y=", "a", upload("0-9_x.y=")),
        ("/v2/a/tags/list", "a", Resource::Tags),
        ("/v2/a/referrers/sha256:0a", "a", referrers("sha256:0a")),
    ]);
}

#[test]
fn keywords_are_legal_components_of_names() {
    assert_read(&[
        (
            "/v2/manifests/manifests/manifests",
            "manifests",
            manifest("manifests"),
        ),
        ("/v2/blobs/blobs/uploads", "blobs", Resource::UploadStart),
        (
            "/v2/blobs/uploads/blobs/uploads/",
            "blobs/uploads",
            Resource::UploadStart,
        ),
        (
            "/v2/blobs/uploads/blobs/uploads/x",
            "blobs/uploads",
            upload("x"),
        ),
        ("/v2/a/blobs/uploads/blobs/x", "a/blobs/uploads", blob("x")),
        (
            "/v2/a/blobs/uploads/tags/list",
            "a/blobs/uploads",
            Resource::Tags,
        ),
        ("/v2/tags/list/tags/list", "tags/list", Resource::Tags),
        (
            "/v2/a/manifests/x/referrers/y",
            "a/manifests/x",
            referrers("y"),
        ),
        ("/v2/v2/a/manifests/x", "v2/a", manifest("x")),
        (
            "/v2/uploads/manifests/uploads",
            "uploads",
            manifest("uploads"),
        ),
    ]);
}

#[test]
fn clients_may_escape_the_colon_and_plus_of_digests() {
    assert_read(&[
        ("/v2/a/blobs/sha256%3Aabc", "a", blob("sha256%3Aabc")),
        (
            "/v2/a/manifests/sha256%3aabc",
            "a",
            manifest("sha256%3aabc"),
        ),
        (
            "/v2/a/blobs/sha256%2Bb64%3Aabc",
            "a",
            blob("sha256%2Bb64%3Aabc"),
        ),
        ("/v2/a/blobs/uploads/x%2b", "a", upload("x%2b")),
    ]);
}

#[test]
fn routes_without_a_repository_are_told_apart() {
    use RegistryRoute::{Base, Catalog, Extension, Health, Token};
    for (path, expected) in [
        ("/v2", Route::Registry(Base)),
        ("/v2/", Route::Registry(Base)),
        ("/v2/_catalog", Route::Registry(Catalog)),
        ("/v2/_oci/ext/discover", Route::Registry(Extension)),
        ("/v2/_zot/ext/search", Route::Registry(Extension)),
        ("/v2/_zot/ext/search/", Route::Registry(Extension)),
        ("/v2/_zot/ext/userprefs", Route::Registry(Extension)),
        ("/v2/_zot/ext/mgmt", Route::Registry(Extension)),
        ("/zot/auth/token", Route::Registry(Token)),
        ("/zot/auth/apikey", Route::Registry(Token)),
        ("/readyz", Route::Registry(Health)),
        ("/v2/_zot/pprof/", Route::Private),
        ("/v2/_zot/pprof/heap", Route::Private),
        ("/v2/_zot/debug/graphql-playground", Route::Private),
        ("/v2/_zot/whatever", Route::Private),
        ("/v2/_zot", Route::Private),
        ("/metrics", Route::Private),
        ("/metrics/x", Route::Private),
        ("/metricsx", Route::Private),
        ("/swagger/v2/index.html", Route::Private),
        ("/", Route::Session),
        ("/zot/auth/login", Route::Session),
        ("/zot/auth/logout", Route::Session),
        ("/zot/auth/callback/oidc", Route::Session),
        ("/home", Route::Session),
        ("/login/", Route::Session),
        ("/static/js/main.0a1b.js", Route::Session),
        ("/image/library%2Falpine/tag/3.20", Route::Session),
        ("/image/caf%C3%A9%3A1", Route::Session),
        ("/v2x", Route::Session),
        ("/v2.0/a/manifests/x", Route::Session),
        ("/V2/a/manifests/x", Route::Session),
        ("/image/v2%2Fapp/tag/1", Route::Session),
    ] {
        assert_eq!(route(path), Ok(expected), "{path}");
    }
}

fn assert_refused(error: RouteError, paths: &[&str]) {
    for path in paths {
        assert_eq!(route(path), Err(error), "{path:?}");
    }
}

#[test]
fn only_origin_form_is_read() {
    let paths = ["", "*", "v2/a/manifests/x", "http://h/v2/a/manifests/x"];
    assert_refused(RouteError::NotOriginForm, &paths);
}

/// Registries clean such paths, and some route what comes out.
#[test]
fn unclean_paths_are_refused() {
    #[rustfmt::skip]
    assert_refused(RouteError::EmptyComponent, &[
        "//v2/a/manifests/x", "/v2//a/manifests/x", "/v2/a/manifests//x", "/v2/a/blobs/uploads//", "/home//",
        "/image/%2Fv2/x", "/image/a%2F%2fb",
    ]);
    #[rustfmt::skip]
    assert_refused(RouteError::DotComponent, &[
        "/./v2/a/manifests/x", "/x/../v2/a/manifests/x", "/v2/a/../b/manifests/x", "/v2/a/manifests/..",
        "/v2/a/manifests/.", "/home/.", "/x/a%2F..%2F..%2Fv2/x",
    ]);
}

#[test]
fn escapes_that_could_hide_something_are_refused() {
    #[rustfmt::skip]
    assert_refused(RouteError::PercentEncoded, &[
        // In the component that says whether the path is under /v2.
        "/%76%32/x/manifests/y", "/v%32/x/manifests/y", "/v2%2Fx/manifests/y", "/%2Fv2/x/manifests/y",
        "/x%2F..%2Fv2/x/manifests/y", "/%6detrics", "/explore%20all",
        // Dots, other escapes, what ends a component or a path for somebody.
        "/x/%2e%2e/v2/x/manifests/y", "/image/%61", "/image/a%252Fb", "/image/a%5Cb", "/x/..%3By/v2/a/tags/list",
        "/x/..%3F", "/image/a%23b", "/image/a%00b", "/image/a%7f",
        // No escapes at all.
        "/image/a%", "/image/a%2", "/image/a%zz", "/image/a%+1", "/v2/a/manifests/%", "/v2/a/manifests/x%3",
        // Under /v2, all but the colon and plus of the last component.
        "/v2/%5fzot/pprof/", "/v2/_zot%2Fpprof/heap", "/v2/a%2Fb/manifests/x", "/v2/a%3Ab/manifests/x",
        "/v2/a/manifests%3A/x", "/v2/a/manifests/x%2Fy", "/v2/a/manifests/%2e%2e", "/v2/a/manifests/x%25",
    ]);
}

#[test]
fn bytes_that_must_be_escaped_are_refused() {
    for (path, byte, position) in [
        ("/v2/a/manifests/x;y", b';', 17),
        ("/v2/a;b/manifests/x", b';', 5),
        ("/v2/a\\b/manifests/x", b'\\', 5),
        ("/v2/a/manifests/x y", b' ', 17),
        ("/v2/a/manifests/x\0", 0, 17),
        ("/v2/a/manifests/x\r\n", b'\r', 17),
        ("/v2/a/manifests/x\u{7f}", 0x7f, 17),
        ("/v2/a/manifests/é", 0xc3, 16),
        ("/v2/a/manifests/x?n=1", b'?', 17),
        ("/home#x", b'#', 5),
        // A quote makes Go's EscapedPath decode and re-encode the whole path.
        ("/image/a%2Fb\"", b'"', 12),
        ("/home/{x}", b'{', 6),
    ] {
        assert_refused(RouteError::ForbiddenByte { byte, position }, &[path]);
    }
    let error = RouteError::ForbiddenByte {
        byte: 0xc3,
        position: 16,
    };
    assert_eq!(parse("/v2/a/manifests/\u{ff}"), Err(error));
}

#[test]
fn names_outside_the_grammar_are_refused() {
    for (path, reason) in [
        (
            "/v2/Library/alpine/manifests/x",
            NameError::Uppercase { position: 0 },
        ),
        ("/v2/a..b/manifests/x", NameError::Separator { position: 2 }),
        (
            "/v2/localhost:5000/a/manifests/x",
            NameError::Byte {
                byte: b':',
                position: 9,
            },
        ),
    ] {
        assert_refused(RouteError::InvalidName { reason }, &[path]);
    }
}

#[test]
fn what_is_no_endpoint_is_not_found() {
    #[rustfmt::skip]
    assert_refused(RouteError::UnknownEndpoint, &[
        "/v2/manifests/x", "/v2/blobs/uploads/", "/v2/blobs/uploads/x", "/v2/a", "/v2/a/b", "/v2/a/b/c",
        "/v2/a/tags/other", "/v2/a/tags/list/", "/v2/a/manifests/x/", "/v2/a/manifests/", "/v2/a/uploads/x",
        "/v2/_catalog/", "/v2/_other/manifests/x", "/v2/_oci",
    ]);
}

#[test]
fn answers_use_the_codes_of_the_spec() {
    for (path, status, code, message) in [
        (
            "/v2/A/manifests/x",
            400,
            "NAME_INVALID",
            "the repository name has an upper-case letter at byte 0",
        ),
        (
            "/v2/a%2Fb/manifests/x",
            400,
            "NAME_INVALID",
            "the path has a percent escape where none may stand",
        ),
        (
            "/v2/a/nothing",
            404,
            "UNSUPPORTED",
            "the path is no endpoint of a registry",
        ),
        (
            "/v2/a;b",
            400,
            "NAME_INVALID",
            "the path has the forbidden byte 0x3b at byte 5",
        ),
        (
            "*",
            400,
            "UNSUPPORTED",
            "the request target does not begin with a slash",
        ),
    ] {
        let error = route(path).unwrap_err();
        assert_eq!(
            (error.status(), error.code(), error.to_string().as_str()),
            (status, code, message)
        );
    }
}

#[test]
fn operations_are_named() {
    for (method, path, name) in [
        ("GET", "/v2/", "base"),
        ("GET", "/v2/_catalog", "catalog"),
        ("GET", "/v2/_zot/ext/search", "extension"),
        ("POST", "/zot/auth/token", "token"),
        ("GET", "/v2/a/manifests/x", "manifest_get"),
        ("HEAD", "/v2/a/manifests/x", "manifest_head"),
        ("PUT", "/v2/a/manifests/x", "manifest_put"),
        ("DELETE", "/v2/a/manifests/x", "manifest_delete"),
        ("GET", "/v2/a/blobs/x", "blob_get"),
        ("HEAD", "/v2/a/blobs/x", "blob_head"),
        ("DELETE", "/v2/a/blobs/x", "blob_delete"),
        ("POST", "/v2/a/blobs/uploads/", "upload_start"),
        ("PATCH", "/v2/a/blobs/uploads/x", "upload_patch"),
        ("PUT", "/v2/a/blobs/uploads/x", "upload_put"),
        ("GET", "/v2/a/blobs/uploads/x", "upload_get"),
        ("DELETE", "/v2/a/blobs/uploads/x", "upload_delete"),
        ("GET", "/v2/a/tags/list", "tags_list"),
        ("GET", "/v2/a/referrers/x", "referrers"),
        ("GET", "/home", "session"),
        ("GET", "/metrics", "private"),
        ("OPTIONS", "/v2/a/manifests/x", "other"),
        ("GET", "/readyz", "other"),
    ] {
        assert_eq!(
            route(path).unwrap().operation(method).as_str(),
            name,
            "{method} {path}"
        );
    }
    let mut names: Vec<_> = Operation::ALL
        .iter()
        .map(|operation| operation.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 21);
}

/// RFC 9110 §9.2.1, §9.1 for `get`.
#[test]
fn only_safe_methods_are_reads() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(Access::of(method), Access::Read, "{method}");
    }
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "get", "", "TRACE", "PROPFIND",
    ] {
        assert_eq!(Access::of(method), Access::Write, "{method}");
    }
}
