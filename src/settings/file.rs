//! The settings in the text of a TOML file, with the spans of their keys and values.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::suggest;
use crate::settings::fault::{SettingsFault, SettingsSource};
use crate::settings::table;
use crate::settings::table::SETTINGS;

/// The settings of one file; the values are not checked yet.
pub(crate) struct SettingsFile<'a> {
    pub(crate) source: SettingsSource,
    values: Vec<(&'static str, Spanned<DeValue<'a>>)>,
}

impl<'a> SettingsFile<'a> {
    /// Reads the settings at the top of `text`, or in its table `table`. After a fault it continues
    /// with what can be read.
    pub(crate) fn read(
        source: SettingsSource,
        text: &'a str,
        table: Option<&str>,
    ) -> (Self, Vec<SettingsFault>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut faults: Vec<SettingsFault> = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                let mut fault =
                    SettingsFault::in_file(&source, span, error.message().to_owned(), None);
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
                            faults.push(SettingsFault::in_file(&source, span, message, hint));
                            DeTable::new()
                        }
                    }
                }
            },
        };
        let mut values = Vec::new();
        for (key, value) in settings {
            if !is_table(key.get_ref()) {
                match table::find(key.get_ref()) {
                    Some(setting) => values.push((setting.key, value)),
                    None => faults.push(unknown(&source, &key, key.get_ref())),
                }
                continue;
            }
            let span = value.span();
            let DeValue::Table(inner) = value.into_inner() else {
                let message = format!("`{}` must be a table", key.get_ref());
                faults.push(SettingsFault::in_file(&source, span, message, None));
                continue;
            };
            for (inner_key, value) in inner {
                let name = format!("{}.{}", key.get_ref(), inner_key.get_ref());
                match table::find(&name) {
                    Some(setting) => values.push((setting.key, value)),
                    None => faults.push(unknown(&source, &inner_key, &name)),
                }
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

/// Whether there are settings `word.…`.
fn is_table(word: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting
            .key
            .split_once('.')
            .is_some_and(|(table, _)| table == word)
    })
}

fn unknown(
    source: &SettingsSource,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    name: &str,
) -> SettingsFault {
    let known = SETTINGS.iter().map(|setting| setting.key);
    let hint = suggest::nearest(name, known).map_or_else(
        || "`isar-build-all config` lists the settings".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    SettingsFault::in_file(
        source,
        key.span(),
        format!("unknown setting `{name}`"),
        Some(hint),
    )
}
