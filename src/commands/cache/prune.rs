//! `cache prune`: removes what was not used for the longest time, with the caches' locks held alone.

use std::io::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::caches::Cache;
use crate::caches::prune::{Limits, Pruned, prune};
use crate::cli::{CacheKind, Format, PruneArgs};
use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::commands::json;
use crate::report::human;
use crate::state::lock::LockError;
use crate::state::use_lock::{Sharing, UseLock};

use super::{locked, present, settings, this, unreadable};

/// The exit code where something could not be removed.
const NOT_ALL: u8 = 10;

/// `{"schema":1,"dry_run":…,"removed":[…],"kept":[…],…}` as JSON.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    dry_run: bool,
    #[serde(flatten)]
    pruned: Pruned,
}

pub(super) fn run(context: &Context, args: &PruneArgs) -> Result<(String, u8), Failure> {
    let settings = settings(context)?;
    let caches: Vec<Cache> = present(&settings)
        .into_iter()
        .filter(|cache| match args.only {
            None => true,
            Some(CacheKind::Downloads) => cache.purpose.arch().is_some(),
            Some(CacheKind::Sstate) => cache.purpose.arch().is_none(),
        })
        .collect();
    let limits = Limits {
        before: args.keep_days.map(|days| before(Timestamp::now(), days)),
        max_bytes: args.max_size.map(|size| size.0),
    };
    let mut locks = Vec::new();
    if !args.dry_run {
        for cache in &caches {
            locks.push(alone(cache, args.wait.limit())?);
        }
    }
    let pruned = prune(&caches, limits, args.dry_run).map_err(|error| unreadable(&error))?;
    let code = if pruned.kept.iter().any(|kept| kept.failed) {
        NOT_ALL
    } else {
        0
    };
    let report = Report {
        schema: 1,
        dry_run: args.dry_run,
        pruned,
    };
    let text = match context.cli.output.format {
        Format::Json => json(&report)?,
        Format::Text | Format::Dot => render(&report),
    };
    Ok((text, code))
}

/// The lock of a cache, held alone. Says for whom it waits.
fn alone(cache: &Cache, limit: Duration) -> Result<UseLock, Failure> {
    let hold = |wait| cache.hold(Sharing::Exclusive, &this(), wait);
    let held = match hold(Duration::ZERO) {
        Err(error @ LockError::Held { .. }) if limit > Duration::ZERO => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "waiting: {error}");
            hold(limit)
        }
        answer => answer,
    };
    held.map_err(|error| {
        let failure = locked(&error);
        match (&failure.hint, limit) {
            (Some(hint), Duration::ZERO) if matches!(error, LockError::Held { .. }) => {
                let hint = format!("{hint}; `--wait` waits");
                failure.hint(Some(hint))
            }
            _ => failure,
        }
    })
}

fn before(now: Timestamp, days: u32) -> Timestamp {
    let span = SignedDuration::from_hours(i64::from(days) * 24);
    now.saturating_sub(span).unwrap_or(now)
}

fn render(report: &Report) -> String {
    let Pruned {
        removed,
        kept,
        bytes_before,
        bytes_after,
        bytes_freed,
    } = &report.pruned;
    let verb = if report.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let mut text = String::new();
    for one in removed {
        let day = one.last_use.strftime("%Y-%m-%d");
        let (size, path) = (human::bytes(one.bytes), one.path.display());
        text += &format!("{verb} {path} ({size}, last used {day})\n");
    }
    for one in kept {
        text += &format!("kept {}: {}\n", one.path.display(), one.why);
    }
    text + &format!(
        "{verb} {}, {} freed: {} before, {} after\n",
        human::count(removed.len(), "cached object"),
        human::bytes(*bytes_freed),
        human::bytes(*bytes_before),
        human::bytes(*bytes_after),
    )
}
