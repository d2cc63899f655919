//! What members say to each other: the words, the questions, the answers.

pub(crate) mod agreement;
pub(crate) mod probe;
pub(crate) mod wire;
