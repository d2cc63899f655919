//! All repositories of a registry, page by page.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use http::{StatusCode, Uri};
use serde::Deserialize;

use super::link;
use super::names::Names;
use crate::shard::text::printable;
use crate::tls::{self, Authority};
use crate::upstream::{Place, Question, Route};

/// How many names a page is asked for.
const PAGE: usize = 1000;
/// Most pages, each with one name at least: a registry that never ends is broken.
const PAGES: usize = 1_000_000;
/// Most names.
const NAMES: usize = 10_000_000;
/// How long a page may take: registries over object storage list slowly.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of a file with a name and a password.
const CREDENTIALS_LIMIT: usize = 4096;

/// One page.
#[derive(Deserialize)]
struct Page {
    /// Go registries write `null` for none.
    repositories: Option<Vec<String>>,
}

/// The registry that is asked.
struct Registry {
    route: Route,
    authority: String,
    authorization: Option<String>,
}

/// Lists the repositories behind a URL such as `http://127.0.0.1:5000`.
pub(super) fn read(
    url: &Uri,
    ca: Option<&Path>,
    credentials: Option<&Path>,
) -> Result<Names, String> {
    let told = |error: String| {
        format!(
            "the catalog of {}: {}",
            printable(&place(url)),
            printable(&error)
        )
    };
    let authorization = credentials.map(basic).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| told(error.to_string()))?;
    let names = runtime.block_on(async {
        let first = format!("{}/v2/_catalog?n={PAGE}", url.path().trim_end_matches('/'));
        Registry::open(url, ca, authorization)?.list(first).await
    });
    names.map(Names::new).map_err(told)
}

/// A URL without what may be a password in it.
fn place(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}", url.scheme_str().unwrap_or_default())
}

impl Registry {
    fn open(url: &Uri, ca: Option<&Path>, authorization: Option<String>) -> Result<Self, String> {
        let is_tls = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err("write http://HOST:PORT or https://HOST".to_owned()),
        };
        let host = url
            .host()
            .filter(|host| !host.is_empty())
            .ok_or("no host")?;
        if url
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("a password does not belong into a URL: use --credentials".to_owned());
        }
        let default = if is_tls { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let address = resolve(name, port)?;
        let ca = ca.map(Authority::load).transpose();
        let ca = ca.map_err(|error| error.to_string())?;
        let caller = is_tls.then(|| {
            let roots = ca.map_or_else(tls::system_roots, |ca| ca.roots());
            tls::caller(roots, None)
        });
        let caller = caller.transpose().map_err(|error| error.to_string())?;
        let caller = caller.map(|caller| (name.to_owned(), caller));
        Ok(Self {
            route: Route::aside(Place::Address(address), caller),
            authority: url
                .port()
                .map_or(host.to_owned(), |port| format!("{host}:{port}")),
            authorization,
        })
    }

    async fn list(&self, first: String) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        let mut path = first;
        for _ in 0..PAGES {
            let (page, next) = self.page(&path).await?;
            let found = page.repositories.unwrap_or_default();
            // A page without a name that goes on would go on for ever.
            let empty = found.is_empty();
            names.extend(found);
            if names.len() > NAMES {
                return Err(format!("more than {NAMES} repositories"));
            }
            match next {
                Some(next) if empty || next == path => {
                    return Err(format!("the page {next} comes again and again"));
                }
                Some(next) => path = next,
                None => return Ok(names),
            }
        }
        Err(format!("more than {PAGES} pages"))
    }

    async fn page(&self, path: &str) -> Result<(Page, Option<String>), String> {
        let mut question = Question::get(path, &self.authority);
        if let Some(authorization) = &self.authorization {
            question = question.field("Authorization", authorization);
        }
        let answer = self.route.ask(&question, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err("it wants a name and a password: --credentials FILE".to_owned());
            }
            status => return Err(format!("it answered {status}")),
        }
        let page = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the answer is no list of repositories: {error}"))?;
        let next = answer
            .field("link")
            .and_then(link::next)
            .map(|target| self.follow(target));
        Ok((page, next.transpose()?))
    }

    /// The path of the next page. It is never looked for elsewhere: a password would go along.
    fn follow(&self, target: &str) -> Result<String, String> {
        let uri: Uri = target
            .parse()
            .map_err(|_| format!("its next page is {target}"))?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str() != self.authority)
        {
            return Err(format!("its next page is elsewhere: {target}"));
        }
        let path = uri
            .path_and_query()
            .filter(|path| path.as_str().starts_with('/'));
        path.map(ToString::to_string)
            .ok_or_else(|| format!("its next page is {target}"))
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "no address".to_owned())
}

/// `name:password` of a file as a header.
pub(in crate::cli) fn basic(file: &Path) -> Result<String, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = std::fs::read(file).map_err(|error| unreadable(&error))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if line.len() > CREDENTIALS_LIMIT || !line.contains(&b':') {
        return Err(unreadable(&"is no line `name:password`"));
    }
    Ok(format!("Basic {}", base64(line)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= group.len() {
                let value = bits >> (18 - 6 * digit) & 63;
                text.push(char::from(DIGITS[value as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
