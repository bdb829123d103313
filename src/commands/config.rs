//! `config`: every setting, its value, and where it comes from.
//!
//! Works with a broken variants.toml: what cannot be used is said, the rest is shown.

use serde::Serialize;

use crate::cli::Format;
use crate::settings::{Entry, Environment, Fault, Layer, Resolution, Settings, unknown_variables};

use super::context::Context;
use super::failure::Failure;
use super::paint::{Color, paint};

/// Every setting as it counts, and what is wrong or surprising about them. As JSON
/// `{"schema":1,"settings":[…],"faults":[…],"warnings":[…]}`.
#[derive(Debug, Serialize)]
pub struct ConfigReport {
    schema: u32,
    /// The settings, in the table's order.
    #[serde(rename = "settings")]
    pub entries: Vec<Entry>,
    /// What could not be used, and was passed over.
    pub faults: Vec<Fault>,
    /// What the user should know: overridden values, misspelt variables.
    pub warnings: Vec<String>,
}

/// The text that the command prints, and its exit code.
///
/// # Errors
/// When a settings file exists and cannot be read.
pub fn run(context: &Context) -> Result<(String, u8), Failure> {
    let layers = context.layers(context.project_file()?)?;
    let resolution = Settings::resolve_leniently(&layers);
    let color = context.colors_output(&resolution.settings);
    let report = config(resolution, &layers.environment);
    let text = match context.cli.output.format {
        Format::Json => super::json(&report)?,
        Format::Text | Format::Dot => report.render(color),
    };
    Ok((text, report.exit_code()))
}

/// The settings for show.
#[must_use]
pub fn config(resolution: Resolution, environment: &Environment) -> ConfigReport {
    ConfigReport {
        schema: 1,
        entries: resolution.settings.entries(),
        warnings: warnings(&resolution.settings, environment),
        faults: resolution.faults,
    }
}

/// What should be said before a run as well.
#[must_use]
pub fn warnings(settings: &Settings, environment: &Environment) -> Vec<String> {
    let mut warnings = settings.warnings();
    warnings.extend(unknown_variables(environment));
    warnings
}

impl ConfigReport {
    /// Aligned text: a line a setting, under it what it overrides; faults and warnings at the end.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let key_width = self
            .entries
            .iter()
            .map(|entry| entry.key.len())
            .max()
            .unwrap_or(0);
        // One overlong value does not push all origins out of sight.
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

    /// 3 where a setting cannot be used. A variants.toml that is no TOML at all is `check`'s to judge.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.faults.iter().any(|fault| !fault.syntax) {
            3
        } else {
            0
        }
    }
}

fn shown(entry: &Entry) -> &str {
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
    fn every_value_has_its_origin_and_what_it_overrides() {
        let report = report(PROJECT);
        insta::assert_snapshot!(report.render(false));
        assert_eq!(report.exit_code(), 0);
        insta::assert_snapshot!("config_json", crate::commands::json(&report).unwrap());
    }

    #[test]
    fn a_setting_at_fault_is_said_and_the_rest_is_shown() {
        let report = report("[settings]\nstore = 'nxi'\njobs = 3\n");
        let text = report.render(false);
        let faults: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).collect();
        insta::assert_snapshot!(faults.join("\n"));
        assert_eq!(report.exit_code(), 3);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["faults"][0]["place"], "variants.toml:2:9");
    }

    #[test]
    fn broken_toml_is_no_failure_here() {
        let report = report("[settings]\njobs = \n");
        assert_eq!(report.faults.len(), 1);
        assert_eq!(report.exit_code(), 0);
    }
}
