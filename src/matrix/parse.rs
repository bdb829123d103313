//! Parses variants.toml: its text becomes a matrix, or every fault that it has.
//!
//! Reads no file. Whether the kas files of a chain exist is checked later, by [`crate::kas::tree`].

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use crate::base::arch::Arch;
use crate::base::fault::{Fault, Faults};
use crate::matrix::assembly::{AssembledVariant, Assembler, ChainSource, KasFileUse};
use crate::matrix::catalog::Catalog;
use crate::matrix::document::{Text, VariantsDocument};
use crate::matrix::naming::Naming;
use crate::matrix::releases::ReleaseRequest;
use crate::matrix::structure::StructureReport;
use crate::matrix::variant::Matrix;
use crate::matrix::{collisions, document, expansion, releases, structure, toml_syntax};
use crate::store::product::ProductInfo;

/// The name of the file.
pub const FILE_NAME: &str = "variants.toml";

/// Inputs of a matrix besides the text of its file.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// The architecture of the build host. `None`: no machine counts as native.
    pub host: Option<Arch>,
    /// Overlays of the command line, relative to the directory of variants.toml, appended to each
    /// kas chain.
    pub overlays: Vec<String>,
    /// The release version. `None`: that of the file, else `dev`.
    pub release_version: Option<String>,
    /// The products that `products` of an artifact type may name.
    pub products: Vec<&'static ProductInfo>,
}

/// The outcome of parsing one file.
#[derive(Debug, Default)]
pub struct ParsedMatrix {
    /// The matrix; `None` exactly when there are faults.
    pub matrix: Option<Matrix>,
    /// The kas files that the chains name, without duplicates, in the order of first use.
    pub kas: Vec<KasFileUse>,
    /// All faults.
    pub faults: Faults,
}

/// Parses the text of a variants.toml.
#[must_use]
pub fn parse(source: &str, options: &ParseOptions) -> ParsedMatrix {
    let (root, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        return ParsedMatrix {
            faults: toml_syntax::faults(&errors, source),
            ..ParsedMatrix::default()
        };
    }
    let root = root.into_inner();
    let StructureReport { mut faults, broken } = structure::check_root(&root, first_line(source));
    let VariantsDocument {
        catalog,
        naming,
        chain,
        chain_span,
        blocks,
        blocks_span,
        version,
        released,
    } = document::read(&root, source);
    let version = match &options.release_version {
        Some(version) => Text::implied(version, naming.span.clone()),
        None => version.unwrap_or_else(|| Text::implied("dev", naming.span.clone())),
    };

    let types_known = !broken.contains("artifacts");
    let catalog = Catalog::new(catalog, types_known, &options.products, &mut faults);
    // Faulty axes or machines would make everything that names them look faulty, too.
    let quiet = broken.contains("axes") || broken.contains("machines");
    let naming = Naming::new(&naming, &catalog, quiet, &mut faults);
    let chain_source = ChainSource {
        entries: &chain,
        overlays: &options.overlays,
        host: options.host,
    };
    let mut assembler = Assembler::new(&catalog, &naming, &chain_source, quiet, &mut faults);
    if let Some(span) = chain_span.filter(|_| chain.is_empty() && !broken.contains("kas")) {
        faults.push(empty_chain(span));
    }
    if quiet {
        return ParsedMatrix {
            matrix: None,
            kas: assembler.finish(&mut faults),
            faults,
        };
    }

    let expansion = expansion::expand(&blocks, &catalog, &mut faults);
    let complete = expansion.complete && !broken.contains("variants");
    if let Some(span) = blocks_span.filter(|_| expansion.combinations.is_empty() && complete) {
        faults.push(empty_matrix(span));
    }
    let count = expansion.combinations.len();
    let assembled: Vec<AssembledVariant> = expansion
        .combinations
        .into_iter()
        .filter_map(|combination| assembler.assemble(combination))
        .collect();
    collisions::check(&assembled, &naming, &catalog, &mut faults);
    let request = ReleaseRequest {
        globs: &released,
        version: &version,
        // Without every variant, a glob that matches nothing is not a fault of its own.
        report_unmatched: complete && assembled.len() == count,
    };
    let releases = releases::releases(&request, &assembled, &mut assembler, &mut faults);
    let kas = assembler.finish(&mut faults);
    let matrix = faults.is_empty().then(|| Matrix {
        axes: catalog.axis_names().map(str::to_owned).collect(),
        variants: Arc::new(assembled.into_iter().map(|one| one.variant).collect()),
        releases,
    });
    ParsedMatrix {
        matrix,
        kas,
        faults,
    }
}

fn empty_chain(span: Range<usize>) -> Fault {
    Fault::at(span, "the kas chain is empty", "no files")
        .hint("name at least the file that has `build_system` and `repos`")
}

fn empty_matrix(span: Range<usize>) -> Fault {
    Fault::at(span, "the matrix is empty", "expands to no variant")
        .hint("add an entry to `[[variants]]`, or exclude less")
}

/// The first line with text, which faults about missing top-level keys point at.
fn first_line(source: &str) -> Range<usize> {
    let start = source.len() - source.trim_start().len();
    let end = source[start..]
        .find('\n')
        .map_or(source.len(), |length| start + length);
    start..end
}
