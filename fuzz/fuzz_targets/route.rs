//! The path of a request: anybody can send one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::shard::{Repository, Resource, Route, parse};

fuzz_target!(|path: &str| {
    match parse(path) {
        Ok(route) => check(path.as_bytes(), route),
        Err(error) => assert!(matches!(error.status(), 400 | 404) && !error.to_string().is_empty()),
    }
});

/// What must hold of every path that is forwarded.
fn check(path: &[u8], route: Route<'_>) {
    assert!(path.starts_with(b"/") && !contains(path, b"//"));
    assert!(!path.iter().any(|byte| !byte.is_ascii_graphic() || b"\\;?#\"<>^`{|}".contains(byte)));
    let is_dots = |component: &[u8]| component == b"." || component == b"..";
    assert!(!path.split(|byte| *byte == b'/').any(is_dots));

    let under_v2 = path.starts_with(b"/v2/");
    let Route::Repository { repository, resource } = route else {
        // No repository, and nothing that could decode to one.
        let first = path[1..].split(|byte| *byte == b'/').next().unwrap_or_default();
        assert!(under_v2 || path == b"/v2" || first != b"v2" && !first.contains(&b'%'));
        assert!(!under_v2 || path == b"/v2/" || path[4] == b'_');
        return;
    };
    assert!(under_v2);
    let name = repository.as_str();
    assert_eq!(Repository::parse(name), Ok(repository));
    assert!(path[4..].starts_with(name.as_bytes()), "the name is not where it was read");
    assert!(name.len() <= Repository::MAX_LENGTH && !name.starts_with('_'));
    assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/')));

    let rest = str::from_utf8(&path[4 + name.len()..]).unwrap_or_default();
    let written = match resource {
        Resource::Manifest { reference } => format!("/manifests/{reference}"),
        Resource::Blob { digest } => format!("/blobs/{digest}"),
        Resource::UploadStart => "/blobs/uploads/".to_owned(),
        Resource::Upload { session } => format!("/blobs/uploads/{session}"),
        Resource::Tags => "/tags/list".to_owned(),
        Resource::Referrers { digest } => format!("/referrers/{digest}"),
    };
    assert!(written == rest || written.strip_suffix('/') == Some(rest), "{written} is not {rest}");
    // Decoding may change the last component, but neither end it nor begin another.
    for escape in rest.match_indices('%').map(|(at, _)| rest[at..].to_ascii_lowercase()) {
        assert!(escape.starts_with("%3a") || escape.starts_with("%2b"));
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
