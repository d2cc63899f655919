//! What members say to each other: the words, the questions, the answers. What follows from them
//! for who may write is decided in [`crate::shard::ownership`].

pub(crate) mod answer;
pub(crate) mod probe;
pub(crate) mod wire;

pub(crate) use probe::jittered;
