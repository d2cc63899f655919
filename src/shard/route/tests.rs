use super::*;
use crate::shard::repository::NameError;

const DIGEST: &str = "sha256:0123456789abcdef";

fn route(path: &str) -> Result<Route<'_>, RouteError> {
    parse(path.as_bytes())
}

#[test]
fn repository_endpoints_are_read_from_the_right() {
    let manifest = |reference| Resource::Manifest { reference };
    let blob = |digest| Resource::Blob { digest };
    let upload = |session| Resource::Upload { session };
    let referrers = |digest| Resource::Referrers { digest };
    for (path, name, resource) in [
        ("/v2/a/manifests/latest", "a", manifest("latest")),
        (
            "/v2/library/alpine/manifests/sha256:0123456789abcdef",
            "library/alpine",
            manifest(DIGEST),
        ),
        (
            "/v2/a/b/c/blobs/sha256:0123456789abcdef",
            "a/b/c",
            blob(DIGEST),
        ),
        ("/v2/a/blobs/uploads/", "a", Resource::UploadStart),
        ("/v2/a/blobs/uploads", "a", Resource::UploadStart),
        ("/v2/a/blobs/uploads/0-9_x.y=", "a", upload("0-9_x.y=")),
        ("/v2/a/tags/list", "a", Resource::Tags),
        (
            "/v2/a/referrers/sha256:0123456789abcdef",
            "a",
            referrers(DIGEST),
        ),
        // Keywords are legal components of names.
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
        // Clients that escape the colon and plus of digests.
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
    ] {
        let repository = Repository::parse(name).unwrap();
        assert_eq!(
            route(path),
            Ok(Route::Repository {
                repository,
                resource
            }),
            "{path}"
        );
    }
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
        ("/x/v2/a/manifests/b", Route::Session),
    ] {
        assert_eq!(route(path), Ok(expected), "{path}");
    }
}

#[test]
fn whatever_could_mean_another_repository_is_refused() {
    use RouteError::{
        DotComponent, EmptyComponent, NotOriginForm, PercentEncoded, UnknownEndpoint,
    };
    let forbidden = |byte, position| RouteError::ForbiddenByte { byte, position };
    let name = |reason| RouteError::InvalidName { reason };
    for (path, error) in [
        ("", NotOriginForm),
        ("*", NotOriginForm),
        ("v2/a/manifests/x", NotOriginForm),
        ("http://h/v2/a/manifests/x", NotOriginForm),
        ("//v2/a/manifests/x", EmptyComponent),
        ("/v2//a/manifests/x", EmptyComponent),
        ("/v2/a/manifests//x", EmptyComponent),
        ("/v2/a/blobs/uploads//", EmptyComponent),
        ("/home//", EmptyComponent),
        ("/./v2/a/manifests/x", DotComponent),
        ("/x/../v2/a/manifests/x", DotComponent),
        ("/v2/a/../b/manifests/x", DotComponent),
        ("/v2/a/manifests/..", DotComponent),
        ("/v2/a/manifests/.", DotComponent),
        ("/home/.", DotComponent),
        ("/%76%32/x/manifests/y", PercentEncoded),
        ("/v%32/x/manifests/y", PercentEncoded),
        ("/v2%2Fx/manifests/y", PercentEncoded),
        ("/%2Fv2/x/manifests/y", PercentEncoded),
        ("/x/%2e%2e/v2/x/manifests/y", PercentEncoded),
        ("/x%2F..%2Fv2/x/manifests/y", PercentEncoded),
        ("/x/a%2F..%2F..%2Fv2/x", DotComponent),
        ("/image/%2Fv2/x", EmptyComponent),
        ("/image/a%2F%2fb", EmptyComponent),
        ("/image/a%252Fb", PercentEncoded),
        ("/image/a%5Cb", PercentEncoded),
        ("/image/a%00b", PercentEncoded),
        ("/x/..%3By/v2/a/tags/list", PercentEncoded),
        ("/x/..%3F", PercentEncoded),
        ("/image/a%23b", PercentEncoded),
        ("/image/a%7f", PercentEncoded),
        ("/image/%61", PercentEncoded),
        ("/image/a%", PercentEncoded),
        ("/image/a%2", PercentEncoded),
        ("/image/a%zz", PercentEncoded),
        ("/image/a%+1", PercentEncoded),
        ("/%6detrics", PercentEncoded),
        ("/explore%20all", PercentEncoded),
        ("/v2/%5fzot/pprof/", PercentEncoded),
        ("/v2/_zot%2Fpprof/heap", PercentEncoded),
        ("/v2/a%2Fb/manifests/x", PercentEncoded),
        ("/v2/a%3Ab/manifests/x", PercentEncoded),
        ("/v2/a/manifests%3A/x", PercentEncoded),
        ("/v2/a/manifests/x%2Fy", PercentEncoded),
        ("/v2/a/manifests/%2e%2e", PercentEncoded),
        ("/v2/a/manifests/x%25", PercentEncoded),
        ("/v2/a/manifests/x%3", PercentEncoded),
        ("/v2/a/manifests/%", PercentEncoded),
        ("/v2/a/manifests/x;y", forbidden(b';', 17)),
        ("/v2/a;b/manifests/x", forbidden(b';', 5)),
        ("/v2/a\\b/manifests/x", forbidden(b'\\', 5)),
        ("/v2/a/manifests/x y", forbidden(b' ', 17)),
        ("/v2/a/manifests/x\0", forbidden(0, 17)),
        ("/v2/a/manifests/x\r\n", forbidden(b'\r', 17)),
        ("/v2/a/manifests/x\u{7f}", forbidden(0x7f, 17)),
        ("/v2/a/manifests/é", forbidden(0xc3, 16)),
        ("/v2/a/manifests/x?n=1", forbidden(b'?', 17)),
        ("/home#x", forbidden(b'#', 5)),
        // A quote makes Go's EscapedPath decode and re-encode the whole path.
        ("/image/a%2Fb\"", forbidden(b'"', 12)),
        ("/home/{x}", forbidden(b'{', 6)),
        (
            "/v2/Library/alpine/manifests/x",
            name(NameError::Uppercase { position: 0 }),
        ),
        (
            "/v2/a..b/manifests/x",
            name(NameError::Separator { position: 2 }),
        ),
        (
            "/v2/localhost:5000/a/manifests/x",
            name(NameError::Byte {
                byte: b':',
                position: 9,
            }),
        ),
        ("/v2/manifests/x", UnknownEndpoint),
        ("/v2/blobs/uploads/", UnknownEndpoint),
        ("/v2/blobs/uploads/x", UnknownEndpoint),
        ("/v2/a", UnknownEndpoint),
        ("/v2/a/b", UnknownEndpoint),
        ("/v2/a/b/c", UnknownEndpoint),
        ("/v2/a/tags/other", UnknownEndpoint),
        ("/v2/a/tags/list/", UnknownEndpoint),
        ("/v2/a/manifests/x/", UnknownEndpoint),
        ("/v2/a/manifests/", UnknownEndpoint),
        ("/v2/a/uploads/x", UnknownEndpoint),
        ("/v2/_catalog/", UnknownEndpoint),
        ("/v2/_other/manifests/x", UnknownEndpoint),
        ("/v2/_oci", UnknownEndpoint),
    ] {
        assert_eq!(route(path), Err(error), "{path:?}");
    }
    assert_eq!(parse(b"/v2/a/manifests/\xff"), Err(forbidden(0xff, 16)));
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
