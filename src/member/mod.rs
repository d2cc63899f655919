//! One member at run time: the configuration at work, how its peers stand, and what lives as long
//! as the process.

pub mod generation;
pub mod peer_state;
pub mod state;
