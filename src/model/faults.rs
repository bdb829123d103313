//! Faults: what is wrong with a text, where, and what to do; and how that is shown.
//! Knows nothing of what the text means.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The bytes of the source to underline; `None` for what does not come from the source, as an
    /// option on the command line.
    pub span: Option<Range<usize>>,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// A few words under the underlined text.
    pub label: String,
    /// Further places that belong to it, each with its label.
    pub also: Vec<(Range<usize>, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a place of the source.
    pub fn at(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault {
            span: Some(span),
            message: message.into(),
            label: label.into(),
            also: Vec::new(),
            hint: None,
        }
    }

    /// A fault that no line of the source is to blame for.
    pub fn nowhere(message: impl Into<String>) -> Fault {
        Fault {
            span: None,
            message: message.into(),
            label: String::new(),
            also: Vec::new(),
            hint: None,
        }
    }

    /// The same fault with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with one more place.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Fault {
        self.also.push((span, label.into()));
        self
    }
}

/// The faults of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Adds one.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Adds those of another collection about the same source.
    pub fn append(&mut self, mut other: Faults) {
        self.0.append(&mut other.0);
    }

    /// All faults as text, in the order of the source: each with file name, line, column, the text
    /// underlined, and its hint. Those without a place come last. `color` also turns on the
    /// box-drawing characters; without it the text is plain ASCII but for what the source holds.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &str, color: bool) -> String {
        self.render_as("error", file_name, source, color)
    }

    /// As [`Faults::render`], under the word `warning`.
    #[must_use]
    pub fn render_warnings(&self, file_name: &str, source: &str, color: bool) -> String {
        self.render_as("warning", file_name, source, color)
    }

    fn render_as(&self, word: &str, file_name: &str, source: &str, color: bool) -> String {
        let mut sorted: Vec<&Fault> = self.0.iter().collect();
        sorted.sort_by_key(|fault| fault.span.as_ref().map_or(usize::MAX, |span| span.start));
        let renderer = Renderer::new(word, file_name, source, color);
        let mut out = String::new();
        for fault in sorted {
            if !out.is_empty() {
                out.push('\n');
            }
            renderer.render(fault, &mut out);
        }
        out
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(iter: I) -> Self {
        Faults(iter.into_iter().collect())
    }
}

/// The faults of one file, with what is needed to show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFaults {
    /// The file's name as the user knows it.
    pub file_name: String,
    /// Its text.
    pub source: String,
    /// What is wrong with it.
    pub faults: Faults,
}

impl FileFaults {
    /// See [`Faults::render`].
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        self.faults.render(&self.file_name, &self.source, color)
    }
}

struct Renderer<'a> {
    handler: GraphicalReportHandler,
    file_name: &'a str,
    source: &'a str,
    color: bool,
}

impl<'a> Renderer<'a> {
    fn new(word: &str, file_name: &'a str, source: &'a str, color: bool) -> Renderer<'a> {
        let mut theme = if color {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::none()
        };
        theme.characters.error = format!("{word}:");
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_context_lines(1)
            // The terminal wraps; a message on one line can be searched for.
            .with_wrap_lines(false)
            .with_width(400);
        Renderer {
            handler,
            file_name,
            source,
            color,
        }
    }

    fn render(&self, fault: &Fault, out: &mut String) {
        let shown = Shown {
            message: &fault.message,
            source: fault
                .span
                .is_some()
                .then(|| NamedSource::new(self.file_name, self.source.to_owned())),
            labels: self.labels(fault),
        };
        // Writing to a String does not fail, and a fault that cannot be drawn is still said.
        if self.handler.render_report(out, &shown).is_err() {
            out.push_str(&fault.message);
            out.push('\n');
        }
        if let Some(hint) = &fault.hint {
            let (on, off) = if self.color {
                ("\u{1b}[36m", "\u{1b}[0m")
            } else {
                ("", "")
            };
            out.push_str(&format!("  {on}hint:{off} {hint}\n"));
        }
    }

    fn labels(&self, fault: &Fault) -> Vec<LabeledSpan> {
        let primary = fault.span.clone().map(|span| {
            let span = self.on_one_line(span);
            let label = (!fault.label.is_empty()).then(|| fault.label.clone());
            LabeledSpan::new_primary_with_span(label, span)
        });
        let further = fault.also.iter().map(|(span, label)| {
            LabeledSpan::new_with_span(Some(label.clone()), self.on_one_line(span.clone()))
        });
        primary.into_iter().chain(further).collect()
    }

    /// A span inside the source that ends where its first line ends: underlining a table of forty
    /// lines says no more than underlining its head.
    fn on_one_line(&self, span: Range<usize>) -> Range<usize> {
        // What is missing at the end of a file is shown after its last word: the empty line behind the
        // last line break cannot be drawn.
        let last = self.source.trim_end().len();
        let start = floor_char_boundary(self.source, span.start);
        if start >= last {
            return last..last;
        }
        let end = floor_char_boundary(self.source, span.end).max(start);
        let text = &self.source[start..end];
        let line = text.split('\n').next().unwrap_or(text);
        start..start + line.trim_end().len()
    }
}

fn floor_char_boundary(text: &str, mut index: usize) -> usize {
    index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[derive(Debug)]
struct Shown<'a> {
    message: &'a str,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_file_line_column_text_and_hint() {
        let source = "schema = 1\n[axes]\nröle = 3\n";
        let faults: Faults = [
            Fault::nowhere("nothing was selected").hint("select something"),
            Fault::at(26..27, "wrong type", "expected a list").hint("write `[\"base\"]`"),
        ]
        .into_iter()
        .collect();
        insta::assert_snapshot!(faults.render("variants.toml", source, false), @r#"
         error: wrong type
          ,-[variants.toml:3:9]
        2 | [axes]
        3 | röle = 3
          :        |
          :        `-- expected a list
          `----
         hint: write `["base"]`

         error: nothing was selected
         hint: select something
        "#);
    }

    #[test]
    fn places_outside_the_text_are_brought_inside() {
        for span in [5..9, 3..3, 0..90, 90..91] {
            let faults: Faults = [Fault::at(span, "message", "label")].into_iter().collect();
            assert!(faults.render("f", "abc", false).contains("message"));
            assert!(faults.render("f", "", false).contains("message"));
        }
    }

    #[test]
    fn colour_is_a_choice() {
        let faults: Faults = [Fault::at(0..1, "m", "l").hint("h")].into_iter().collect();
        assert!(faults.render("f", "abc", true).contains('\u{1b}'));
        assert!(faults.render("f", "abc", false).is_ascii());
    }
}
