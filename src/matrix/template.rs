//! Naming templates: text with variables and optional groups.
//!
//! `{a}` is a variable that must be set; `{a|b}` is the first of two that is set; `[-{a}]` is a group
//! that is dropped if a variable in it is unset; `{{`, `}}`, `[[` and `]]` are literal characters.
//! Groups do not nest. The meaning of variables is up to the caller, as the type `V`.

use std::ops::Range;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<V> {
    parts: Vec<TemplatePart<V>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart<V> {
    Text(String),
    Variable(VariableUse<V>),
    Group(Vec<TemplatePart<V>>),
}

/// One `{…}` of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableUse<V> {
    /// The alternatives, at least one; the first that is set counts.
    pub choices: Vec<V>,
    /// The bytes of the template, from `{` to `}`.
    pub range: Range<usize>,
    /// The text between the braces.
    pub text: String,
}

/// A fault of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// The bytes of the template.
    pub range: Range<usize>,
    /// The kind of fault.
    pub problem: TemplateProblem,
}

/// The kinds of faults of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateProblem {
    /// A variable that the caller does not define.
    UnknownVariable(String),
    /// `{}` or an empty alternative.
    EmptyVariable,
    /// An opening brace or bracket without a closing one.
    Unclosed(char),
    /// A closing brace or bracket without an opening one.
    Unopened(char),
    /// A group inside another.
    NestedGroup,
    /// A group without a variable, which would never be dropped.
    GroupWithoutVariable,
}

impl<V> Template<V> {
    /// Parses `text`; `lookup` resolves the name of a variable.
    ///
    /// # Errors
    /// Every fault, in order.
    pub fn parse(
        text: &str,
        lookup: impl Fn(&str) -> Option<V>,
    ) -> Result<Template<V>, Vec<TemplateFault>> {
        let mut parser = TemplateParser {
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

    /// Appends the rendered template to `out`.
    ///
    /// # Errors
    /// The first variable outside groups that is unset.
    pub fn render<'v>(
        &self,
        value: &impl Fn(&V) -> Option<&'v str>,
        out: &mut String,
    ) -> Result<(), &VariableUse<V>> {
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => out.push_str(text),
                TemplatePart::Variable(variable) => {
                    out.push_str(variable.value(value).ok_or(variable)?);
                }
                TemplatePart::Group(parts) => {
                    let start = out.len();
                    if !render_group(parts, value, out) {
                        out.truncate(start);
                    }
                }
            }
        }
        Ok(())
    }

    /// Every `{…}`, in groups too, in order.
    pub fn uses(&self) -> impl Iterator<Item = &VariableUse<V>> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                TemplatePart::Group(parts) => parts.as_slice(),
                single => std::slice::from_ref(single),
            })
            .filter_map(|part| match part {
                TemplatePart::Variable(variable) => Some(variable),
                _ => None,
            })
    }
}

fn render_group<'v, V>(
    parts: &[TemplatePart<V>],
    value: &impl Fn(&V) -> Option<&'v str>,
    out: &mut String,
) -> bool {
    parts.iter().all(|part| match part {
        TemplatePart::Text(text) => {
            out.push_str(text);
            true
        }
        TemplatePart::Variable(variable) => variable
            .value(value)
            .map(|text| out.push_str(text))
            .is_some(),
        TemplatePart::Group(_) => true,
    })
}

impl<V> VariableUse<V> {
    fn value<'v>(&self, value: &impl Fn(&V) -> Option<&'v str>) -> Option<&'v str> {
        self.choices.iter().find_map(value)
    }
}

struct TemplateParser<'t, L> {
    text: &'t str,
    at: usize,
    lookup: L,
    faults: Vec<TemplateFault>,
}

impl<L> TemplateParser<'_, L> {
    fn fault(&mut self, range: Range<usize>, problem: TemplateProblem) {
        self.faults.push(TemplateFault { range, problem });
    }

    /// Parses to the end, or up to the `]` of the group whose `[` is at offset `group`.
    fn parts<V>(&mut self, group: Option<usize>) -> Vec<TemplatePart<V>>
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
                '[' if group.is_some() => self.fault(start..self.at, TemplateProblem::NestedGroup),
                '[' => {
                    flush(&mut literal, &mut parts);
                    let inner = self.parts(Some(start));
                    parts.push(TemplatePart::Group(inner));
                }
                ']' if group.is_some() => {
                    flush(&mut literal, &mut parts);
                    self.check_group(group.unwrap_or(start), &parts);
                    return parts;
                }
                '}' | ']' => self.fault(start..self.at, TemplateProblem::Unopened(c)),
                c => literal.push(c),
            }
        }
        if let Some(start) = group {
            self.fault(start..start + 1, TemplateProblem::Unclosed('['));
        }
        flush(&mut literal, &mut parts);
        parts
    }

    fn check_group<V>(&mut self, start: usize, parts: &[TemplatePart<V>]) {
        let has_variable = parts
            .iter()
            .any(|part| matches!(part, TemplatePart::Variable(_)));
        let whole = start..self.at;
        let explained = self
            .faults
            .last()
            .is_some_and(|fault| fault.range.start >= whole.start);
        if !has_variable && !explained {
            self.fault(whole, TemplateProblem::GroupWithoutVariable);
        }
    }

    fn variable<V>(&mut self, start: usize) -> Option<TemplatePart<V>>
    where
        L: Fn(&str) -> Option<V>,
    {
        let Some(length) = self.text[self.at..].find(['}', '{', '[', ']']) else {
            self.fault(start..start + 1, TemplateProblem::Unclosed('{'));
            return None;
        };
        let end = self.at + length;
        if !self.text[end..].starts_with('}') {
            self.fault(start..end, TemplateProblem::Unclosed('{'));
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
                self.fault(start..self.at, TemplateProblem::EmptyVariable);
                complete = false;
            } else if let Some(variable) = (self.lookup)(name) {
                choices.push(variable);
            } else {
                let range = from..from + name.len();
                self.fault(range, TemplateProblem::UnknownVariable(name.to_owned()));
                complete = false;
            }
        }
        complete.then(|| {
            TemplatePart::Variable(VariableUse {
                choices,
                range: start..self.at,
                text: self.text[inner].to_owned(),
            })
        })
    }
}

fn flush<V>(literal: &mut String, parts: &mut Vec<TemplatePart<V>>) {
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(std::mem::take(literal)));
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

    /// Variables with the first letter `x` are unset; the value of any other is its own name.
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
    fn faults_carry_their_byte_range() {
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
        fn any_text_parses_or_yields_faults_within_it(text in "[a-c{}\\[\\]|.üA ]{0,24}") {
            if let Err(faults) = parse(&text) {
                for fault in faults {
                    prop_assert!(text.get(fault.range.clone()).is_some_and(|part| !part.is_empty()));
                }
            }
        }

        #[test]
        fn escaped_text_renders_to_itself(text in "[a-c{}\\[\\]ü ]{0,24}") {
            let escaped: String = text
                .chars()
                .flat_map(|c| std::iter::repeat_n(c, if "{}[]".contains(c) { 2 } else { 1 }))
                .collect();
            prop_assert_eq!(render(&escaped), Ok(text));
        }

        #[test]
        fn a_group_is_kept_exactly_if_its_variables_are_set(names in proptest::collection::vec("[ax]{1,2}", 1..4)) {
            let inner: String = names.iter().map(|name| format!("{{{name}}}")).collect();
            let text = render(&format!("<[{inner}]>"));
            let all_set = names.iter().all(|name| !name.starts_with('x'));
            let expected = if all_set { names.concat() } else { String::new() };
            prop_assert_eq!(text, Ok(format!("<{expected}>")));
        }
    }
}
