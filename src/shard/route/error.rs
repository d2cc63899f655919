//! Why a path is refused, and what the client is told.

use std::fmt;

use crate::shard::repository::NameError;

/// A path that is not forwarded. Positions count bytes of the path from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteError {
    /// The request target does not begin with `/`.
    NotOriginForm,
    /// A byte that may not stand in a path unescaped.
    ForbiddenByte {
        /// The byte.
        byte: u8,
        /// Where it is.
        position: usize,
    },
    /// A percent escape that could hide a name, a slash or another escape, or that is none.
    PercentEncoded,
    /// Two slashes meet.
    EmptyComponent,
    /// A component is `.` or `..`.
    DotComponent,
    /// An endpoint of a repository whose name breaks the grammar.
    InvalidName {
        /// How it breaks it.
        reason: NameError,
    },
    /// A path under `/v2/` that is no endpoint.
    UnknownEndpoint,
}

impl RouteError {
    /// The error code of the answer, from the OCI distribution spec ("Error Codes").
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ForbiddenByte { .. }
            | Self::PercentEncoded
            | Self::EmptyComponent
            | Self::DotComponent
            | Self::InvalidName { .. } => "NAME_INVALID",
            Self::NotOriginForm | Self::UnknownEndpoint => "UNSUPPORTED",
        }
    }

    /// The HTTP status of the answer: 404 for what does not exist, 400 for what is malformed.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownEndpoint => 404,
            Self::NotOriginForm
            | Self::ForbiddenByte { .. }
            | Self::PercentEncoded
            | Self::EmptyComponent
            | Self::DotComponent
            | Self::InvalidName { .. } => 400,
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOriginForm => f.write_str("the request target does not begin with a slash"),
            Self::ForbiddenByte { byte, position } => {
                write!(
                    f,
                    "the path has the forbidden byte 0x{byte:02x} at byte {position}"
                )
            }
            Self::PercentEncoded => {
                f.write_str("the path has a percent escape where none may stand")
            }
            Self::EmptyComponent => f.write_str("the path has an empty component"),
            Self::DotComponent => f.write_str("the path has a component that is only dots"),
            Self::InvalidName { reason } => reason.fmt(f),
            Self::UnknownEndpoint => f.write_str("the path is no endpoint of a registry"),
        }
    }
}

impl std::error::Error for RouteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidName { reason } => Some(reason),
            Self::NotOriginForm
            | Self::ForbiddenByte { .. }
            | Self::PercentEncoded
            | Self::EmptyComponent
            | Self::DotComponent
            | Self::UnknownEndpoint => None,
        }
    }
}
