//! Prints the result of a command on standard output.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::base::failure::Failure;

/// Prints text, for exit code 0. A reader that has gone, such as `head`, is not a failure.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    written(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints text, for another exit code.
pub(super) fn print_with((text, code): (String, u8)) -> Result<ExitCode, Failure> {
    print(&text)?;
    Ok(ExitCode::from(code))
}

/// Prints indented JSON with a line end while it is made, for a document that may be large.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<ExitCode, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let json = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    written(
        json.and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush()),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::environment(
            format!("standard output cannot be written: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Indented JSON with a line end.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(Failure::internal)
}
