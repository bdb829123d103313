//! What every command starts from: the words of the command line, the environment, the terminals.
//!
//! Knows nothing of any one command.

use std::path::{Path, PathBuf};

use crate::cli::Cli;
use crate::load;
use crate::settings::{
    ColorChoice, CommandLine, Environment, HungBuild, LayerFile, LayerInput, Settings, Surroundings,
};

use super::failure::{Failure, Kind};

/// Where a command runs and what it was asked.
#[derive(Debug)]
pub struct Context {
    /// The command line.
    pub cli: Cli,
    /// The environment.
    pub environment: Environment,
    /// CI service and terminals.
    pub surroundings: Surroundings,
    /// The working directory.
    pub working_dir: PathBuf,
}

impl Context {
    /// That of this process.
    ///
    /// # Errors
    /// When there is no working directory.
    pub fn capture(cli: Cli) -> Result<Context, Failure> {
        let environment = Environment::capture();
        let surroundings = Surroundings::capture(&environment);
        let working_dir = std::env::current_dir().map_err(|error| {
            Failure::environment(format!("the working directory cannot be told: {error}"))
        })?;
        Ok(Context {
            cli,
            environment,
            surroundings,
            working_dir,
        })
    }

    /// The layers of the settings, with variants.toml where one was read.
    ///
    /// # Errors
    /// When the user's file exists and cannot be read.
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
            command_line: self.command_line(),
        })
    }

    /// variants.toml as it is, for the commands that work with a broken one; none where none is found
    /// and none was named.
    ///
    /// # Errors
    /// When the one that was named, or found, cannot be read.
    pub fn project_file(&self) -> Result<Option<LayerFile>, Failure> {
        let Ok(path) = load::find(&self.working_dir, self.cli.select.file.as_deref()) else {
            return Ok(None);
        };
        match std::fs::read(&path) {
            // What is no UTF-8 is no TOML, and is said to be none.
            Ok(bytes) => Ok(Some(LayerFile {
                path,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })),
            Err(error) => Err(Failure::new(
                Kind::Configuration,
                format!("{} cannot be read: {error}", path.display()),
            )),
        }
    }

    /// Whether standard output takes colours, once the settings are known.
    #[must_use]
    pub fn colors_output(&self, settings: &Settings) -> bool {
        self.applies(settings.color.value, self.surroundings.terminal.stdout)
    }

    /// Whether standard error takes colours, once the settings are known.
    #[must_use]
    pub fn colors_errors(&self, settings: &Settings) -> bool {
        self.applies(settings.color.value, self.surroundings.terminal.stderr)
    }

    /// The settings for a project.
    ///
    /// # Errors
    /// Everything that is wrong with any layer, rendered.
    pub fn settings(&self, project: LayerFile) -> Result<Settings, Failure> {
        Settings::resolve(&self.layers(Some(project))?).map_err(|error| {
            Failure::report(Kind::Configuration, error.render(self.colors_stderr()))
        })
    }

    /// Whether standard error takes colours, as far as can be told before the settings are known.
    #[must_use]
    pub fn colors_stderr(&self) -> bool {
        self.colors(self.surroundings.terminal.stderr)
    }

    fn colors(&self, stream_is_terminal: bool) -> bool {
        let choice = if self.cli.output.no_color || self.environment.get("NO_COLOR").is_some() {
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

    fn command_line(&self) -> CommandLine {
        let run = &self.cli.run;
        CommandLine {
            executor: run.executor,
            engine: run.engine,
            store: run.store,
            jobs: run.jobs,
            hung_build: run.kill_hung.then_some(HungBuild::Kill),
            color: self.cli.output.no_color.then_some(ColorChoice::Never),
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
            Kind::Configuration,
            format!("{} cannot be read: {error}", path.display()),
        )),
    }
}
