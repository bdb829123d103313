//! `wsl status` and `wsl remount`: what is known of Windows drives, and how they are brought back.

mod guarding;
mod status;

pub(super) use guarding::{MOVE, Place, guarding, misplaced};

use std::fmt::Write as _;

use super::context::Context;
use super::failure::Failure;
use crate::cli::{Format, WslCommand};
use crate::settings::{Environment, Settings};
use crate::tools::{EXIT_CODE, Host};
use crate::wsl::{Machine, lost, mount_lost, settle_dead};

/// Does what was asked; the text and the exit code.
///
/// # Errors
/// When settings or mounts cannot be read, or root cannot be had where it is needed.
pub fn run(context: &Context, command: &WslCommand) -> Result<(String, u8), Failure> {
    let host = Host::capture(&context.environment);
    match command {
        WslCommand::Status => {
            let layers = context.layers(context.project_file()?)?;
            let settings = Settings::resolve_leniently(&layers).settings;
            let status = status::Status::take(&host, &settings)?;
            let text = match context.cli.output.format {
                Format::Json => super::json(&status)?,
                Format::Text | Format::Dot => status.text(),
            };
            Ok((text, 0))
        }
        WslCommand::Remount { ours } => remount(&host, &context.environment, *ours),
    }
}

fn remount(host: &Host, environment: &Environment, ours: bool) -> Result<(String, u8), Failure> {
    let machine = Machine::capture(host)
        .with_root(environment, host.uid)
        .map_err(|error| Failure::environment(&error).hint(Some(error.hint())))?;
    let settled = settle_dead(&machine, &[])
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let mut text = String::new();
    for user in &settled.users {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "left unmounted for process {}, which makes an image ({}); they come back when it is done",
            user.pid, user.build
        );
    }
    let mut back = settled.back;
    if !ours && settled.users.is_empty() && back.lost.is_empty() {
        let others = lost(&machine).map_err(Failure::environment)?;
        let theirs = mount_lost(&machine, &others);
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
