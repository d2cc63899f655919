mod contract;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod proof;
#[cfg(feature = "s3")]
mod s3;
#[cfg(any(feature = "s3", feature = "dynamodb"))]
mod server;
#[cfg(any(feature = "s3", feature = "dynamodb"))]
mod signature;
pub(crate) mod unruly;
