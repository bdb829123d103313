//! The reader: the text of variants.toml becomes a matrix, or all that is wrong with it. Knows nothing
//! of files: whether the kas files exist is asked of [`crate::model::kas_tree`] afterwards.

pub mod assemble;
pub mod catalog;
pub mod collisions;
pub mod condition;
pub mod document;
pub mod expand;
pub mod naming;
pub mod release;
pub mod structure;
pub mod syntax;
pub mod tally;
pub mod variables;

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use self::assemble::{Assembler, KasUse};
use self::catalog::Catalog;
use self::collisions::Made;
use self::document::Text;
use self::naming::Naming;
use crate::model::arch::Arch;
use crate::model::faults::{Fault, Faults};
use crate::model::matrix::Matrix;

/// What a matrix depends on beside the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The architecture of the machine that builds. `None`: nothing is native.
    pub host: Option<Arch>,
    /// Overlays of the command line, relative to the directory of variants.toml; they end each chain.
    pub overlays: Vec<String>,
    /// The version of the release; else the file's, else `dev`.
    pub release_version: Option<String>,
}

/// What a reading found.
#[derive(Debug, Default)]
pub struct Reading {
    /// The matrix, when there are no faults.
    pub matrix: Option<Matrix>,
    /// The kas files that its chains name, each once, in the order of their first use.
    pub kas: Vec<KasUse>,
    /// All faults.
    pub faults: Faults,
}

/// Reads a matrix.
#[must_use]
pub fn read(source: &str, options: &Options) -> Reading {
    let (root, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        return Reading {
            faults: syntax::faults(&errors, source),
            ..Reading::default()
        };
    }
    let root = root.into_inner();
    let structure::Checked { mut faults, broken } =
        structure::check_root(&root, first_word(source));
    let mut document = document::read(&root, source);
    let chain = std::mem::take(&mut document.chain);
    let blocks = std::mem::take(&mut document.blocks);
    let naming = std::mem::take(&mut document.naming);
    let released = std::mem::take(&mut document.released);
    let in_file = document.version.take();
    let version = match &options.release_version {
        Some(version) => Text::implied(version, naming.span.clone()),
        None => in_file.unwrap_or_else(|| Text::implied("dev", naming.span.clone())),
    };
    let chain_span = document.chain_span.clone();
    let blocks_span = document.blocks_span.clone();

    let catalog = Catalog::new(document, !broken.contains("artifacts"), &mut faults);
    // Where the axes or machines themselves are faulty, what uses them is not judged by them.
    let quiet = broken.contains("axes") || broken.contains("machines");
    let naming = Naming::new(&naming, &catalog, quiet, &mut faults);
    let mut assembler = Assembler::new(
        &catalog,
        &naming,
        &chain,
        &options.overlays,
        options.host,
        quiet,
        &mut faults,
    );
    if let Some(span) = chain_span.filter(|_| chain.is_empty() && !broken.contains("kas")) {
        faults.push(
            Fault::at(span, "the kas chain is empty", "no files")
                .hint("name at least the file that has `build_system` and `repos`"),
        );
    }
    if quiet {
        return Reading {
            matrix: None,
            kas: assembler.finish(&mut faults),
            faults,
        };
    }
    let expansion = expand::expand(&blocks, &catalog, &mut faults);
    let complete = expansion.complete && !broken.contains("variants");
    if let Some(span) = blocks_span.filter(|_| expansion.cells.is_empty() && complete) {
        faults.push(empty_matrix(span));
    }
    let count = expansion.cells.len();
    let made: Vec<Made> = expansion
        .cells
        .into_iter()
        .filter_map(|cell| Some((assembler.variant(&cell)?, cell)))
        .collect();
    collisions::check(&made, &naming, &catalog, &mut faults);
    let releases = release::releases(
        &released,
        &version,
        &made,
        complete && made.len() == count,
        &catalog,
        &mut assembler,
        &mut faults,
    );
    let kas = assembler.finish(&mut faults);
    let matrix = faults.is_empty().then(|| Matrix {
        axes: catalog.axis_names().map(str::to_owned).collect(),
        variants: Arc::new(made.into_iter().map(|(variant, _)| variant).collect()),
        releases,
    });
    Reading {
        matrix,
        kas,
        faults,
    }
}

fn empty_matrix(span: Range<usize>) -> Fault {
    Fault::at(span, "the matrix is empty", "yields no variant")
        .hint("add an entry to `[[variants]]`, or exclude less")
}

/// Where what is missing at the top of a file is shown: its first line with text.
fn first_word(source: &str) -> Range<usize> {
    let start = source.len() - source.trim_start().len();
    let end = source[start..]
        .find('\n')
        .map_or(source.len(), |length| start + length);
    start..end
}
