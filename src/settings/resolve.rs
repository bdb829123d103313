//! Puts the layers over each other.
//!
//! Knows nothing of single settings: the table asks it for each.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fault::{Fault, SettingsError, Source};
use super::file::SettingsFile;
use super::kind::{Age, Base, Kind};
use super::layer::{Layer, Sourced};
use super::surroundings::Ci;
use super::table::{self, CommandLine, OTHER_VARIABLES, PREFIX, Reading, SETTINGS, Settings};
use crate::model::suggest;

/// A settings file that was read.
#[derive(Debug, Clone)]
pub struct LayerFile {
    /// Its path; absolute, or relative to the working directory.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Everything that the settings are made of.
#[derive(Debug, Clone, Default)]
pub struct LayerInput {
    /// The directory of variants.toml, absolute.
    pub project_dir: PathBuf,
    /// The working directory, absolute: what variables and options are relative to.
    pub working_dir: PathBuf,
    /// The user's file, where there is one ([`Environment::user_file`]).
    pub user: Option<LayerFile>,
    /// variants.toml, the whole of it; only `[settings]` is looked at.
    pub project: Option<LayerFile>,
    /// The environment.
    pub environment: Environment,
    /// What the command line sets.
    pub command_line: CommandLine,
}

impl LayerInput {
    /// For a project that sets nothing, in an empty environment.
    #[must_use]
    pub fn of(project_dir: &Path) -> LayerInput {
        LayerInput {
            project_dir: project_dir.to_owned(),
            working_dir: project_dir.to_owned(),
            ..LayerInput::default()
        }
    }

    /// Where downloads and shared state are kept by default. Where there is no home directory, beside
    /// variants.toml.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.environment
            .home()
            .unwrap_or(&self.project_dir)
            .join(".cache/yocto")
    }

    /// How old what nothing pins may be by default: in CI nobody is there who knows that it did not
    /// change.
    pub(crate) fn max_age(&self) -> Age {
        match Ci::detect(&self.environment) {
            Ci::None => Age::Seconds(24 * 60 * 60),
            Ci::Github | Ci::Gitlab | Ci::Other => Age::Seconds(0),
        }
    }
}

/// Settings, and what is wrong with those that could not be used.
#[derive(Debug)]
pub struct Resolution {
    /// Every setting; one at fault has the value of the layer below.
    pub settings: Settings,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Settings {
    /// Resolves all layers.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, at once: no TOML, unknown keys, wrong types, values
    /// out of range.
    pub fn resolve(input: &LayerInput) -> Result<Settings, SettingsError> {
        let Resolution { settings, faults } = Settings::resolve_leniently(input);
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { faults })
        }
    }

    /// Resolves all layers; what is at fault is passed over. For `config` and `doctor`, which work with
    /// a broken variants.toml.
    #[must_use]
    pub fn resolve_leniently(input: &LayerInput) -> Resolution {
        let mut resolver = Resolver::new(input);
        let settings = Settings::take(input, &mut resolver);
        let mut faults = resolver.faults;
        faults.sort_by_key(|(layer, fault)| (*layer, fault.span().map(|span| span.start)));
        Resolution {
            settings,
            faults: faults.into_iter().map(|(_, fault)| fault).collect(),
        }
    }

    /// What the user should know of these settings: variables that quietly change what the project's
    /// file says. A sentence each.
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
                    "{variable} of the environment sets `{}` to `{}`, over `{}` of {}",
                    entry.key, entry.shown, overridden.shown, overridden.place
                ));
            }
        }
        warnings
    }
}

/// Variables with our prefix that set nothing: likely misspelt. A sentence each.
#[must_use]
pub fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<String> = SETTINGS
        .iter()
        .map(table::Setting::variable)
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
            format!("the variable `{name}` sets nothing{hint}")
        })
        .collect()
}

/// Takes one setting after the other from the layers, and collects the faults.
pub(crate) struct Resolver<'a> {
    input: &'a LayerInput,
    files: Vec<(Layer, SettingsFile<'a>, &'a Path)>,
    faults: Vec<(Layer, Fault)>,
}

impl<'a> Resolver<'a> {
    fn new(input: &'a LayerInput) -> Self {
        let mut resolver = Self {
            input,
            files: Vec::new(),
            faults: Vec::new(),
        };
        resolver.read(Layer::User, input.user.as_ref(), None);
        resolver.read(Layer::Project, input.project.as_ref(), Some("settings"));
        resolver
    }

    fn read(&mut self, layer: Layer, file: Option<&'a LayerFile>, table: Option<&str>) {
        let Some(LayerFile { path, text }) = file else {
            return;
        };
        let shown = path.strip_prefix(&self.input.working_dir).unwrap_or(path);
        let (settings, faults) = SettingsFile::read(Source::new(shown, text), text, table);
        self.faults
            .extend(faults.into_iter().map(|fault| (layer, fault)));
        let dir = match layer {
            Layer::Project => &self.input.project_dir,
            _ => path.parent().unwrap_or(path),
        };
        self.files.push((layer, settings, dir));
    }

    /// One setting, from all layers.
    pub(crate) fn take<K: Kind>(
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
            match K::from_toml(value) {
                Ok(taken) => {
                    let place = file.source.line_place(value.span().start);
                    sourced.cover(K::anchor(taken, Base { dir, home }), *layer, place);
                }
                // The parser puts something empty where it could not read a value, and has said so.
                Err(_) if value.span().is_empty() => {}
                Err(wrongs) => self.faults.extend(wrongs.into_iter().map(|wrong| {
                    let span = wrong.span.unwrap_or_else(|| value.span());
                    let message = format!("`{key}`: {}", wrong.message);
                    let fault = Fault::in_file(&file.source, span, message, wrong.hint);
                    (*layer, fault)
                })),
            }
        }
        let base = Base {
            dir: &input.working_dir,
            home,
        };
        let Some(setting) = table::find(key) else {
            return sourced;
        };
        let own = (setting.variable(), Reading::Value);
        let aliases = setting
            .aliases
            .iter()
            .map(|alias| (alias.name.to_owned(), alias.reading));
        // The weakest first, because each covers the one before.
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

    fn variable<K: Kind>(&self, name: &str, reading: Reading) -> Option<Result<K::Value, Fault>> {
        let value = self.input.environment.get(name)?;
        let text = match reading {
            Reading::Value => value.to_str(),
            Reading::Presence(means) => Some(means),
            Reading::Switch(_) if value == "0" => return None,
            Reading::Switch(means) => Some(means),
        };
        let taken = match text {
            None => Err(Fault::at(name, "is not UTF-8".to_owned(), None)),
            Some(text) => {
                K::from_text(text).map_err(|wrong| Fault::at(name, wrong.message, wrong.hint))
            }
        };
        Some(taken)
    }
}
