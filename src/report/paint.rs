//! Colour by meaning. Knows nothing of terminals: whether there is colour is said by the caller.

/// What a piece of text means to the one who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Beside the point: prefixes, paths, what did not run.
    Quiet,
    /// Neither good nor bad.
    Normal,
    /// Something is done.
    Good,
    /// Something should be known.
    Warn,
    /// Something failed.
    Bad,
    /// What a child wrote; it has its own colours.
    Child,
}

/// Paints, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether colour is written.
    pub color: bool,
}

impl Paint {
    /// The text in the colour of its tone.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        // The sixteen colours that every terminal's theme makes readable; dim instead of grey, which
        // some themes draw in the background's colour.
        let code = match tone {
            Tone::Normal | Tone::Child => return text.to_owned(),
            Tone::Quiet => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
        };
        self.code(code, text)
    }

    /// The text in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
