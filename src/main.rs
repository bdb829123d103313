//! The binary: parses the command line, dispatches, and turns failures into messages and exit codes.

use std::process::ExitCode;

use clap::Parser;
use isar_build_all::cli::Cli;
use isar_build_all::commands;
use isar_build_all::exec::watcher;

fn main() -> ExitCode {
    if let Some(code) = watcher::intercept() {
        return code;
    }
    commands::dispatch(Cli::parse())
}
