//! Finds the settings in the text of a TOML file, with the spans of keys and values.
//!
//! Knows nothing of what a value must be.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Source};
use super::table::SETTINGS;
use crate::model::suggest;

/// The settings of one file, as written.
pub(crate) struct SettingsFile<'a> {
    pub(crate) source: Source,
    values: Vec<(&'static str, Spanned<DeValue<'a>>)>,
}

impl<'a> SettingsFile<'a> {
    /// Reads `text`, or the table `table` in it. As much as can be read is, around faults, too.
    pub(crate) fn read(source: Source, text: &'a str, table: Option<&str>) -> (Self, Vec<Fault>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut faults: Vec<Fault> = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                let mut fault = Fault::in_file(&source, span, error.message().to_owned(), None);
                fault.syntax = true;
                fault
            })
            .collect();
        let document = document.into_inner();
        let settings = match table {
            None => document,
            Some(name) => match document.into_iter().find(|(key, _)| key.get_ref() == name) {
                None => DeTable::new(),
                Some((_, value)) => {
                    let span = value.span();
                    match value.into_inner() {
                        DeValue::Table(settings) => settings,
                        _ => {
                            let message = format!("`{name}` must be a table");
                            let hint = Some(format!("write `[{name}]` on a line of its own"));
                            faults.push(Fault::in_file(&source, span, message, hint));
                            DeTable::new()
                        }
                    }
                }
            },
        };
        let mut values = Vec::new();
        for (key, value) in settings {
            match SETTINGS.iter().find(|setting| setting.key == key.get_ref()) {
                Some(setting) => values.push((setting.key, value)),
                None => faults.push(unknown(&source, &key)),
            }
        }
        (Self { source, values }, faults)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Spanned<DeValue<'a>>> {
        self.values
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }
}

fn unknown(source: &Source, key: &Spanned<std::borrow::Cow<'_, str>>) -> Fault {
    let name = key.get_ref();
    let known = SETTINGS.iter().map(|setting| setting.key);
    let hint = suggest::nearest(name, known).map_or_else(
        || "`isar-build-all config` lists the settings".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Fault::in_file(
        source,
        key.span(),
        format!("unknown setting `{name}`"),
        Some(hint),
    )
}
