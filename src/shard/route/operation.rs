//! Names for what a request does: few enough for metric labels, plain enough for logs.

use std::fmt;

use super::{RegistryRoute, Resource, Route};

/// Whether a method can change a repository.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// GET, HEAD and OPTIONS: the safe ones (RFC 9110 §9.2.1), of which TRACE goes nowhere.
    Read,
    /// Every other method, known or not.
    Write,
}

impl Access {
    /// Judges a method as it stood in the request. Methods are case-sensitive (RFC 9110 §9.1), so `get` is an
    /// unknown method and counts as a write.
    #[must_use]
    pub fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Read,
            _ => Self::Write,
        }
    }
}

macro_rules! operations {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// What a request does.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Operation { $(#[doc = $doc] $variant,)* }

        impl Operation {
            /// Every operation, in the order of documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in logs and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

operations! {
    Base "base" "The version check.",
    Catalog "catalog" "The list of repositories.",
    Extension "extension" "Discovery, search and other extensions.",
    Token "token" "Tokens and API keys.",
    ManifestGet "manifest_get" "A manifest is read.",
    ManifestHead "manifest_head" "A manifest is asked for.",
    ManifestPut "manifest_put" "A manifest is pushed.",
    ManifestDelete "manifest_delete" "A manifest or tag is deleted.",
    BlobGet "blob_get" "A blob is read.",
    BlobHead "blob_head" "A blob is asked for.",
    BlobDelete "blob_delete" "A blob is deleted.",
    UploadStart "upload_start" "An upload is begun, or a blob mounted from another repository.",
    UploadPatch "upload_patch" "A chunk is uploaded.",
    UploadPut "upload_put" "An upload is completed.",
    UploadGet "upload_get" "An upload's progress is asked for.",
    UploadDelete "upload_delete" "An upload is cancelled.",
    TagsList "tags_list" "A repository's tags are listed.",
    Referrers "referrers" "A manifest's referrers are listed.",
    Session "session" "Login, logout and pages.",
    Private "private" "Operators' endpoints.",
    Other "other" "Any other method or endpoint.",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Route<'_> {
    /// Names what a request with this method does.
    #[must_use]
    pub fn operation(&self, method: &str) -> Operation {
        match self {
            Self::Repository { resource, .. } => resource.operation(method),
            Self::Registry(RegistryRoute::Base) => Operation::Base,
            Self::Registry(RegistryRoute::Catalog) => Operation::Catalog,
            Self::Registry(RegistryRoute::Extension) => Operation::Extension,
            Self::Registry(RegistryRoute::Token) => Operation::Token,
            Self::Registry(RegistryRoute::Health) => Operation::Other,
            Self::Session => Operation::Session,
            Self::Private => Operation::Private,
        }
    }
}

impl Resource<'_> {
    fn operation(&self, method: &str) -> Operation {
        match (self, method) {
            (Self::Manifest { .. }, "GET") => Operation::ManifestGet,
            (Self::Manifest { .. }, "HEAD") => Operation::ManifestHead,
            (Self::Manifest { .. }, "PUT") => Operation::ManifestPut,
            (Self::Manifest { .. }, "DELETE") => Operation::ManifestDelete,
            (Self::Blob { .. }, "GET") => Operation::BlobGet,
            (Self::Blob { .. }, "HEAD") => Operation::BlobHead,
            (Self::Blob { .. }, "DELETE") => Operation::BlobDelete,
            (Self::UploadStart, "POST") => Operation::UploadStart,
            (Self::Upload { .. }, "PATCH") => Operation::UploadPatch,
            (Self::Upload { .. }, "PUT") => Operation::UploadPut,
            (Self::Upload { .. }, "GET") => Operation::UploadGet,
            (Self::Upload { .. }, "DELETE") => Operation::UploadDelete,
            (Self::Tags, "GET" | "HEAD") => Operation::TagsList,
            (Self::Referrers { .. }, "GET" | "HEAD") => Operation::Referrers,
            (
                Self::Manifest { .. }
                | Self::Blob { .. }
                | Self::UploadStart
                | Self::Upload { .. }
                | Self::Tags
                | Self::Referrers { .. },
                _,
            ) => Operation::Other,
        }
    }
}
