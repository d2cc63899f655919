mod canon;
mod copy;
mod directed;
mod fleet;
mod search;
mod writing;
