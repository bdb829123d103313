//! The size of the terminal behind a stream. Knows nothing of what is drawn there.

use std::io::{stderr, stdout};

/// Columns and rows of the terminal behind standard error; none where it is no terminal.
#[must_use]
pub fn stderr_size() -> Option<(usize, usize)> {
    size(stderr())
}

/// Columns and rows of the terminal behind standard output; none where it is no terminal.
#[must_use]
pub fn stdout_size() -> Option<(usize, usize)> {
    size(stdout())
}

fn size(stream: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A serial console, or a pseudo-terminal that nobody sized, says 0.
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
