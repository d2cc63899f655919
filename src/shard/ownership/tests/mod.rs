mod canon;
mod copy;
mod fleet;
mod search;
mod writing;
