//! Globs over names: `*`, `?`, `[a-z]`, `{a,b}`; a `!` in front turns one around.
//! Knows nothing of what the names stand for.

use globset::{GlobBuilder, GlobMatcher};

/// One glob, compiled. A text without glob characters is compared as it is.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// The text itself.
    Literal,
    /// `*` alone, which needs no automaton.
    Any,
    Glob(GlobMatcher),
}

impl Pattern {
    /// Compiles a glob. `*` and `?` do not match `/`.
    ///
    /// # Errors
    /// Why it is not a glob.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let matcher = if text == "*" {
            Matcher::Any
        } else if text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            let glob = GlobBuilder::new(text)
                .literal_separator(true)
                .build()
                .map_err(|error| error.kind().to_string())?;
            Matcher::Glob(glob.compile_matcher())
        } else {
            Matcher::Literal
        };
        Ok(Pattern {
            text: text.to_owned(),
            matcher,
        })
    }

    /// Whether the glob takes this name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Literal => self.text == name,
            Matcher::Any => !name.contains('/'),
            Matcher::Glob(matcher) => matcher.is_match(name),
        }
    }

    /// Whether it can match one name only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Literal)
    }

    /// The glob as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Several globs as one: a name is taken when a positive one takes it (or there is none) and no
/// negated one does.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    positive: Vec<Pattern>,
    negated: Vec<Pattern>,
}

impl Patterns {
    /// Adds a glob; `!` in front negates it.
    ///
    /// # Errors
    /// Why it is not a glob.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match text.strip_prefix('!') {
            Some(rest) => self.negated.push(Pattern::new(rest)?),
            None => self.positive.push(Pattern::new(text)?),
        }
        Ok(())
    }

    /// Whether a name is taken. Nothing (`None`) is taken by negations alone.
    #[must_use]
    pub fn take(&self, name: Option<&str>) -> bool {
        let Some(name) = name else {
            return self.positive.is_empty();
        };
        (self.positive.is_empty() || self.positive.iter().any(|glob| glob.matches(name)))
            && !self.negated.iter().any(|glob| glob.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        let mut all = Patterns::default();
        for text in texts {
            all.add(text).unwrap();
        }
        all
    }

    #[test]
    fn globs_and_negations() {
        assert!(patterns(&["s*", "base"]).take(Some("server")));
        assert!(!patterns(&["s*", "!server"]).take(Some("server")));
        assert!(patterns(&["!server"]).take(Some("base")));
        assert!(patterns(&["!server"]).take(None));
        assert!(!patterns(&["*"]).take(None));
        assert!(patterns(&["{a,b}-[0-9]"]).take(Some("b-7")));
        assert!(!patterns(&["*"]).take(Some("a/b")));
        assert!(patterns(&["*/b"]).take(Some("a/b")));
    }

    #[test]
    fn a_bad_glob_says_why() {
        assert!(Pattern::new("[a").unwrap_err().contains("class"));
    }
}
