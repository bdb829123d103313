//! Naming templates: text with variables and optional groups.
//!
//! `{a}` is a variable that must be set; `{a|b}` the first that is; `[-{a}]` a group that is dropped
//! when a variable in it is unset; `{{`, `}}`, `[[` and `]]` stand for the characters themselves.
//! Groups do not nest. Knows nothing of what the variables mean: `V` is the caller's.

use std::ops::Range;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<V> {
    parts: Vec<Part<V>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<V> {
    Text(String),
    Variable(Use<V>),
    Group(Vec<Part<V>>),
}

/// One `{…}`: what it may stand for, in order, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use<V> {
    /// The alternatives; at least one.
    pub choices: Vec<V>,
    /// The bytes of the template from `{` to `}`.
    pub range: Range<usize>,
    /// The text between the braces.
    pub text: String,
}

/// What is wrong with a template, in bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// Where.
    pub range: Range<usize>,
    /// What.
    pub problem: Problem,
}

/// The ways in which a template can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A variable that nobody knows.
    UnknownVariable(String),
    /// `{}` or an empty alternative.
    EmptyVariable,
    /// A brace or bracket that is never closed.
    Unclosed(char),
    /// A closing one that nothing opened.
    Unopened(char),
    /// A group within a group.
    NestedGroup,
    /// A group that nothing could drop.
    GroupWithoutVariable,
}

impl<V> Template<V> {
    /// Parses `text`; `lookup` turns a variable's name into what it stands for.
    ///
    /// # Errors
    /// All that is wrong with it, in order.
    pub fn parse(
        text: &str,
        lookup: impl Fn(&str) -> Option<V>,
    ) -> Result<Template<V>, Vec<TemplateFault>> {
        let mut parser = Parser {
            text,
            at: 0,
            lookup,
            faults: Vec::new(),
        };
        let parts = parser.parts(None);
        if parser.faults.is_empty() {
            Ok(Template { parts })
        } else {
            Err(parser.faults)
        }
    }

    /// Appends the text with every variable replaced.
    ///
    /// # Errors
    /// The first variable outside a group that has no value.
    pub fn render<'v>(
        &self,
        value: &impl Fn(&V) -> Option<&'v str>,
        out: &mut String,
    ) -> Result<(), &Use<V>> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(variable) => {
                    out.push_str(variable.value(value).ok_or(variable)?);
                }
                Part::Group(parts) => {
                    let start = out.len();
                    if !render_group(parts, value, out) {
                        out.truncate(start);
                    }
                }
            }
        }
        Ok(())
    }

    /// Every use of a variable, groups included, in order.
    pub fn uses(&self) -> impl Iterator<Item = &Use<V>> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                Part::Group(parts) => parts.as_slice(),
                single => std::slice::from_ref(single),
            })
            .filter_map(|part| match part {
                Part::Variable(variable) => Some(variable),
                _ => None,
            })
    }
}

fn render_group<'v, V>(
    parts: &[Part<V>],
    value: &impl Fn(&V) -> Option<&'v str>,
    out: &mut String,
) -> bool {
    parts.iter().all(|part| match part {
        Part::Text(text) => {
            out.push_str(text);
            true
        }
        Part::Variable(variable) => variable
            .value(value)
            .map(|text| out.push_str(text))
            .is_some(),
        Part::Group(_) => true,
    })
}

impl<V> Use<V> {
    fn value<'v>(&self, value: &impl Fn(&V) -> Option<&'v str>) -> Option<&'v str> {
        self.choices.iter().find_map(value)
    }
}

struct Parser<'t, L> {
    text: &'t str,
    at: usize,
    lookup: L,
    faults: Vec<TemplateFault>,
}

impl<L> Parser<'_, L> {
    fn fault(&mut self, range: Range<usize>, problem: Problem) {
        self.faults.push(TemplateFault { range, problem });
    }

    /// Parses up to the end, or within a group (whose `[` stands at `group`) up to its `]`.
    fn parts<V>(&mut self, group: Option<usize>) -> Vec<Part<V>>
    where
        L: Fn(&str) -> Option<V>,
    {
        let mut parts = Vec::new();
        let mut literal = String::new();
        while let Some(c) = self.text[self.at..].chars().next() {
            let start = self.at;
            self.at += c.len_utf8();
            if "{}[]".contains(c) && self.text[self.at..].starts_with(c) {
                self.at += 1;
                literal.push(c);
                continue;
            }
            match c {
                '{' => {
                    flush(&mut literal, &mut parts);
                    parts.extend(self.variable(start));
                }
                '[' if group.is_some() => self.fault(start..self.at, Problem::NestedGroup),
                '[' => {
                    flush(&mut literal, &mut parts);
                    let inner = self.parts(Some(start));
                    parts.push(Part::Group(inner));
                }
                ']' if group.is_some() => {
                    flush(&mut literal, &mut parts);
                    self.check_group(group.unwrap_or(start), &parts);
                    return parts;
                }
                '}' | ']' => self.fault(start..self.at, Problem::Unopened(c)),
                c => literal.push(c),
            }
        }
        if let Some(start) = group {
            self.fault(start..start + 1, Problem::Unclosed('['));
        }
        flush(&mut literal, &mut parts);
        parts
    }

    fn check_group<V>(&mut self, start: usize, parts: &[Part<V>]) {
        let has_variable = parts.iter().any(|part| matches!(part, Part::Variable(_)));
        let whole = start..self.at;
        let explained = self
            .faults
            .last()
            .is_some_and(|fault| fault.range.start >= whole.start);
        if !has_variable && !explained {
            self.fault(whole, Problem::GroupWithoutVariable);
        }
    }

    fn variable<V>(&mut self, start: usize) -> Option<Part<V>>
    where
        L: Fn(&str) -> Option<V>,
    {
        let Some(length) = self.text[self.at..].find(['}', '{', '[', ']']) else {
            self.fault(start..start + 1, Problem::Unclosed('{'));
            return None;
        };
        let end = self.at + length;
        if !self.text[end..].starts_with('}') {
            self.fault(start..end, Problem::Unclosed('{'));
            self.at = end;
            return None;
        }
        let inner = self.at..end;
        self.at = end + 1;
        let mut choices = Vec::new();
        let mut complete = true;
        let mut offset = inner.start;
        for word in self.text[inner.clone()].split('|') {
            let name = word.trim();
            let from = offset + (word.len() - word.trim_start().len());
            offset += word.len() + 1;
            if name.is_empty() {
                self.fault(start..self.at, Problem::EmptyVariable);
                complete = false;
            } else if let Some(variable) = (self.lookup)(name) {
                choices.push(variable);
            } else {
                let range = from..from + name.len();
                self.fault(range, Problem::UnknownVariable(name.to_owned()));
                complete = false;
            }
        }
        complete.then(|| {
            Part::Variable(Use {
                choices,
                range: start..self.at,
                text: self.text[inner].to_owned(),
            })
        })
    }
}

fn flush<V>(literal: &mut String, parts: &mut Vec<Part<V>>) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Template<String>, Vec<TemplateFault>> {
        Template::parse(text, |name| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                .then(|| name.to_owned())
        })
    }

    /// `x…` is unset, every other variable is its own name.
    fn render(text: &str) -> Result<String, String> {
        let template = parse(text).map_err(|faults| format!("{faults:?}"))?;
        let mut out = String::new();
        let names: Vec<String> = template
            .uses()
            .flat_map(|used| used.choices.clone())
            .collect();
        let value = |name: &String| {
            let known = names.iter().find(|known| *known == name)?;
            (!name.starts_with('x')).then_some(known.as_str())
        };
        template
            .render(&value, &mut out)
            .map_err(|used| format!("unset {} at {:?}", used.text, used.range))?;
        Ok(out)
    }

    #[test]
    fn templates_render() {
        for (template, text) in [
            ("plain", "plain"),
            ("{a}-{b.c}", "a-b.c"),
            ("{a}[-{b}][-{x}]{c}", "a-bc"),
            ("{x|b}{ x | y }", "by"),
            ("[{x}{a}]z", "z"),
            ("{{a}} [[b]]", "{a} [b]"),
            ("ü{a}ü", "üaü"),
            ("", ""),
        ] {
            assert_eq!(render(template).as_deref(), Ok(text), "{template}");
        }
        assert_eq!(render("é{x|xx}"), Err("unset x|xx at 2..8".to_owned()));
    }

    #[test]
    fn every_fault_has_its_place() {
        let all: Vec<String> = [
            "{a",
            "{a[-{b}]",
            "a}",
            "a]",
            "[a",
            "[a]",
            "[{a}[-{b}]]",
            "[a[b]",
            "{}",
            "{a|}",
            "{Foo|a|Bar}",
            "{A}{B}",
        ]
        .iter()
        .map(|text| match parse(text) {
            Ok(_) => format!("{text:14} parses"),
            Err(faults) => faults
                .iter()
                .map(|fault| format!("{text:14} {:?} {:?}", fault.range, fault.problem))
                .collect::<Vec<_>>()
                .join("\n"),
        })
        .collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        {a             0..1 Unclosed('{')
        {a[-{b}]       0..2 Unclosed('{')
        a}             1..2 Unopened('}')
        a]             1..2 Unopened(']')
        [a             0..1 Unclosed('[')
        [a]            0..3 GroupWithoutVariable
        [{a}[-{b}]]    4..5 NestedGroup
        [{a}[-{b}]]    0..1 Unclosed('[')
        [a[b]          2..3 NestedGroup
        {}             0..2 EmptyVariable
        {a|}           0..4 EmptyVariable
        {Foo|a|Bar}    1..4 UnknownVariable("Foo")
        {Foo|a|Bar}    7..10 UnknownVariable("Bar")
        {A}{B}         1..2 UnknownVariable("A")
        {A}{B}         4..5 UnknownVariable("B")
        "#);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_says_where_it_does_not(text in "[a-c{}\\[\\]|.üA ]{0,24}") {
            if let Err(faults) = parse(&text) {
                for fault in faults {
                    prop_assert!(text.get(fault.range.clone()).is_some_and(|part| !part.is_empty()));
                }
            }
        }

        #[test]
        fn escaped_text_is_itself(text in "[a-c{}\\[\\]ü ]{0,24}") {
            let escaped: String = text
                .chars()
                .flat_map(|c| std::iter::repeat_n(c, if "{}[]".contains(c) { 2 } else { 1 }))
                .collect();
            prop_assert_eq!(render(&escaped), Ok(text));
        }

        #[test]
        fn a_group_is_there_exactly_when_its_variables_are(names in proptest::collection::vec("[ax]{1,2}", 1..4)) {
            let inner: String = names.iter().map(|name| format!("{{{name}}}")).collect();
            let text = render(&format!("<[{inner}]>"));
            let all_set = names.iter().all(|name| !name.starts_with('x'));
            let expected = if all_set { names.concat() } else { String::new() };
            prop_assert_eq!(text, Ok(format!("<{expected}>")));
        }
    }
}
