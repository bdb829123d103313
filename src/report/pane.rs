//! The bottom lines of a terminal, as a terminal that indicatif draws on: a few columns narrower than
//! the real one, and with lines that end where their text ends.
//!
//! indicatif fills each line with blanks to the right edge and lets the terminal wrap there, which makes
//! one long line of all of them: after a resize it flows anew and old pictures stay behind. Here the
//! edge is ours, and a line break is written there. What is drawn is collected, so that a picture is one
//! write and an output that fails is an error of the reporter and no panic of the library. Nothing of the
//! terminal's state is changed (no hidden cursor, no raw mode), so nothing has to be restored.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};
use unicode_width::UnicodeWidthChar;

/// Room left at the right end, so that an echoed `^C` does not wrap the last line.
const MARGIN: usize = 3;
/// The narrowest pane: indicatif counts on a character of two columns to fit.
const NARROWEST: usize = 2;

/// The pane; clones draw on the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pane(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Columns of the real terminal.
    terminal: usize,
    columns: usize,
    rows: usize,
    /// What has not been taken yet.
    ink: String,
    /// Where the cursor is.
    row: usize,
    column: usize,
    /// Blanks before the cursor that are written only if text follows.
    blanks: usize,
    /// Columns of text in each row.
    widths: Vec<usize>,
}

impl Pane {
    /// Says how large the terminal is (columns, rows). Where its width has changed, what is drawn is
    /// wiped, and [`Pane::target`] has to be drawn on anew: then this is true.
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

    /// Columns of a line, and lines. One line of the terminal is left to what was written before.
    pub(super) fn room(&self) -> (usize, usize) {
        let state = self.state();
        (state.columns, state.rows)
    }

    /// What indicatif draws on. Every draw counts: they come at the pace of the reporter's ticks.
    pub(super) fn target(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(self.clone()))
    }

    /// Writes lines that stay; the pane must be empty, and begins anew below them.
    pub(super) fn leave(&self, lines: &[String]) {
        let mut state = self.state();
        for line in lines {
            state.ink.push_str(line);
            state.ink.push_str("\u{1b}[K\r\n");
        }
        state.restart();
    }

    /// What is to be written to the terminal.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.state().ink)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self) {
        self.row = 0;
        self.column = 0;
        self.blanks = 0;
        self.widths.clear();
    }

    /// Rows are counted at today's width: where the terminal was made narrower, it has wrapped them.
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
            // The first row by itself: where the picture begins at the top, a terminal may take the
            // clearing of all below for that of the screen, and keep it in its history (tmux does).
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
                // Colours are all that is drawn, and a letter ends them.
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
