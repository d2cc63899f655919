//! One member at run time: the configuration at work, how its peers stand, who may write now, and
//! what lives as long as the process.

pub mod generation;
pub(crate) mod leases;
pub(crate) mod peer_state;
pub(crate) mod replica;
pub(crate) mod spaced;
pub mod state;
pub(crate) mod state_folder;
pub(crate) mod writes;
