//! Variants that are built regardless of the records: `--rebuild` and `--no-skip`.

use crate::base::failure::{Failure, FailureKind};
use crate::matrix::VariantKey;
use crate::matrix::selection::{VariantGlob, VariantIndex};
use crate::project::Project;
use crate::project::context::Context;

/// The glob of `--rebuild` without a value.
const EVERY_VARIANT: &str = "*/*";

/// The variants that the command line forces to be built.
#[derive(Debug, Clone, Default)]
pub struct Forced {
    /// Variants of `--rebuild=VARIANT`.
    rebuilt: Vec<VariantGlob>,
    /// `--rebuild` without a value.
    all_rebuilt: bool,
    no_skip: bool,
}

impl Forced {
    /// The forced variants of a command line.
    ///
    /// # Errors
    /// A word that is not a glob, or that matches no selected variant.
    pub(crate) fn of(context: &Context, project: &Project) -> Result<Forced, Failure> {
        let run = &context.arguments.run;
        let index = VariantIndex::new(project.matrix.variants.iter().map(|one| &one.key));
        let mut rebuilt = Vec::new();
        for word in run.rebuild.iter().filter(|word| *word != EVERY_VARIANT) {
            let wrong =
                |why: String, hint| Failure::new(FailureKind::Configuration, why).hint(hint);
            let glob = VariantGlob::new(word)
                .map_err(|why| wrong(format!("`--rebuild={word}` is not a glob: {why}"), None))?;
            if index.find(&glob).is_empty() {
                let why = format!("`--rebuild={word}` names none of the selected variants");
                return Err(wrong(why, Some(index.hint(word))));
            }
            rebuilt.push(glob);
        }
        Ok(Forced {
            rebuilt,
            all_rebuilt: run.rebuild.iter().any(|word| word == EVERY_VARIANT),
            no_skip: run.no_skip,
        })
    }

    /// Whether a variant is built from a clean build directory (`--rebuild`).
    #[must_use]
    pub(crate) fn rebuilds(&self, key: &VariantKey) -> bool {
        self.all_rebuilt || self.rebuilt.iter().any(|glob| glob.matches(key))
    }

    /// Whether a variant is built, from a clean build directory or not.
    #[must_use]
    pub(crate) fn builds(&self, key: &VariantKey) -> bool {
        self.no_skip || self.rebuilds(key)
    }

    /// Whether every variant is built.
    #[must_use]
    pub(crate) fn all(&self) -> bool {
        self.no_skip || self.all_rebuilt
    }
}
