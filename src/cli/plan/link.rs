//! The `Link` header of a catalog: where its next page is (RFC 8288, as the OCI and Docker use it).

/// The target of the link whose relation is `next`.
pub(super) fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let (target, after) = rest[open + 1..].split_once('>')?;
        // Parameters end where the next link begins.
        let end = after.find('<').unwrap_or(after.len());
        let parameters = after[..end].split([';', ',']);
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            let is_next = value
                .split_ascii_whitespace()
                .any(|relation| relation == "next");
            if name.trim().eq_ignore_ascii_case("rel") && is_next {
                return Some(target);
            }
        }
        rest = &after[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_page_is_found() {
        for (header, target) in [
            (
                "</v2/_catalog?last=b&n=2>; rel=\"next\"",
                Some("/v2/_catalog?last=b&n=2"),
            ),
            (
                "</v2/_catalog?last=b>;rel=next",
                Some("/v2/_catalog?last=b"),
            ),
            (
                "</a>; rel=\"prev\", </b>; title=\"x\"; REL=\"last next\"",
                Some("/b"),
            ),
            ("</a>; rel=\"prev\"", None),
            ("</a>", None),
            ("</a; rel=next", None),
            ("rel=next", None),
            ("", None),
        ] {
            assert_eq!(next(header), target, "{header}");
        }
    }
}
