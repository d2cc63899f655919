//! Reading paths.

use proptest::collection::vec;
use proptest::prelude::*;
use shardlet::shard::{Repository, Resource, Route, parse};

use super::NAME;

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(path in vec(any::<char>(), 0..300)) {
        let path: String = path.into_iter().collect();
        let _ = parse(&path).map(|route| route.operation("GET"));
    }

    /// Bytes that occur in paths, where the parser gets far.
    #[test]
    fn any_path_like_bytes_are_read_without_a_panic(rest in "[a-z0-9A-Z/%.:_;\\-]{0,60}") {
        for path in [format!("/v2/{rest}"), format!("/{rest}"), rest] {
            if let Err(error) = parse(&path) {
                prop_assert!(matches!(error.status(), 400 | 404));
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(name in NAME, last in "[a-zA-Z0-9_][a-zA-Z0-9._:+=-]{0,40}", which in 0..6usize) {
        let resource = [
            Resource::Manifest { reference: &last },
            Resource::Blob { digest: &last },
            Resource::UploadStart,
            Resource::Upload { session: &last },
            Resource::Tags,
            Resource::Referrers { digest: &last },
        ][which];
        prop_assume!(resource != Resource::Blob { digest: "uploads" });
        let path = render(&name, resource);
        let repository = Repository::parse(&name).unwrap();
        prop_assert_eq!(parse(&path), Ok(Route::Repository { repository, resource }));
    }

    /// What is forwarded is what was hashed: the name is taken out of the path, not made from it.
    #[test]
    fn reading_and_writing_gives_the_same_bytes(path in "/v2(/(a|manifests|blobs|uploads|tags|list|referrers|x:1|x%3A1)){1,7}/?") {
        if let Ok(Route::Repository { repository, resource }) = parse(&path) {
            let written = render(repository.as_str(), resource);
            prop_assert!(written == path || written == format!("{path}/"), "{written} is not {path}");
        }
    }
}

fn render(name: &str, resource: Resource<'_>) -> String {
    match resource {
        Resource::Manifest { reference } => format!("/v2/{name}/manifests/{reference}"),
        Resource::Blob { digest } => format!("/v2/{name}/blobs/{digest}"),
        Resource::UploadStart => format!("/v2/{name}/blobs/uploads/"),
        Resource::Upload { session } => format!("/v2/{name}/blobs/uploads/{session}"),
        Resource::Tags => format!("/v2/{name}/tags/list"),
        Resource::Referrers { digest } => format!("/v2/{name}/referrers/{digest}"),
    }
}
