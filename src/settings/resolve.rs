//! Resolves the layers: for each setting the strongest layer that sets it wins.

use std::path::{Path, PathBuf};

use crate::base::suggest;
use crate::settings::choices::StoreWord;
use crate::settings::defaults::DefaultContext;
use crate::settings::environment::{Environment, SYSTEM_ROOT};
use crate::settings::fault::{SettingsError, SettingsFault, SettingsSource};
use crate::settings::file::SettingsFile;
use crate::settings::kinds::{PathBase, SettingKind};
use crate::settings::layer::{Layer, Sourced};
use crate::settings::setting::{PREFIX, Setting, SettingReader, VariableReading};
use crate::settings::table;
use crate::settings::table::{CommandLine, SETTINGS, Settings};

/// Variables with the prefix of this tool that are not settings.
const OTHER_VARIABLES: &[&str] = &["ISAR_BUILD_ALL_LOG", SYSTEM_ROOT];

/// The path and text of a settings file.
#[derive(Debug, Clone)]
pub struct LayerFile {
    /// The path, absolute or relative to the working directory.
    pub path: PathBuf,
    /// The text.
    pub text: String,
}

/// The input of all layers.
#[derive(Debug, Clone, Default)]
pub struct LayerInput {
    /// The directory of variants.toml, absolute.
    pub project_dir: PathBuf,
    /// The working directory, absolute: the base of relative paths in variables and options.
    pub working_dir: PathBuf,
    /// The user's file, if it exists ([`Environment::user_file`]).
    pub user: Option<LayerFile>,
    /// The whole variants.toml; only `[settings]` is read.
    pub project: Option<LayerFile>,
    /// The environment.
    pub environment: Environment,
    /// The command line.
    pub command_line: CommandLine,
    /// The stores that the setting `store` can name; `auto` is no store.
    pub stores: Vec<StoreWord>,
}

impl LayerInput {
    /// The input of a project without settings, in an empty environment.
    #[must_use]
    pub fn of(project_dir: &Path) -> LayerInput {
        LayerInput {
            project_dir: project_dir.to_owned(),
            working_dir: project_dir.to_owned(),
            ..LayerInput::default()
        }
    }
}

/// Settings, and the faults of the values that were ignored.
#[derive(Debug)]
pub struct Resolution {
    /// Every setting. A faulty value is ignored, so that the layer below counts.
    pub settings: Settings,
    /// The faults.
    pub faults: Vec<SettingsFault>,
}

impl Settings {
    /// Resolves all layers.
    ///
    /// # Errors
    /// All faults of all layers: invalid TOML, unknown keys, wrong types, values out of range.
    pub fn resolve(input: &LayerInput) -> Result<Settings, SettingsError> {
        let Resolution { settings, faults } = Settings::resolve_leniently(input);
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { faults })
        }
    }

    /// Resolves all layers and ignores faulty values, for `config` and `doctor`, which work with a
    /// broken variants.toml.
    #[must_use]
    pub fn resolve_leniently(input: &LayerInput) -> Resolution {
        let mut resolver = Resolver::new(input);
        let defaults = DefaultContext {
            project_dir: &input.project_dir,
            environment: &input.environment,
        };
        let settings = Settings::read(&defaults, &input.command_line, &mut resolver);
        let mut faults = resolver.faults;
        faults.sort_by_key(|(layer, fault)| (*layer, fault.span().map(|span| span.start)));
        Resolution {
            settings,
            faults: faults.into_iter().map(|(_, fault)| fault).collect(),
        }
    }

    /// Warnings about variables that override a value of variants.toml, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for entry in self.entries() {
            let Some(variable) = entry.place.filter(|_| entry.layer == Layer::Environment) else {
                continue;
            };
            let project = entry
                .overrides
                .iter()
                .find(|overridden| overridden.layer == Layer::Project)
                .filter(|overridden| overridden.value != entry.value);
            if let Some(overridden) = project {
                warnings.push(format!(
                    "the variable {variable} sets `{}` to `{}`, overriding `{}` of {}",
                    entry.key, entry.shown, overridden.shown, overridden.place
                ));
            }
        }
        warnings
    }
}

/// Warnings about variables with the prefix of this tool that are not settings, a sentence each.
#[must_use]
pub fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<String> = SETTINGS
        .iter()
        .map(Setting::variable)
        .chain(OTHER_VARIABLES.iter().map(|&name| name.to_owned()))
        .collect();
    environment
        .variables()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| name.starts_with(PREFIX) && !known.iter().any(|other| other == name))
        .map(|name| {
            let hint = suggest::nearest(name, known.iter().map(String::as_str))
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            format!("the variable `{name}` is not a setting{hint}")
        })
        .collect()
}

/// Reads settings from the layers, and collects the faults.
struct Resolver<'a> {
    input: &'a LayerInput,
    files: Vec<(Layer, SettingsFile<'a>, &'a Path)>,
    faults: Vec<(Layer, SettingsFault)>,
}

impl<'a> Resolver<'a> {
    fn new(input: &'a LayerInput) -> Self {
        let mut resolver = Self {
            input,
            files: Vec::new(),
            faults: Vec::new(),
        };
        resolver.add_file(Layer::User, input.user.as_ref(), None);
        resolver.add_file(Layer::Project, input.project.as_ref(), Some("settings"));
        resolver
    }

    fn add_file(&mut self, layer: Layer, file: Option<&'a LayerFile>, table: Option<&str>) {
        let Some(LayerFile { path, text }) = file else {
            return;
        };
        let shown = path.strip_prefix(&self.input.working_dir).unwrap_or(path);
        let (settings, faults) = SettingsFile::read(SettingsSource::new(shown, text), text, table);
        self.faults
            .extend(faults.into_iter().map(|fault| (layer, fault)));
        let dir = match layer {
            Layer::Project => &self.input.project_dir,
            _ => path.parent().unwrap_or(path),
        };
        self.files.push((layer, settings, dir));
    }

    fn variable<K: SettingKind>(
        &self,
        name: &str,
        reading: VariableReading,
    ) -> Option<Result<K::Value, SettingsFault>> {
        let value = self.input.environment.get(name)?;
        let text = match reading {
            VariableReading::Value => value.to_str(),
            VariableReading::Presence(means) => Some(means),
            VariableReading::Switch(_) if value == "0" => return None,
            VariableReading::Switch(means) => Some(means),
        };
        Some(match text {
            None => Err(SettingsFault::at(name, "is not UTF-8".to_owned(), None)),
            Some(text) => K::text_among(text, &self.input.stores)
                .map_err(|fault| SettingsFault::at(name, fault.message, fault.hint)),
        })
    }
}

impl SettingReader for Resolver<'_> {
    fn read<K: SettingKind>(
        &mut self,
        key: &'static str,
        option: Option<K::Value>,
        default: K::Value,
    ) -> Sourced<K::Value> {
        let mut sourced = Sourced::default(default);
        let input = self.input;
        let home = input.environment.home();
        for (layer, file, dir) in &self.files {
            let Some(value) = file.get(key) else { continue };
            match K::toml_among(value, &input.stores) {
                Ok(value_read) => {
                    let place = file.source.line_place(value.span().start);
                    sourced.cover(K::anchor(value_read, PathBase { dir, home }), *layer, place);
                }
                // After a syntax error, which is reported, the parser inserts an empty value.
                Err(_) if value.span().is_empty() => {}
                Err(faults) => self.faults.extend(faults.into_iter().map(|fault| {
                    let span = fault.span.unwrap_or_else(|| value.span());
                    let message = format!("`{key}`: {}", fault.message);
                    let fault = SettingsFault::in_file(&file.source, span, message, fault.hint);
                    (*layer, fault)
                })),
            }
        }
        let base = PathBase {
            dir: &input.working_dir,
            home,
        };
        let Some(setting) = table::find(key) else {
            return sourced;
        };
        let own = (setting.variable(), VariableReading::Value);
        let aliases = setting
            .aliases
            .iter()
            .map(|alias| (alias.name.to_owned(), alias.reading));
        // The weakest first, because each value covers the one before.
        for (name, reading) in aliases.rev().chain(std::iter::once(own)) {
            match self.variable::<K>(&name, reading) {
                None => {}
                Some(Ok(value)) => {
                    sourced.cover(K::anchor(value, base), Layer::Environment, name);
                }
                Some(Err(fault)) => self.faults.push((Layer::Environment, fault)),
            }
        }
        if let Some(value) = option {
            let place = setting.option.to_owned();
            sourced.cover(K::anchor(value, base), Layer::CommandLine, place);
        }
        sourced
    }
}
