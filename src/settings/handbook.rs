//! The text of `docs/settings.md`, out of the table. Knows no setting by name.

use super::table::{Reading, SETTINGS, Setting};

const INTRODUCTION: &str = "\
# Settings

Each setting has one value and a place where it came from; `isar-build-all config` shows both. Layers, each
over the one before:

1. the default,
2. the user's file, `$XDG_CONFIG_HOME/isar-build-all/config.toml` (by default in `~/.config`),
3. the table `[settings]` of variants.toml,
4. the environment; of the variables below the first that is set counts, and an empty one counts as unset,
5. the command line (`isar-build-all --help`).

A relative path is taken from the directory of the file that sets it, in a variable or an option from the
working directory; a leading `~/` is the home directory. A list or table replaces that of the layer below, it
does not add to it. In a variable a list is split as a shell would, at white space, with quotes and backslashes.

`ISAR_BUILD_ALL_LOG=debug` shows on stderr every program that the tool starts.

| setting | default | meaning | variables |
|---|---|---|---|
";

/// The whole text. `docs/settings.md` is this, and a test holds it to that.
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
        Reading::Value => format!("`{}`", alias.name),
        Reading::Presence(value) => format!("`{}` (set: `{value}`)", alias.name),
        Reading::Switch(value) => format!("`{}` (set and not `0`: `{value}`)", alias.name),
    });
    let variables: Vec<String> = std::iter::once(own).chain(aliases).collect();
    format!(
        "| `{}` | {default} | {meaning} | {} |\n",
        setting.key,
        variables.join(", ")
    )
}
