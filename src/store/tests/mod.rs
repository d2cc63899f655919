mod contract;
#[cfg(feature = "s3")]
mod credentials;
mod proof;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod server;
#[cfg(feature = "s3")]
mod signature;
pub(crate) mod unruly;
