//! The `shardlet` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardlet::cli::main()
}
