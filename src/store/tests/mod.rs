mod contract;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod open;
mod proof;
#[cfg(feature = "s3")]
mod s3;
#[cfg(any(feature = "s3", feature = "dynamodb", feature = "kubernetes"))]
mod server;
#[cfg(any(feature = "s3", feature = "dynamodb"))]
mod signature;
pub(crate) mod unruly;
