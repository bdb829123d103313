//! The size of the terminal behind a stream.

use std::io::{stderr, stdout};

/// Columns and rows of the terminal behind standard error; none if it is not a terminal.
#[must_use]
pub fn stderr_size() -> Option<(usize, usize)> {
    size(stderr())
}

/// Columns and rows of the terminal behind standard output; none if it is not a terminal.
#[must_use]
pub fn stdout_size() -> Option<(usize, usize)> {
    size(stdout())
}

fn size(stream: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A serial console and a pseudo-terminal without a size report 0.
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
