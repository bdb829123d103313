//! `wsl status` shows the Windows drives; `wsl remount` mounts those that were left unmounted.

mod status;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::base::failure::Failure;
use crate::commands::output::{json, print_with};
use crate::commands::{Invocation, Subcommand};
use crate::host::identity::Host;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::settings::{Environment, Settings};
use crate::tools::EXIT_CODE;
use crate::wsl::WslHost;
use crate::wsl::drive_keeper::settle_dead;
use crate::wsl::missing_mounts::{missing_mounts, mount_missing};

/// On WSL: show the Windows drives, and remount those that were unmounted
#[derive(Debug, Args)]
struct WslArgs {
    #[command(subcommand)]
    action: WslAction,
}

#[derive(Debug, clap::Subcommand)]
enum WslAction {
    /// Show the drives, their mount options, and the builds for which some are unmounted
    Status,
    /// Mount the drives that a killed run, or another tool, left unmounted
    Remount {
        /// Only those that isar-build-all unmounted
        #[arg(long)]
        ours: bool,
    },
}

pub(super) struct WslCommand;

impl Subcommand for WslCommand {
    fn define(&self) -> clap::Command {
        WslArgs::augment_args(clap::Command::new("wsl"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print_with(run(&call.context()?, &call.args()?)?)
    }
}

/// The text to print, and the exit code.
///
/// # Errors
/// When settings or mounts cannot be read, or mounting needs root and sudo refuses it.
fn run(context: &Context, args: &WslArgs) -> Result<(String, u8), Failure> {
    let host = Host::capture(&context.environment);
    match &args.action {
        WslAction::Status => {
            let layers = context.layers(context.project_file()?)?;
            let settings = Settings::resolve_leniently(&layers).settings;
            let status = status::WslStatus::take(&host, &settings)?;
            let text = match context.arguments.output.format {
                OutputFormat::Json => json(&status)?,
                OutputFormat::Text | OutputFormat::Dot => status.text(),
            };
            Ok((text, 0))
        }
        WslAction::Remount { ours } => remount(&host, &context.environment, *ours),
    }
}

fn remount(host: &Host, environment: &Environment, ours: bool) -> Result<(String, u8), Failure> {
    let wsl_host = WslHost::capture(host)
        .with_root(environment, host.uid)
        .map_err(|error| Failure::environment(&error).hint(Some(error.hint())))?;
    let settled = settle_dead(&wsl_host, &[])
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let mut text = String::new();
    for user in &settled.users {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "left unmounted for process {}, which makes an image ({}); it mounts them when it is done",
            user.pid, user.build
        );
    }
    let mut back = settled.remounted;
    if !ours && settled.users.is_empty() && back.missing.is_empty() {
        let others = missing_mounts(&wsl_host).map_err(Failure::environment)?;
        let theirs = mount_missing(&wsl_host, &others);
        back.mounted.extend(theirs.mounted);
        back.problems.extend(theirs.problems);
    }
    for point in &back.mounted {
        let _ = writeln!(text, "mounted {}", point.display());
    }
    for (message, hint) in &back.problems {
        let _ = writeln!(text, "failed: {message}");
        if let Some(hint) = hint {
            let _ = writeln!(text, "hint: {hint}");
        }
    }
    if text.is_empty() {
        text.push_str("Nothing to mount.\n");
    }
    let code = if back.problems.is_empty() {
        0
    } else {
        EXIT_CODE
    };
    Ok((text, code))
}
