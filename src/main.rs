//! The binary: parses the command line, dispatches, and turns errors into messages and exit codes.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
