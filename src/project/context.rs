//! The context of a command: options, environment, terminals, working directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::project::arguments::Arguments;
use crate::project::load;
use crate::settings::{
    ColorChoice, CommandLine, Environment, HungBuild, LayerFile, LayerInput, Settings, Surroundings,
};

use crate::base::failure::{Failure, FailureKind};
use crate::store::Backend;
use crate::store::choice::words;
use crate::store::products::Product;

/// The context of a command.
#[derive(Debug)]
pub struct Context {
    /// The options that more than one command reads.
    pub arguments: Arguments,
    /// The words after the name of the program; what is not UTF-8 in them is replaced.
    pub words: Vec<String>,
    program: String,
    /// The environment.
    pub environment: Environment,
    /// The CI service and the terminals.
    pub surroundings: Surroundings,
    /// The working directory.
    pub working_dir: PathBuf,
    /// The stores to choose from.
    pub backends: Vec<&'static dyn Backend>,
    /// The products that variants.toml may name.
    pub products: Vec<&'static dyn Product>,
}

impl Context {
    /// The context of this process. `words` is its command line, the name of the program first; `backends` are the stores
    /// to choose from.
    ///
    /// # Errors
    /// When there is no working directory.
    pub fn capture(
        arguments: Arguments,
        words: &[OsString],
        backends: &[&'static dyn Backend],
        products: &[&'static dyn Product],
    ) -> Result<Context, Failure> {
        let environment = Environment::capture();
        let surroundings = Surroundings::capture(&environment);
        let working_dir = std::env::current_dir().map_err(|error| {
            Failure::environment(format!("the working directory is unknown: {error}"))
        })?;
        let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
        Ok(Context {
            arguments,
            program: words.next().unwrap_or_default(),
            words: words.collect(),
            environment,
            surroundings,
            working_dir,
            backends: backends.to_vec(),
            products: products.to_vec(),
        })
    }

    /// The program and its words, for people: locks and records show it.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut line = self.program.clone();
        for word in &self.words {
            line.push(' ');
            line.push_str(word);
        }
        line
    }

    /// The layers of the settings; `project` is variants.toml, if there is one.
    ///
    /// # Errors
    /// When the user's settings file exists and cannot be read.
    pub fn layers(&self, project: Option<LayerFile>) -> Result<LayerInput, Failure> {
        let project_dir = project
            .as_ref()
            .and_then(|file| file.path.parent())
            .filter(|directory| !directory.as_os_str().is_empty())
            .map_or_else(
                || self.working_dir.clone(),
                |directory| self.working_dir.join(directory),
            );
        Ok(LayerInput {
            project_dir,
            working_dir: self.working_dir.clone(),
            user: self
                .environment
                .user_file()
                .map(|path| read(&path))
                .transpose()?
                .flatten(),
            project,
            environment: self.environment.clone(),
            command_line: self.settings_layer(),
            stores: words(&self.backends),
        })
    }

    /// The text of variants.toml, for commands that work with a broken one; `None` where there is none.
    ///
    /// # Errors
    /// When the file that was named, or found, cannot be read.
    pub fn project_file(&self) -> Result<Option<LayerFile>, Failure> {
        let Ok(path) = load::find(&self.working_dir, self.arguments.select.file.as_deref()) else {
            return Ok(None);
        };
        match std::fs::read(&path) {
            // Text with replaced bytes is not TOML either, and is reported as such.
            Ok(bytes) => Ok(Some(LayerFile {
                path,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })),
            Err(error) => Err(Failure::new(
                FailureKind::Configuration,
                format!("{} cannot be read: {error}", path.display()),
            )),
        }
    }

    /// Whether to colour standard output, by the settings.
    #[must_use]
    pub fn colors_output(&self, settings: &Settings) -> bool {
        self.applies(settings.color.value, self.surroundings.terminal.stdout)
    }

    /// Whether to colour standard error, by the settings.
    #[must_use]
    pub fn colors_errors(&self, settings: &Settings) -> bool {
        self.applies(settings.color.value, self.surroundings.terminal.stderr)
    }

    /// The settings for a project.
    ///
    /// # Errors
    /// Every fault of every layer, rendered.
    pub fn settings(&self, project: LayerFile) -> Result<Settings, Failure> {
        Settings::resolve(&self.layers(Some(project))?).map_err(|error| {
            Failure::report(
                FailureKind::Configuration,
                error.render(self.colors_stderr()),
            )
        })
    }

    /// Whether to colour standard error before the settings are known.
    #[must_use]
    pub fn colors_stderr(&self) -> bool {
        self.colors(self.surroundings.terminal.stderr)
    }

    fn colors(&self, stream_is_terminal: bool) -> bool {
        let choice = if self.arguments.output.no_color || self.environment.get("NO_COLOR").is_some()
        {
            ColorChoice::Never
        } else if self
            .environment
            .text("CLICOLOR_FORCE")
            .is_some_and(|value| value != "0")
        {
            ColorChoice::Always
        } else {
            ColorChoice::Auto
        };
        self.applies(choice, stream_is_terminal)
    }

    fn applies(&self, choice: ColorChoice, stream_is_terminal: bool) -> bool {
        choice.applies_to(stream_is_terminal, self.surroundings.terminal_knows_colors)
    }

    fn settings_layer(&self) -> CommandLine {
        let run = &self.arguments.run;
        CommandLine {
            executor: run.executor,
            engine: run.engine,
            store: run.store.clone(),
            jobs: run.jobs,
            hung_build: run.kill_hung.then_some(HungBuild::Kill),
            color: self.arguments.output.no_color.then_some(ColorChoice::Never),
            ..CommandLine::default()
        }
    }
}

/// A settings file, where it exists.
fn read(path: &Path) -> Result<Option<LayerFile>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(LayerFile {
            path: path.to_path_buf(),
            text,
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(
            FailureKind::Configuration,
            format!("{} cannot be read: {error}", path.display()),
        )),
    }
}
