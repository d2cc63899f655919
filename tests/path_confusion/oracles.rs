//! Models of how registries get from the bytes of a request target to a repository.

use regex::bytes::Regex;

/// The repository component and the name of CNCF distribution's `reference` package (regexp.go), without anchors.
const COMPONENT: &str = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*";
const DOMAIN_COMPONENT: &str = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const IPV6: &str = r"\[(?:[a-fA-F0-9:]+)\]";
const TAG: &str = r"[\w][\w.-]{0,127}";
/// `reference.DigestRegexp`, and go-digest's, which the routes use.
const REFERENCE_DIGEST: &str =
    r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,}";
const GO_DIGEST: &str = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+";
/// zot's pkg/regexp/regexp.go.
const ZOT_NAME: &str = r"[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?";

/// All the models.
pub(crate) struct Oracles {
    distribution: Vec<Regex>,
    zot: Vec<Regex>,
}

impl Oracles {
    pub(crate) fn new() -> Self {
        Self {
            distribution: distribution_routes(),
            zot: zot_routes(),
        }
    }

    /// Which repository each registry would go to, if any.
    ///
    /// Both routers answer an unclean path with a redirect to the clean one. That counts as going there.
    pub(crate) fn read(&self, path: &str) -> [(&'static str, Option<String>); 3] {
        let decoded = request_path(path.as_bytes());
        let distribution = decoded
            .as_ref()
            .and_then(|path| first_match(&self.distribution, &clean(path)));
        let escaped = decoded
            .as_ref()
            .map(|decoded| escaped_path(path.as_bytes(), decoded));
        let zot = escaped.and_then(|path| first_match(&self.zot, &clean(&path)));
        let lenient = first_match(&self.distribution, &most_lenient(path.as_bytes()));
        [
            ("distribution", distribution),
            ("zot", zot),
            ("a lenient intermediary", lenient),
        ]
    }
}

/// registry/api/v2/descriptors.go, in its order, with gorilla's strict slash: `[/]?` at the end of every route.
fn distribution_routes() -> Vec<Regex> {
    let domain = format!(r"(?:{DOMAIN_COMPONENT}(?:\.{DOMAIN_COMPONENT})*|{IPV6})(?::[0-9]+)?");
    let name = format!(r"(?:{domain}/)?{COMPONENT}(?:/{COMPONENT})*");
    [
        "/tags/list".to_owned(),
        format!("/manifests/(?:{TAG}|{GO_DIGEST}|{REFERENCE_DIGEST})"),
        format!("/blobs/(?:{GO_DIGEST}|{REFERENCE_DIGEST})"),
        "/blobs/uploads".to_owned(),
        "/blobs/uploads/[a-zA-Z0-9-_.=]+".to_owned(),
    ]
    .iter()
    .map(|endpoint| regex(&format!("^/v2/(?P<name>{name}){endpoint}[/]?$")))
    .collect()
}

/// pkg/api/routes.go, in its order.
fn zot_routes() -> Vec<Regex> {
    [
        "/tags/list",
        "/manifests/[^/]+",
        "/blobs/[^/]+",
        "/blobs/uploads/",
        "/blobs/uploads/[^/]+",
        "/referrers/[^/]+",
    ]
    .iter()
    .map(|endpoint| regex(&format!("^/v2/(?P<name>{ZOT_NAME}){endpoint}$")))
    .collect()
}

/// Go's syntax is ASCII by default.
fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?-u){pattern}")).unwrap()
}

fn first_match(routes: &[Regex], path: &[u8]) -> Option<String> {
    let captures = routes.iter().find_map(|route| route.captures(path))?;
    Some(String::from_utf8(captures["name"].to_vec()).unwrap())
}

/// Go's `url.ParseRequestURI` in `http.ReadRequest`: the decoded path, or none where it answers 400.
fn request_path(target: &[u8]) -> Option<Vec<u8>> {
    if target
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b' ')
        || target.first() != Some(&b'/')
    {
        return None;
    }
    let path = target.split(|byte| *byte == b'?').next()?;
    unescape(path)
}

/// Go's `url.unescape`: none for an escape without two digits.
fn unescape(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = rest
            .get(..2)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        decoded.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    Some(decoded)
}

/// Go's `URL.EscapedPath`: the bytes of the wire if they are a valid encoding, else the decoded path escaped anew.
fn escaped_path(target: &[u8], decoded: &[u8]) -> Vec<u8> {
    let raw = target.split(|byte| *byte == b'?').next().unwrap();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    let valid = |&byte: &u8| unreserved(byte) || b"!'()*[]%".contains(&byte);
    if raw.iter().all(valid) {
        return raw.to_vec();
    }
    let escape = |byte: u8| match unreserved(byte) {
        true => vec![byte],
        false => format!("%{byte:02X}").into_bytes(),
    };
    decoded.iter().flat_map(|byte| escape(*byte)).collect()
}

/// gorilla's `cleanPath`: Go's `path.Clean`, with the slash at the end put back.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            component => components.push(component),
        }
    }
    let mut cleaned = vec![b'/'];
    cleaned.extend(components.join(&b'/'));
    if path.last() == Some(&b'/') && cleaned.len() > 1 {
        cleaned.push(b'/');
    }
    cleaned
}

/// Decodes as often as it can, takes `\` for `/`, cuts components at `;` and the path at `?` and `#`, then cleans.
fn most_lenient(target: &[u8]) -> Vec<u8> {
    let mut path = target.to_vec();
    while let Some(decoded) = unescape(&path).filter(|decoded| *decoded != path) {
        path = decoded;
    }
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap();
    let path: Vec<u8> = path
        .iter()
        .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
        .collect();
    let cut = path
        .split(|byte| *byte == b'/')
        .map(|component| component.split(|byte| *byte == b';').next().unwrap());
    clean(&cut.collect::<Vec<_>>().join(&b'/'))
}
