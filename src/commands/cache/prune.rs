//! `cache prune`: removes the least recently used objects, with exclusive locks on the caches.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::base::failure::Failure;
use crate::caches::Cache;
use crate::caches::prune::{Limits, Pruned, prune};
use crate::commands::output::json;
use crate::event::numbers;
use crate::fs::lock::{Holder, LockError};
use crate::fs::use_lock::{Sharing, UseLock};
use crate::project::arguments::{OutputFormat, WaitArgs};
use crate::project::context::Context;

use crate::commands::cache::{locked, present, settings, this, unreadable};

/// The exit code if an object could not be removed.
const NOT_ALL: u8 = 10;

/// `{"schema":1,"dry_run":…,"removed":[…],"kept":[…],…}` as JSON.
#[derive(Debug, Serialize)]
struct PruneReport {
    schema: u32,
    dry_run: bool,
    #[serde(flatten)]
    pruned: Pruned,
}

/// Remove the least recently used objects; fails while a build uses a cache
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Remove objects that were not used for N days
    #[arg(long, value_name = "N", required_unless_present = "max_size")]
    keep_days: Option<u32>,
    /// Remove the least recently used objects until the caches occupy at most SIZE, such as 50G
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    max_size: Option<ByteSize>,
    /// Prune these caches alone
    #[arg(long, value_enum, value_name = "CACHES")]
    only: Option<CacheKind>,
    /// Show the objects that would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Whether to wait for a run that uses the caches.
    #[command(flatten)]
    wait: WaitArgs,
}

/// `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CacheKind {
    /// The download caches of all architectures
    Downloads,
    /// The shared state cache
    Sstate,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ByteSize(u64);

/// A whole number with a unit: none, or K, M, G, T, also as KiB and so on (1024), or as KB (1000).
fn byte_size(word: &str) -> Result<ByteSize, String> {
    let wrong = || format!("`{word}` is not a size; write a whole number with K, M, G or T");
    let digits = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_uppercase();
    let (prefix, base) = match unit.strip_suffix("IB") {
        Some(prefix) => (prefix, 1024),
        None => unit
            .strip_suffix('B')
            .filter(|prefix| !prefix.is_empty())
            .map_or((unit.as_str(), 1024), |prefix| (prefix, 1000)),
    };
    let power = match prefix {
        "" | "B" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(wrong()),
    };
    u64::checked_pow(base, power)
        .and_then(|unit| unit.checked_mul(number))
        .map(ByteSize)
        .ok_or_else(wrong)
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
    let holder = this(context);
    let mut locks = Vec::new();
    if !args.dry_run {
        for cache in &caches {
            locks.push(alone(cache, &holder, args.wait.limit())?);
        }
    }
    let pruned = prune(&caches, limits, args.dry_run).map_err(|error| unreadable(&error))?;
    let code = if pruned.kept.iter().any(|kept| kept.failed) {
        NOT_ALL
    } else {
        0
    };
    let report = PruneReport {
        schema: 1,
        dry_run: args.dry_run,
        pruned,
    };
    let text = match context.arguments.output.format {
        OutputFormat::Json => json(&report)?,
        OutputFormat::Text | OutputFormat::Dot => render(&report),
    };
    Ok((text, code))
}

/// Acquires the exclusive lock of a cache; names the present holder on stderr while it waits.
fn alone(cache: &Cache, holder: &Holder, limit: Duration) -> Result<UseLock, Failure> {
    let hold = |wait| cache.hold(Sharing::Exclusive, holder, wait);
    let held = match hold(Duration::ZERO) {
        Err(error @ LockError::Held { .. }) if limit > Duration::ZERO => {
            // A closed stderr leaves no place for it.
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

fn render(report: &PruneReport) -> String {
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
        let (size, path) = (numbers::bytes(one.bytes), one.path.display());
        text += &format!("{verb} {path} ({size}, last used {day})\n");
    }
    for one in kept {
        text += &format!("kept {}: {}\n", one.path.display(), one.why);
    }
    text + &format!(
        "{verb} {}, {} freed: {} before, {} after\n",
        numbers::count(removed.len(), "cached object"),
        numbers::bytes(*bytes_freed),
        numbers::bytes(*bytes_before),
        numbers::bytes(*bytes_after),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (word, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("2K", 2048),
            ("3MiB", 3 << 20),
            ("50g", 50 << 30),
            ("1 TB", 1_000_000_000_000),
        ] {
            assert_eq!(byte_size(word), Ok(ByteSize(bytes)), "{word}");
        }
        for word in ["", "G", "1.5G", "-1", "1X", "99999999T", "1iBB"] {
            assert!(byte_size(word).is_err(), "{word}");
        }
    }
}
