//! Makes of what kas says what others want to know: events, how far the build is, that others may follow.
//! Knows nothing of how the build ends.

use std::io;
use std::time::Instant;

use crate::exec::Output;
use crate::model::console::{Collector, Line, Said};
use crate::model::event::EventKind;
use crate::state::records::measures::Measure;
use crate::steps::{Measured, StepContext};

use super::first::Pioneer;
use super::guard::Ear;
use super::measure::Measuring;
use super::silence::Watch;

/// Who listens to one run of kas.
pub(super) struct Listener<'a> {
    ctx: &'a StepContext,
    collector: Collector,
    restored_root: &'a mut bool,
    begin: Instant,
    first: Option<Pioneer<'a>>,
    measuring: Measuring,
    shared_seconds: Option<f64>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(
        ctx: &'a StepContext,
        restored_root: &'a mut bool,
        first: Option<Pioneer<'a>>,
        measuring: Measuring,
    ) -> Listener<'a> {
        Listener {
            ctx,
            collector: Collector::default(),
            restored_root,
            begin: Instant::now(),
            first,
            measuring,
            shared_seconds: None,
        }
    }

    /// For how many seconds kas has run.
    pub(super) fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// kas has ended, after so many seconds: what it said of failures, and what the build took.
    pub(super) async fn end(self, seconds: f64) -> (Collector, Measured) {
        drop(self.first);
        let measure = Measure {
            took: self.measuring.end().await,
            shared_seconds: self.shared_seconds,
        };
        let seconds = Some(seconds);
        (self.collector, Measured { measure, seconds })
    }

    pub(super) fn hear(&mut self, output: Output<'_>, watch: &Watch, ear: &mut Ear) {
        match output {
            Output::Line(stream, text) => {
                let line = Line::new(text);
                let said = Said::read(&line);
                self.collector.hear(&line, said.as_ref());
                ear.hear(&line, said.as_ref());
                watch.hear(&line, said.as_ref());
                self.ctx.events.output(&self.ctx.node, stream, text);
                if self.first.as_ref().is_some_and(|first| first.hear(&line)) {
                    self.first = None;
                }
                // Only kas writes so, and it runs in the container.
                if line.level.is_some() {
                    self.measuring.runs();
                }
                if let Some(said) = said {
                    self.heard(said);
                }
            }
            Output::LogFailed(path, error) => self.ctx.events.warn(
                Some(&self.ctx.node),
                format!(
                    "the log {} is incomplete from here: {error}",
                    path.display()
                ),
                (error.kind() == io::ErrorKind::StorageFull)
                    .then(|| "free some space on that file system: df -h".to_owned()),
            ),
        }
    }

    fn heard(&mut self, said: Said<'_>) {
        let Said::Progress {
            done,
            total,
            task,
            setscene,
        } = said
        else {
            return;
        };
        let begins_image = task.begins_image();
        *self.restored_root |= setscene && task.task.starts_with("do_rootfs_install");
        self.ctx.events.emit(EventKind::Progress {
            node: self.ctx.node.clone(),
            done,
            total,
            task: task.to_string(),
            setscene,
        });
        // What follows from it is told after it.
        if !setscene && self.shared_seconds.is_none() && begins_image {
            self.shared_seconds = Some(self.seconds());
            self.ctx.share.let_go();
        }
    }
}
