//! What members say to each other: the words, the questions, the answers.

pub mod agreement;
pub mod probe;
pub mod wire;
