//! Asks on the terminal whether to try again while a Windows drive is in use (`wsl.holders =
//! "ask"`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use crate::settings::{DriveUsers, Settings};
use crate::wsl::unmount::AskRetry;

/// The prompt, where the settings ask for it and there is a terminal.
pub(super) fn terminal_prompt(settings: &Settings) -> Option<Arc<AskRetry>> {
    if settings.wsl_holders.value != DriveUsers::Ask || terminal().is_err() {
        return None;
    }
    Some(Arc::new(|what: &str, stopped: &dyn Fn() -> bool| {
        ask(what, stopped).unwrap_or(false)
    }))
}

fn terminal() -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).open("/dev/tty")
}

/// Returns whether to try again. Ends without an answer once `stopped` returns true.
fn ask(what: &str, stopped: &dyn Fn() -> bool) -> std::io::Result<bool> {
    let mut terminal = terminal()?;
    write!(
        terminal,
        "\r\nThe Windows drives are in use: {what}\r\nEnd these processes, then press Enter to try again; `f` and \
         Enter to give up: "
    )?;
    let tick = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    loop {
        let flags = rustix::event::PollFlags::IN;
        let mut polled = [rustix::event::PollFd::from_borrowed_fd(
            terminal.as_fd(),
            flags,
        )];
        if rustix::event::poll(&mut polled, Some(&tick))? > 0 {
            break;
        }
        if stopped() {
            return Ok(false);
        }
    }
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(!answer.trim_start().starts_with(['f', 'F']))
}
