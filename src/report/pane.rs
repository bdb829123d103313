//! The pane: the bottom lines of a terminal, presented to indicatif as a terminal of its own.
//!
//! indicatif pads each line with blanks to the right edge and lets the terminal wrap there. The terminal then
//! treats all of them as one long line, which it lays out anew after a resize, and old pictures stay behind.
//! The pane is a few columns narrower than the terminal and writes a line break at the end of each line's
//! text. It collects what indicatif draws: a picture is one write, and a failing output is an error of the
//! reporter instead of a panic in the library. It changes no state of the terminal (no hidden cursor, no raw
//! mode), so it has nothing to restore.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};
use unicode_width::UnicodeWidthChar;

/// Columns left free at the right edge, so that an echoed `^C` does not wrap the last line.
const MARGIN: usize = 3;
/// The fewest columns of a pane: indicatif expects that a character of two columns fits.
const NARROWEST: usize = 2;

/// A handle to the pane; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pane(Arc<Mutex<PaneState>>);

#[derive(Debug, Default)]
struct PaneState {
    /// Columns of the real terminal.
    terminal: usize,
    columns: usize,
    rows: usize,
    /// Drawn text that [`Pane::take`] has not returned yet.
    ink: String,
    /// The cursor's row, from 0 at the top of the pane.
    row: usize,
    column: usize,
    /// Blanks before the cursor, written when text follows them.
    blanks: usize,
    /// Columns of text in each row.
    widths: Vec<usize>,
}

impl Pane {
    /// Sets the terminal's size (columns, rows). If the width has changed, wipes the picture and returns
    /// true; the caller then draws on a new [`Pane::target`].
    pub(super) fn resize(&self, (columns, rows): (usize, usize)) -> bool {
        let mut state = self.state();
        let is_other = state.terminal != columns;
        if is_other {
            state.terminal = columns;
            state.wipe();
        }
        state.columns = columns.saturating_sub(MARGIN).max(NARROWEST);
        state.rows = rows.saturating_sub(1).max(1);
        is_other
    }

    /// The pane's columns and rows. One row of the terminal stays for the text above the pane.
    pub(super) fn room(&self) -> (usize, usize) {
        let state = self.state();
        (state.columns, state.rows)
    }

    /// The draw target for indicatif, without a rate limit: draws come at the pace of the reporter's ticks.
    pub(super) fn target(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(self.clone()))
    }

    /// Writes lines that stay, and starts an empty pane below them. The pane must be empty.
    pub(super) fn leave(&self, lines: &[String]) {
        let mut state = self.state();
        for line in lines {
            state.ink.push_str(line);
            state.ink.push_str("\u{1b}[K\r\n");
        }
        state.restart();
    }

    /// Takes the drawn text.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.state().ink)
    }

    fn state(&self) -> MutexGuard<'_, PaneState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PaneState {
    fn restart(&mut self) {
        self.row = 0;
        self.column = 0;
        self.blanks = 0;
        self.widths.clear();
    }

    /// Clears the picture. Rows are counted at the new width: a narrower terminal has wrapped them.
    fn wipe(&mut self) {
        let columns = self.terminal.max(1);
        let rows: usize = self
            .widths
            .iter()
            .take(self.row + 1)
            .map(|width| width.div_ceil(columns).max(1))
            .sum();
        if rows > 0 {
            self.ink.push('\r');
            self.go(rows - 1, 'A');
            // The first row is cleared by itself. If the picture starts at the top, some terminals (tmux)
            // take "clear everything below" for "clear the screen", and save the screen to their history.
            self.ink.push_str("\u{1b}[2K");
            if rows > 1 {
                self.ink.push_str("\u{1b}[B\u{1b}[J\u{1b}[A");
            }
        }
        self.restart();
    }

    fn go(&mut self, count: usize, direction: char) {
        if count > 0 {
            self.ink.push_str(&format!("\u{1b}[{count}{direction}"));
        }
    }

    fn put(&mut self, c: char) {
        let width = c.width().unwrap_or(0);
        if self.column + width > self.columns {
            self.ink.push_str("\u{1b}[K\r\n");
            self.row += 1;
            self.column = 0;
            self.blanks = 0;
        }
        self.column += width;
        if c == ' ' {
            self.blanks += 1;
            return;
        }
        self.put_blanks();
        self.ink.push(c);
        if self.widths.len() <= self.row {
            self.widths.resize(self.row + 1, 0);
        }
        self.widths[self.row] = self.column;
    }

    fn put_blanks(&mut self) {
        let blanks = std::mem::take(&mut self.blanks);
        self.ink.extend(std::iter::repeat_n(' ', blanks));
    }
}

impl TermLike for Pane {
    fn width(&self) -> u16 {
        u16::try_from(self.state().columns).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.state().rows).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut state = self.state();
        state.row = state.row.saturating_sub(n);
        state.go(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        let mut state = self.state();
        state.row += n;
        state.go(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        let mut state = self.state();
        state.column += n;
        state.go(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        let mut state = self.state();
        state.column = state.column.saturating_sub(n);
        state.go(n, 'D');
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.write_str(s)?;
        let mut state = self.state();
        state.ink.push_str("\u{1b}[K\r\n");
        state.row += 1;
        state.column = 0;
        state.blanks = 0;
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        let mut state = self.state();
        let mut is_escape = false;
        for c in s.chars() {
            match c {
                '\u{1b}' => {
                    state.put_blanks();
                    state.ink.push(c);
                    is_escape = true;
                }
                // Colours are the only sequences drawn, and end with a letter.
                c if is_escape => {
                    state.ink.push(c);
                    is_escape = !c.is_ascii_alphabetic();
                }
                '\r' => {
                    state.ink.push(c);
                    state.column = 0;
                    state.blanks = 0;
                }
                c => state.put(c),
            }
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut state = self.state();
        state.ink.push_str("\r\u{1b}[2K");
        state.column = 0;
        state.blanks = 0;
        let row = state.row;
        if let Some(width) = state.widths.get_mut(row) {
            *width = 0;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.state().blanks = 0;
        Ok(())
    }
}
