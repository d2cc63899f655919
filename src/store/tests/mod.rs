mod contract;
mod proof;
pub(crate) mod unruly;
