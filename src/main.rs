//! The binary: parses the command line, dispatches, and turns failures into messages and exit codes.

use std::process::ExitCode;

use clap::Parser;
use isar_build_all::cli::Cli;
use isar_build_all::commands;

fn main() -> ExitCode {
    // A panic has said what and where; its exit code is that of a fault of ours.
    std::panic::catch_unwind(|| commands::dispatch(Cli::parse())).unwrap_or(ExitCode::FAILURE)
}
