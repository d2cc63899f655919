//! The very rooms of the product, compiled for speed: nothing else is in here.

#![allow(dead_code, reason = "rooms that are not here use the rest")]

#[path = "../../src/shard/mod.rs"]
pub mod shard;
