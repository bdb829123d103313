//! `--publish-if all`: registrations that wait for each other, and the files that they keep open meanwhile.

use std::sync::Arc;

use crate::event::EventSink;
use crate::event::numbers;
use crate::host::open_files;
use crate::plan::Plan;
use crate::project::arguments::PublishIf;
use crate::project::context::Context;
use crate::steps::register::batch::Batch;
use crate::tools::ToolNote;

/// Open files of everything else in a run.
const REST: usize = 512;

/// The batch in which `registrations` wait for each other; `None` where each publishes by itself. Skipped
/// variants are published already.
pub(crate) fn batch(context: &Context, registrations: usize) -> Option<Arc<Batch>> {
    match context.arguments.run.publish_if {
        PublishIf::Each => None,
        PublishIf::All => Some(Arc::new(Batch::of(registrations))),
    }
}

/// Raises the limit on open files for the registrations that wait: each variant keeps one open against the
/// garbage collector, and one for each product. Returns a note where the hard limit is too low.
pub(crate) fn open_files(context: &Context, plan: &Plan) -> Option<ToolNote> {
    if context.arguments.run.publish_if == PublishIf::Each {
        return None;
    }
    let variants = plan.variants.iter();
    let waiting: usize = variants.map(|variant| 1 + variant.products().count()).sum();
    let needed = (waiting + REST) as u64;
    let allowed = open_files::allow(needed)?;
    (allowed < needed).then(|| ToolNote {
        message: format!(
            "--publish-if all may need {needed} open files for {}; the limit is {allowed}",
            numbers::count(plan.variants.len(), "variant")
        ),
        hint: "raise the limit (ulimit -Hn), or publish fewer variants at once".to_owned(),
    })
}

/// Warns of registrations that were prepared and given up.
pub(crate) fn warn_of_unpublished(batch: Option<&Batch>, events: &EventSink) {
    let variants = batch.map_or(0, Batch::give_up);
    if variants > 0 {
        let message = format!(
            "nothing was published, because not every variant succeeded (--publish-if all): the \
             files of {variants} are in the store, output entries and hashes are unchanged"
        );
        let hint = "build the rest, or register what is deployed: isar-build-all --rename-existing";
        events.warn(None, message, Some(hint.to_owned()));
    }
}
