//! The binary: hands the command line to the tool.

use std::process::ExitCode;

use isar_build_all::commands::Tool;

fn main() -> ExitCode {
    // A panic has printed its message and place; what is left is the exit code of an internal fault.
    std::panic::catch_unwind(|| Tool::standard().main(std::env::args_os()))
        .unwrap_or(ExitCode::FAILURE)
}
