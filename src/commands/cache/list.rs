//! `cache list`: each cache with its architecture, size, last use and present users.

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use crate::base::arch::Arch;
use crate::base::failure::Failure;
use crate::caches::{Cache, files, stamp};
use crate::commands::output::json;
use crate::event::numbers;
use crate::fs::lock::Holder;
use crate::fs::use_lock::holders;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;

use crate::commands::cache::{present, settings, unreadable};

/// A cache in the list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<Arch>,
    /// Whether the cache is stamped with its architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamped: Option<bool>,
    path: String,
    files: usize,
    /// Bytes on disk; a file with several names counts once.
    bytes: u64,
    /// The last write or read of a file in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<Timestamp>,
    /// The processes that use it now.
    pub(super) users: Vec<Holder>,
}

impl Listed {
    /// Whether no process uses it now.
    pub(super) fn is_idle(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn of(cache: &Cache) -> Result<Listed, Failure> {
        let found = files::list(&cache.path).map_err(|error| unreadable(&error))?;
        let arch = cache.purpose.arch();
        Ok(Listed {
            purpose: cache.purpose.as_str(),
            arch,
            stamped: arch.map(|arch| stamp::check(&cache.path, arch).unwrap_or(false)),
            path: cache.path.display().to_string(),
            files: found.len(),
            bytes: files::occupied(&found),
            last_use: found.iter().map(files::CacheFile::last_use).max(),
            users: holders(&cache.lock()),
        })
    }
}

/// `{"schema":1,"caches":[…]}` as JSON.
#[derive(Debug, Serialize)]
struct CacheList {
    schema: u32,
    caches: Vec<Listed>,
}

pub(super) fn run(context: &Context) -> Result<(String, u8), Failure> {
    let settings = settings(context)?;
    let caches = present(&settings)
        .iter()
        .map(Listed::of)
        .collect::<Result<Vec<_>, _>>()?;
    let text = match context.arguments.output.format {
        OutputFormat::Json => json(&CacheList { schema: 1, caches })?,
        OutputFormat::Text if caches.is_empty() => format!(
            "There are no caches yet: neither {}/<architecture> nor {}\n",
            settings.dl_dir.value.display(),
            settings.sstate_dir.value.display()
        ),
        OutputFormat::Text | OutputFormat::Dot => table(&caches),
    };
    Ok((text, 0))
}

/// Aligned columns, and a line for each process that uses a cache.
pub(super) fn table(caches: &[Listed]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["CACHE", "ARCH", "FILES", "SIZE", "LAST USE", "PATH"]);
    for cache in caches {
        let last_use = cache
            .last_use
            .map_or("-".to_owned(), |time| time.strftime("%Y-%m-%d").to_string());
        table.add_row([
            cache.purpose.to_owned(),
            cache.arch.map_or("-".to_owned(), |arch| arch.to_string()),
            cache.files.to_string(),
            numbers::bytes(cache.bytes),
            last_use,
            cache.path.clone(),
        ]);
    }
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if matches!(number, 2 | 3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text: String = table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect();
    for cache in caches {
        for user in &cache.users {
            text += &format!(
                "{} is in use by process {} on {}: {}\n",
                cache.path, user.pid, user.host, user.command
            );
        }
    }
    text
}
