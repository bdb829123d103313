//! A planned run, from the command line, the settings and variants.toml. Nothing on the host is changed yet.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::failure::{Failure, FailureKind};
use crate::event::Clock;
use crate::fs::lock::Holder;
use crate::hashes_file::file;
use crate::hashes_file::file::HashesFileError;
use crate::host::identity::Host;
use crate::plan::{Plan, Scope};
use crate::project::Project;
use crate::project::context::Context;
use crate::run::forced::Forced;
use crate::run::forecast::Forecast;
use crate::run::lock;
use crate::run::lock::RunLock;
use crate::run::parts::Parts;
use crate::settings::Settings;
use crate::state::StateDir;
use crate::tools::ToolError;
use crate::wsl::WslHost;
use crate::wsl::misplaced;

/// The name of a run, and its directories.
pub(super) struct RunIdentity {
    /// `20261122T031409Z-1f3a`: sorts by time; the process id tells runs of one second apart.
    pub(super) id: String,
    /// The command line, for locks and records.
    pub(super) command: String,
    pub(super) clock: Clock,
    pub(super) state: StateDir,
}

impl RunIdentity {
    fn new(context: &Context, settings: &Settings) -> RunIdentity {
        let clock: Clock = Arc::new(Timestamp::now);
        let started = clock().strftime("%Y%m%dT%H%M%SZ").to_string();
        RunIdentity {
            id: format!("{started}-{:x}", std::process::id()),
            command: context.command_line(),
            clock,
            state: StateDir::at(settings.state_dir.value.clone()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The holder that the locks of this run name.
    pub(super) fn holder(&self) -> Holder {
        Holder::this(&self.command, self.now())
    }
}

/// A run with a plan that has passed every check before its start.
pub(super) struct PlannedRun<'a> {
    pub(super) context: &'a Context,
    pub(super) parts: &'a Parts,
    pub(super) project: Project,
    pub(super) host: Host,
    pub(super) scope: Scope,
    pub(super) forecast: Forecast,
    /// In plan order, until the skips are known.
    pub(super) plan: Plan,
    pub(super) forced: Forced,
    pub(super) identity: RunIdentity,
}

impl<'a> PlannedRun<'a> {
    /// Loads the project, checks what can be checked without a tool, and plans.
    ///
    /// # Errors
    /// Faults of the configuration; a host or a directory that cannot build.
    pub(super) fn new(context: &'a Context, parts: &'a Parts) -> Result<PlannedRun<'a>, Failure> {
        let project = Project::load(context)?;
        let settings = &project.settings;
        let host = Host::capture(&context.environment);
        host.refuse_root()
            .map_err(|error| unusable(&error.into()))?;
        refuse_misplaced(settings, &host)?;
        let scope = Project::scope(context);
        let forecast = Forecast::of(&project, scope, settings.jobs.value, parts);
        let plan = forecast.plan(&project, scope)?;
        check_hashes_file(settings)?;
        Ok(PlannedRun {
            forced: Forced::of(context, &project)?,
            identity: RunIdentity::new(context, settings),
            context,
            parts,
            host,
            scope,
            forecast,
            plan,
            project,
        })
    }

    /// Whether a variant of this run may be skipped.
    pub(super) fn may_skip(&self) -> bool {
        self.scope == Scope::Full && !self.forced.all()
    }

    /// Creates the state directory and acquires its run lock.
    ///
    /// # Errors
    /// When another run holds the lock for longer than `--wait` allows.
    pub(super) fn lock(&self) -> Result<RunLock, Failure> {
        let state = &self.identity.state;
        state
            .create()
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        state
            .claim(&self.project.directory)
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        let wait = self.context.arguments.run.wait.limit();
        lock::acquire(state, &self.identity.holder(), wait)
    }
}

fn unusable(error: &ToolError) -> Failure {
    Failure::environment(error).hint(error.hint())
}

/// Refuses directories on a Windows drive before anything is created in one.
fn refuse_misplaced(settings: &Settings, host: &Host) -> Result<(), Failure> {
    let misplaced = misplaced::misplaced(settings, &WslHost::capture(host))?;
    if misplaced.is_empty() {
        return Ok(());
    }
    Err(Failure::environment(misplaced.join("\n       ")).hint(Some(misplaced::MOVE.to_owned())))
}

/// Refuses a hashes file that could not be updated, before hours of builds.
fn check_hashes_file(settings: &Settings) -> Result<(), Failure> {
    file::check(&settings.hashes_file.value).map_err(|error| {
        let kind = match error {
            HashesFileError::Text { .. } | HashesFileError::NotUtf8 { .. } => {
                FailureKind::Configuration
            }
            HashesFileError::Edited { .. }
            | HashesFileError::Lock(_)
            | HashesFileError::Path(_) => FailureKind::Environment,
        };
        Failure::new(kind, &error).hint(error.hint())
    })
}
