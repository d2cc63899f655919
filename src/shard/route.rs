//! What a request path means.
//!
//! Registries differ in how they read a path: CNCF distribution decodes percent escapes before it routes, zot does
//! not, and both clean `.`, `..` and `//` away. A path that could mean one repository to us and another to the
//! replica would break "one owner per repository", so such a path is refused, on every route, before anything is
//! hashed. What is accepted is forwarded byte for byte.
//!
//! Endpoints of repositories are those of the OCI distribution spec ("Endpoints", end-1 to end-14); zot's own are
//! read from its `pkg/api/routes.go` and `pkg/api/constants`. Parsing goes from the right, because `manifests`,
//! `blobs`, `tags`, `uploads` and `referrers` are legal components of a name.

mod clean;
mod error;
mod operation;
#[cfg(test)]
mod tests;

use super::repository::Repository;

pub use error::RouteError;
pub use operation::{Access, Operation};

/// What a path means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route<'p> {
    /// Something in one repository, which has an owner.
    Repository {
        /// The repository.
        repository: Repository<'p>,
        /// What in it.
        resource: Resource<'p>,
    },
    /// The registry as a whole: any replica can answer.
    Registry(RegistryRoute),
    /// Login, logout and pages of the UI: state that one replica may hold in memory, so one member should get them.
    Session,
    /// Endpoints for operators (metrics, profiling, API playgrounds): never open to clients.
    Private,
}

/// What is asked of a repository. The texts are the path's last component, byte for byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'p> {
    /// `/v2/<name>/manifests/<reference>`
    Manifest {
        /// A tag or a digest, not looked into.
        reference: &'p str,
    },
    /// `/v2/<name>/blobs/<digest>`
    Blob {
        /// The digest, not looked into.
        digest: &'p str,
    },
    /// `/v2/<name>/blobs/uploads/`, with or without the last slash.
    UploadStart,
    /// `/v2/<name>/blobs/uploads/<session>`
    Upload {
        /// The session's name, which the registry chose.
        session: &'p str,
    },
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/referrers/<digest>`
    Referrers {
        /// The digest, not looked into.
        digest: &'p str,
    },
}

/// Routes that any replica can answer, because what they need is shared or the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegistryRoute {
    /// `/v2` and `/v2/`: version check and login challenge.
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/…` and `/v2/_zot/ext/…`: the discovery API and zot's search, management, preferences, trust.
    Extension,
    /// `/zot/auth/token` and `/zot/auth/apikey`
    Token,
    /// `/livez`, `/readyz` and `/startupz` of zot.
    Health,
}

/// Reads a path: what stands in the request target before `?`, exactly as it came.
///
/// # Errors
/// A [`RouteError`] for every path that two registries could read differently, and for paths under `/v2/` that are
/// no endpoint.
pub fn parse(path: &str) -> Result<Route<'_>, RouteError> {
    let has_escapes = clean::check(path)?;
    match path.strip_prefix("/v2/") {
        None if path != "/v2" => beside_v2(path, has_escapes),
        None | Some("") => Ok(Route::Registry(RegistryRoute::Base)),
        Some(rest) => under_v2(rest, has_escapes),
    }
}

/// Reads what follows `/v2/`.
fn under_v2(rest: &str, has_escapes: bool) -> Result<Route<'_>, RouteError> {
    if has_escapes {
        clean::check_escapes_under_v2(rest)?;
    }
    // No repository name begins with `_`, so these cannot hide one.
    if rest.starts_with('_') {
        return reserved(rest);
    }
    let (name, resource) = split_resource(rest).ok_or(RouteError::UnknownEndpoint)?;
    let repository =
        Repository::parse(name).map_err(|reason| RouteError::InvalidName { reason })?;
    Ok(Route::Repository {
        repository,
        resource,
    })
}

/// Splits `<name>/<endpoint>` from the right.
fn split_resource(rest: &str) -> Option<(&str, Resource<'_>)> {
    let (head, last) = split_last(rest)?;
    let (name, keyword) = split_last(head)?;
    let resource = match (keyword, last) {
        ("uploads", session) => {
            let name = name.strip_suffix("/blobs")?;
            let resource = if session.is_empty() {
                Resource::UploadStart
            } else {
                Resource::Upload { session }
            };
            return Some((name, resource));
        }
        // Only an upload may start at a path that ends in a slash.
        (_, "") => return None,
        // Distribution redirects this to the path with the slash, zot takes it for a blob: one repository to both.
        ("blobs", "uploads") => Resource::UploadStart,
        ("blobs", digest) => Resource::Blob { digest },
        ("manifests", reference) => Resource::Manifest { reference },
        ("referrers", digest) => Resource::Referrers { digest },
        ("tags", "list") => Resource::Tags,
        _ => return None,
    };
    Some((name, resource))
}

/// Splits at the last slash: in short texts for a fourth of what `rsplit_once` takes.
fn split_last(text: &str) -> Option<(&str, &str)> {
    let slash = text.bytes().rposition(|byte| byte == b'/')?;
    Some((&text[..slash], &text[slash + 1..]))
}

/// Reads `_catalog`, `_oci/…` and `_zot/…`.
fn reserved(rest: &str) -> Result<Route<'_>, RouteError> {
    let mut components = rest.split('/');
    match (components.next(), components.next(), components.next()) {
        (Some("_catalog"), None, _) => Ok(Route::Registry(RegistryRoute::Catalog)),
        (Some("_oci"), Some(_), _) => Ok(Route::Registry(RegistryRoute::Extension)),
        (Some("_zot"), Some("ext"), Some(_)) => Ok(Route::Registry(RegistryRoute::Extension)),
        // Profiling and the GraphQL playground, and whatever else is added there: closed until known to be harmless.
        (Some("_zot"), _, _) => Ok(Route::Private),
        _ => Err(RouteError::UnknownEndpoint),
    }
}

/// Reads a path that is not under `/v2`.
fn beside_v2(path: &str, has_escapes: bool) -> Result<Route<'_>, RouteError> {
    if has_escapes {
        clean::check_escapes_beside_v2(path)?;
    }
    // zot matches these by prefix, not by component.
    if path.starts_with("/metrics") || path.starts_with("/swagger") {
        return Ok(Route::Private);
    }
    // A registry behind a path prefix (distribution's `http.prefix`) has repositories there, which we would not see.
    if hides_a_repository(path) {
        return Err(RouteError::UnknownEndpoint);
    }
    Ok(match path {
        "/zot/auth/token" | "/zot/auth/apikey" => Route::Registry(RegistryRoute::Token),
        "/livez" | "/readyz" | "/startupz" => Route::Registry(RegistryRoute::Health),
        _ => Route::Session,
    })
}

/// Whether a part of the path, once its slashes are decoded, is a repository's endpoint.
fn hides_a_repository(path: &str) -> bool {
    let decoded = clean::with_slashes(path);
    let mut rest = &*decoded;
    while let Some((_, behind)) = rest.split_once("/v2/") {
        if split_resource(behind).is_some() {
            return true;
        }
        rest = behind;
    }
    false
}
