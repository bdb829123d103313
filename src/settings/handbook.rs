//! The text of docs/settings.md, made from the table.

use crate::settings::setting::{Setting, VariableReading};
use crate::settings::table::SETTINGS;

const INTRODUCTION: &str = "\
# Settings

    $ isar-build-all config

prints each setting with its value and the place that set it. There are five layers; a later one overrides an
earlier one:

1. the default,
2. the user's file, `$XDG_CONFIG_HOME/isar-build-all/config.toml` (by default in `~/.config`),
3. the table `[settings]` of variants.toml,
4. the environment: the first variable of the last column that is set and not empty,
5. the command line (`isar-build-all --help`).

- A key with a dot is in a table: `wsl.unmount = \"lazy\"`, or `unmount = \"lazy\"` under `[settings.wsl]`.
- A relative path in a file is relative to the directory of the file. In a variable or an option it is relative
  to the working directory. A leading `~/` is the home directory.
- A list or table replaces the one of the layer below; the two are not merged.
- A list in a variable is split as in a shell: at white space, with quotes and backslashes.
  `ISAR_BUILD_ALL_ENV` contains words `NAME=VALUE`.

`ISAR_BUILD_ALL_LOG=debug` prints every program that the tool starts to stderr.

| setting | default | meaning | variables |
|---|---|---|---|
";

/// The text of docs/settings.md; a test compares the two.
#[must_use]
pub fn markdown() -> String {
    let rows: String = SETTINGS.iter().map(row).collect();
    format!("{INTRODUCTION}{rows}")
}

fn row(setting: &Setting) -> String {
    let doc = setting.doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let (meaning, default) = match doc.rsplit_once(" Default ") {
        Some((meaning, default)) => (meaning, default.trim_end_matches('.')),
        None => (doc.as_str(), "none"),
    };
    let own = format!("`{}`", setting.variable());
    let aliases = setting.aliases.iter().map(|alias| match alias.reading {
        VariableReading::Value => format!("`{}`", alias.name),
        VariableReading::Presence(value) => format!("`{}` (set: `{value}`)", alias.name),
        VariableReading::Switch(value) => format!("`{}` (set and not `0`: `{value}`)", alias.name),
    });
    let variables: Vec<String> = std::iter::once(own).chain(aliases).collect();
    format!(
        "| `{}` | {default} | {meaning} | {} |\n",
        setting.key,
        variables.join(", ")
    )
}
