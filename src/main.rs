//! The `shardlet` command.

use std::process::ExitCode;

/// A small request makes a hundred small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shardlet::cli::main()
}
