//! The binary: parses the command line, dispatches, and turns failures into messages and exit codes.

use std::process::ExitCode;

use clap::Parser;
use isar_build_all::cli::Cli;
use isar_build_all::commands;

fn main() -> ExitCode {
    commands::dispatch(Cli::parse())
}
