//! What `--publish-if` asks of a run: registrations that wait for each other, and the open files that they keep
//! meanwhile.

use std::sync::Arc;

use super::context::Context;
use crate::cli::PublishIf;
use crate::machine::open_files;
use crate::model::plan::Plan;
use crate::report::EventSink;
use crate::steps::register::batch::Batch;
use crate::tools::Note;

/// Open files of everything else that a run does.
const REST: usize = 512;

/// Where the run's registrations, so many, wait for each other, if they are to. What is skipped is
/// published already.
pub(super) fn batch(context: &Context, registrations: usize) -> Option<Arc<Batch>> {
    match context.cli.run.publish_if {
        PublishIf::Each => None,
        PublishIf::All => Some(Arc::new(Batch::of(registrations))),
    }
}

/// Has the run be allowed the files that waiting registrations keep open: for each variant what holds back
/// the collector, and what was made of its artifacts. Says so where they may be too many.
pub(super) fn open_files(context: &Context, plan: &Plan) -> Option<Note> {
    if context.cli.run.publish_if == PublishIf::Each {
        return None;
    }
    let variants = plan.variants.iter();
    let waiting: usize = variants.map(|variant| 1 + variant.products().count()).sum();
    let needed = (waiting + REST) as u64;
    let allowed = open_files::allow(needed)?;
    (allowed < needed).then(|| Note {
        message: format!(
            "--publish-if all may need {needed} open files for {} variants, and {allowed} are allowed",
            plan.variants.len()
        ),
        hint: "raise the limit (ulimit -Hn), or publish fewer variants at once".to_owned(),
    })
}

/// Says that what was prepared was given up.
pub(super) fn say_unpublished(batch: Option<&Batch>, events: &EventSink) {
    let variants = batch.map_or(0, Batch::give_up);
    if variants > 0 {
        let message = format!(
            "nothing was published, because not every variant succeeded (--publish-if all): the \
             files of {variants} are in the store, output entries and hashes are as they were"
        );
        let hint = "build the rest, or take what there is: isar-build-all --rename-existing";
        events.warn(None, message, Some(hint.to_owned()));
    }
}
