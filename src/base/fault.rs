//! Faults of a text file: message, source span and hint, and their rendering with source lines.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

/// One fault of a source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The bytes of the source to underline; `None` for a fault outside the source, such as an
    /// option of the command line.
    pub span: Option<Range<usize>>,
    /// The fault, as one sentence without a full stop.
    pub message: String,
    /// A few words under the underlined text.
    pub label: String,
    /// Further spans that belong to the fault, each with its label.
    pub also: Vec<(Range<usize>, String)>,
    /// The remedy.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a span of the source.
    pub fn at(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault {
            span: Some(span),
            message: message.into(),
            label: label.into(),
            also: Vec::new(),
            hint: None,
        }
    }

    /// A fault outside the source.
    pub fn nowhere(message: impl Into<String>) -> Fault {
        Fault {
            span: None,
            message: message.into(),
            label: String::new(),
            also: Vec::new(),
            hint: None,
        }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a further span.
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

    /// Adds a fault.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Whether there are no faults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of faults.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The faults, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Adds all faults of `other`, which must be about the same source.
    pub fn append(&mut self, mut other: Faults) {
        self.0.append(&mut other.0);
    }

    /// All faults as text, each with file name, line, column, the underlined source and its hint.
    ///
    /// They are sorted by their position in the source; those without a span come last. Without
    /// `color` the output is ASCII, apart from the source itself; with it, boxes are drawn, too.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &str, color: bool) -> String {
        self.render_as("error", file_name, source, color)
    }

    /// The same as [`Faults::render`], with the word `warning` instead of `error`.
    #[must_use]
    pub fn render_warnings(&self, file_name: &str, source: &str, color: bool) -> String {
        self.render_as("warning", file_name, source, color)
    }

    fn render_as(&self, word: &str, file_name: &str, source: &str, color: bool) -> String {
        let mut sorted: Vec<&Fault> = self.0.iter().collect();
        sorted.sort_by_key(|fault| fault.span.as_ref().map_or(usize::MAX, |span| span.start));
        let renderer = FaultRenderer::new(word, file_name, source, color);
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

/// The faults of one file, with its name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFaults {
    /// The name of the file in messages.
    pub file_name: String,
    /// The text of the file.
    pub source: String,
    /// The faults.
    pub faults: Faults,
}

impl FileFaults {
    /// See [`Faults::render`].
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        self.faults.render(&self.file_name, &self.source, color)
    }
}

struct FaultRenderer<'a> {
    handler: GraphicalReportHandler,
    file_name: &'a str,
    source: &'a str,
    color: bool,
}

impl<'a> FaultRenderer<'a> {
    fn new(word: &str, file_name: &'a str, source: &'a str, color: bool) -> FaultRenderer<'a> {
        let mut theme = if color {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::none()
        };
        theme.characters.error = format!("{word}:");
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_context_lines(1)
            // The terminal wraps long lines; a message on one line can be found by grep.
            .with_wrap_lines(false)
            .with_width(400);
        FaultRenderer {
            handler,
            file_name,
            source,
            color,
        }
    }

    fn render(&self, fault: &Fault, out: &mut String) {
        let shown = FaultDiagnostic {
            message: &fault.message,
            source: fault
                .span
                .is_some()
                .then(|| NamedSource::new(self.file_name, self.source.to_owned())),
            labels: self.labels(fault),
        };
        // miette fails for a span outside the source; the message is printed all the same.
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

    /// The part of a span within its first line, clamped to the source. The header of a table is
    /// enough; underlining all its lines would hide it.
    fn on_one_line(&self, span: Range<usize>) -> Range<usize> {
        // miette cannot draw the empty line after the last line break, so a span there is moved to
        // the end of the last line with text.
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
struct FaultDiagnostic<'a> {
    message: &'a str,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for FaultDiagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for FaultDiagnostic<'_> {}

impl Diagnostic for FaultDiagnostic<'_> {
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
    fn a_rendered_fault_has_file_line_column_source_and_hint() {
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
    fn spans_outside_the_source_are_clamped() {
        for span in [5..9, 3..3, 0..90, 90..91] {
            let faults: Faults = [Fault::at(span, "message", "label")].into_iter().collect();
            assert!(faults.render("f", "abc", false).contains("message"));
            assert!(faults.render("f", "", false).contains("message"));
        }
    }

    #[test]
    fn only_coloured_output_has_escapes() {
        let faults: Faults = [Fault::at(0..1, "m", "l").hint("h")].into_iter().collect();
        assert!(faults.render("f", "abc", true).contains('\u{1b}'));
        assert!(faults.render("f", "abc", false).is_ascii());
    }
}
