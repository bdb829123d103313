//! `config`: every setting, its value and its origin.
//!
//! Works with a broken variants.toml: reports the settings that cannot be used, and shows the others.

use std::process::ExitCode;

use serde::Serialize;

use crate::commands::output::{json, print_with};
use crate::commands::{Invocation, Subcommand};
use crate::settings::{
    Environment, Layer, Resolution, SettingEntry, Settings, SettingsFault, unknown_variables,
};

use crate::base::failure::Failure;
use crate::commands::paint::{Color, paint};
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;

pub(super) struct ConfigCommand;

impl Subcommand for ConfigCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("config").about("Show every setting, its value and its origin")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print_with(run(&call.context()?)?)
    }
}

/// Every setting with its effective value, faults and warnings; as JSON
/// `{"schema":1,"settings":[…],"faults":[…],"warnings":[…]}`.
#[derive(Debug, Serialize)]
struct ConfigReport {
    schema: u32,
    /// The settings, in the order of the table.
    #[serde(rename = "settings")]
    entries: Vec<SettingEntry>,
    /// The values that could not be used.
    faults: Vec<SettingsFault>,
    /// Overridden values and misspelt variables.
    warnings: Vec<String>,
}

/// The text to print, and the exit code.
///
/// # Errors
/// When a settings file exists and cannot be read.
fn run(context: &Context) -> Result<(String, u8), Failure> {
    let layers = context.layers(context.project_file()?)?;
    let resolution = Settings::resolve_leniently(&layers);
    let color = context.colors_output(&resolution.settings);
    let report = config(resolution, &layers.environment);
    let text = match context.arguments.output.format {
        OutputFormat::Json => json(&report)?,
        OutputFormat::Text | OutputFormat::Dot => report.render(color),
    };
    Ok((text, report.exit_code()))
}

/// The report on a resolution.
fn config(resolution: Resolution, environment: &Environment) -> ConfigReport {
    ConfigReport {
        schema: 1,
        entries: resolution.settings.entries(),
        warnings: warnings(&resolution.settings, environment),
        faults: resolution.faults,
    }
}

/// The warnings, which a run gives, too.
pub(super) fn warnings(settings: &Settings, environment: &Environment) -> Vec<String> {
    let mut warnings = settings.warnings();
    warnings.extend(unknown_variables(environment));
    warnings
}

impl ConfigReport {
    /// Aligned text: a line for each setting, overridden values below it, faults and warnings at the end.
    fn render(&self, color: bool) -> String {
        let key_width = self
            .entries
            .iter()
            .map(|entry| entry.key.len())
            .max()
            .unwrap_or(0);
        // One overlong value does not push every origin off the screen.
        let value_width = self
            .entries
            .iter()
            .map(|entry| shown(entry).chars().count())
            .filter(|width| *width <= 48)
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for entry in &self.entries {
            let origin = origin(entry.layer, entry.place.as_deref());
            let origin = match entry.layer {
                Layer::Default => paint(color, Color::Dim, &origin),
                _ => origin,
            };
            let key = format!("{:key_width$}", entry.key);
            let key = paint(color, Color::Bold, &key);
            text += &format!("{key}  {:value_width$}  {origin}\n", shown(entry));
            for overridden in &entry.overrides {
                let line = format!(
                    "{:key_width$}  over {}  {}",
                    "",
                    overridden.shown,
                    origin_of(overridden.layer, &overridden.place)
                );
                text += &(paint(color, Color::Dim, &line) + "\n");
            }
        }
        for fault in &self.faults {
            text += &format!(
                "\n{} {}: {}\n",
                paint(color, Color::Red, "error:"),
                fault.place(),
                fault.message
            );
            if let Some(hint) = &fault.hint {
                text += &format!("hint: {hint}\n");
            }
        }
        for warning in &self.warnings {
            text += &format!("\n{} {warning}\n", paint(color, Color::Yellow, "warning:"));
        }
        text
    }

    /// 3 if a setting cannot be used. A variants.toml that is not TOML is reported by `check`, not here.
    fn exit_code(&self) -> u8 {
        if self.faults.iter().any(|fault| !fault.syntax) {
            3
        } else {
            0
        }
    }
}

fn shown(entry: &SettingEntry) -> &str {
    if entry.shown.is_empty() {
        "(none)"
    } else {
        &entry.shown
    }
}

fn origin(layer: Layer, place: Option<&str>) -> String {
    match place {
        Some(place) => origin_of(layer, place),
        None => layer.as_str().to_owned(),
    }
}

fn origin_of(layer: Layer, place: &str) -> String {
    format!("{} ({place})", layer.as_str())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{CommandLine, Jobs, LayerFile, LayerInput};
    use crate::store::BACKENDS;
    use crate::store::choice::words;

    fn report(project: &str) -> ConfigReport {
        let variables = [("DL_DIR", "/tmp/dl"), ("ISAR_BUILD_ALL_JOB", "2")];
        let layers = LayerInput {
            project_dir: "/src/product".into(),
            working_dir: "/src/product".into(),
            user: Some(LayerFile {
                path: "/home/user/.config/isar-build-all/config.toml".into(),
                text: "dl-dir = '/home/user/dl'\n".into(),
            }),
            project: Some(LayerFile {
                path: "/src/product/variants.toml".into(),
                text: project.into(),
            }),
            environment: Environment::new(Path::new("/home/user"), variables),
            command_line: CommandLine {
                jobs: Some(Jobs::Fixed(2)),
                ..CommandLine::default()
            },
            stores: words(BACKENDS),
        };
        config(Settings::resolve_leniently(&layers), &layers.environment)
    }

    const PROJECT: &str = "\
[settings]
dl-dir = '/big/dl'
mounts = ['mirror:/mirror:ro']
env = { LANGUAGE = 'two words' }
";

    #[test]
    fn config_shows_origins_and_overridden_values() {
        let report = report(PROJECT);
        insta::assert_snapshot!(report.render(false));
        assert_eq!(report.exit_code(), 0);
        insta::assert_snapshot!("config_json", json(&report).unwrap());
    }

    #[test]
    fn config_reports_faulty_settings_and_shows_the_others() {
        let report = report("[settings]\nstore = 'nxi'\njobs = 3\n");
        let text = report.render(false);
        let faults: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).collect();
        insta::assert_snapshot!(faults.join("\n"));
        assert_eq!(report.exit_code(), 3);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["faults"][0]["place"], "variants.toml:2:9");
    }

    #[test]
    fn config_succeeds_with_broken_toml() {
        let report = report("[settings]\njobs = \n");
        assert_eq!(report.faults.len(), 1);
        assert_eq!(report.exit_code(), 0);
    }
}
