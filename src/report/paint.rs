//! Colours by meaning. The caller decides whether there is colour.

/// The meaning of a piece of text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Secondary: prefixes, paths, skipped work.
    Quiet,
    /// Neutral.
    Normal,
    /// Success.
    Good,
    /// A warning, or a cancelled step.
    Warn,
    /// A failure.
    Bad,
    /// Output of a child, with its own colours.
    Child,
}

/// Adds colour to text, or leaves it plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether colour is written.
    pub color: bool,
}

impl Paint {
    /// The text in the colour of its tone.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        // Of the sixteen colours that every theme makes readable. Dim instead of grey, which some themes
        // draw in the colour of the background.
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
