//! The bottom lines of a terminal, redrawn in place, with finished lines scrolling away above them.
//!
//! Written here and not with a progress-bar crate because those pad every line to the terminal's width
//! instead of ending it: after a resize the whole history reflows into one paragraph, and copied lines
//! come out joined. Nothing of the terminal's state is changed (no hidden cursor, no raw mode), so nothing
//! has to be restored, whatever ends us. Knows nothing of what the lines say.

use std::io;

use super::Output;
use super::sanitize::{fit, width};

/// Room left at the right end, so that an echoed `^C` does not wrap the last line.
const MARGIN: usize = 3;

/// Says columns and rows of the terminal.
pub type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// The bottom of a terminal.
pub struct Screen {
    out: Output,
    size: Size,
    drawn: Vec<String>,
}

impl Screen {
    /// Draws on `out`, which is a terminal of the size that `size` says at each call.
    #[must_use]
    pub fn new(out: Output, size: Size) -> Screen {
        Screen {
            out,
            size,
            drawn: Vec::new(),
        }
    }

    /// Columns that a redrawn line may take, and how many of them there may be.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        let (columns, rows) = (self.size)();
        (
            columns.saturating_sub(MARGIN).max(1),
            rows.saturating_sub(1).max(1),
        )
    }

    /// Writes `above` for good, and `frame` below it in place of the last frame.
    ///
    /// # Errors
    /// What the output gives.
    pub fn draw(&mut self, above: &[String], frame: &[String]) -> io::Result<()> {
        let (columns, rows) = self.room();
        let frame: Vec<String> = frame
            .iter()
            .take(rows)
            .map(|line| fit(line, columns))
            .collect();
        if above.is_empty() && frame == self.drawn {
            return Ok(());
        }
        // Old text is overwritten, and cleared only behind the new: clearing first would flicker.
        let mut text = self.to_top();
        for line in above {
            text.push_str(line);
            text.push_str("\u{1b}[K\r\n");
        }
        for (index, line) in frame.iter().enumerate() {
            if index > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\u{1b}[K");
        }
        text.push_str("\u{1b}[J");
        self.drawn = frame;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Takes the frame away; the cursor is left at the start of a free line.
    ///
    /// # Errors
    /// What the output gives.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.drawn.is_empty() {
            return Ok(());
        }
        let text = format!("{}\u{1b}[J", self.to_top());
        self.drawn.clear();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Moves to the first column of the frame that is drawn. Lines are counted at today's width: where
    /// the terminal was made narrower, it has wrapped them.
    fn to_top(&self) -> String {
        let (columns, _) = (self.size)();
        let columns = columns.max(1);
        let rows: usize = self
            .drawn
            .iter()
            .map(|line| width(line).div_ceil(columns).max(1))
            .sum();
        match rows {
            0 => String::new(),
            1 => "\r".to_owned(),
            more => format!("\r\u{1b}[{}A", more - 1),
        }
    }
}
