//! `cache list`: each cache, whose it is, what it holds, when it was last used and by whom it is now.

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use crate::caches::{Cache, files, stamp};
use crate::cli::Format;
use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::commands::json;
use crate::model::arch::Arch;
use crate::report::human;
use crate::state::lock::Holder;
use crate::state::use_lock::holders;

use super::{present, settings, unreadable};

/// A cache as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<Arch>,
    /// Whether a stamp says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamped: Option<bool>,
    path: String,
    files: usize,
    /// What they occupy; several names of one file count once.
    bytes: u64,
    /// When a file in it was last written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<Timestamp>,
    /// Who uses it now.
    pub(super) users: Vec<Holder>,
}

impl Listed {
    /// Whether nobody uses it now.
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
    let text = match context.cli.output.format {
        Format::Json => json(&CacheList { schema: 1, caches })?,
        Format::Text if caches.is_empty() => format!(
            "There are no caches yet: neither {}/<architecture> nor {}\n",
            settings.dl_dir.value.display(),
            settings.sstate_dir.value.display()
        ),
        Format::Text | Format::Dot => table(&caches),
    };
    Ok((text, 0))
}

/// Aligned columns, and a line for each who uses one.
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
            human::bytes(cache.bytes),
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
