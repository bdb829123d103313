//! Globs over names: `*`, `?`, `[a-z]`, `{a,b}`; a leading `!` negates.

use globset::{GlobBuilder, GlobMatcher};

/// A compiled glob. A text without glob characters matches only itself.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

/// The cheapest way to match; selections run over 100,000 names.
#[derive(Debug, Clone)]
enum Matcher {
    Literal,
    /// `*` alone.
    Any,
    Glob(GlobMatcher),
}

impl Pattern {
    /// Compiles a glob. `*` and `?` do not match `/`.
    ///
    /// # Errors
    /// Why the glob is invalid.
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

    /// Whether `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Literal => self.text == name,
            Matcher::Any => !name.contains('/'),
            Matcher::Glob(matcher) => matcher.is_match(name),
        }
    }

    /// Whether the pattern matches only its own text.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Literal)
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A list of globs. A name matches if a positive glob matches it (or there is none), and no negated
/// glob does.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    positive: Vec<Pattern>,
    negated: Vec<Pattern>,
}

impl Patterns {
    /// Adds a glob; a leading `!` negates it.
    ///
    /// # Errors
    /// Why the glob is invalid.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match text.strip_prefix('!') {
            Some(rest) => self.negated.push(Pattern::new(rest)?),
            None => self.positive.push(Pattern::new(text)?),
        }
        Ok(())
    }

    /// Whether a name matches. An absent name (`None`) matches if all globs are negated.
    #[must_use]
    pub fn matches(&self, name: Option<&str>) -> bool {
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
    fn patterns_combine_globs_and_negations() {
        assert!(patterns(&["s*", "base"]).matches(Some("server")));
        assert!(!patterns(&["s*", "!server"]).matches(Some("server")));
        assert!(patterns(&["!server"]).matches(Some("base")));
        assert!(patterns(&["!server"]).matches(None));
        assert!(!patterns(&["*"]).matches(None));
        assert!(patterns(&["{a,b}-[0-9]"]).matches(Some("b-7")));
        assert!(!patterns(&["*"]).matches(Some("a/b")));
        assert!(patterns(&["*/b"]).matches(Some("a/b")));
    }

    #[test]
    fn an_invalid_glob_has_a_reason() {
        assert!(Pattern::new("[a").unwrap_err().contains("class"));
    }
}
