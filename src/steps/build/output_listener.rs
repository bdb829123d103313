//! The output listener: turns the lines of kas into events, progress, and the signals that others wait for. Does not
//! judge how the build ends.

use std::io;
use std::time::Instant;

use crate::bitbake::console::{Collector, ConsoleLine, Said};
use crate::event::EventKind;
use crate::exec::ProcessOutput;
use crate::state::records::measures::Measure;
use crate::steps::build::usage::UsageSampler;
use crate::steps::build::warm_up::WarmUpLeader;
use crate::steps::context::StepContext;
use crate::watchdog::silence_watch::SilenceWatch;
use crate::wsl::image_guard::ImageCueListener;

/// The listener of one run of kas.
pub(super) struct OutputListener<'a> {
    cx: &'a StepContext,
    collector: Collector,
    restored_root: bool,
    begin: Instant,
    leader: Option<WarmUpLeader<'a>>,
    sampler: UsageSampler,
    shared_seconds: Option<f64>,
}

/// The findings of a listener once kas has ended.
pub(super) struct Heard {
    /// Reports of failures by kas and BitBake.
    pub(super) collector: Collector,
    /// Whether a root directory was restored from shared state instead of being made.
    pub(super) restored_root: bool,
    /// The measurements.
    pub(super) measure: Measure,
}

impl<'a> OutputListener<'a> {
    pub(super) fn new(
        cx: &'a StepContext,
        leader: Option<WarmUpLeader<'a>>,
        sampler: UsageSampler,
    ) -> OutputListener<'a> {
        OutputListener {
            cx,
            collector: Collector::default(),
            restored_root: false,
            begin: Instant::now(),
            leader,
            sampler,
            shared_seconds: None,
        }
    }

    /// The seconds since kas was started.
    pub(super) fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// kas has ended.
    pub(super) async fn end(self) -> Heard {
        drop(self.leader);
        Heard {
            collector: self.collector,
            restored_root: self.restored_root,
            measure: Measure {
                took: self.sampler.end().await,
                shared_seconds: self.shared_seconds,
            },
        }
    }

    pub(super) fn hear(
        &mut self,
        output: ProcessOutput<'_>,
        watch: &SilenceWatch,
        image_cues: &mut ImageCueListener,
    ) {
        match output {
            ProcessOutput::Line(stream, text) => {
                let line = ConsoleLine::new(text);
                let said = Said::read(&line);
                self.collector.hear(&line, said.as_ref());
                image_cues.hear(&line, said.as_ref());
                watch.hear(&line, said.as_ref());
                self.cx.events.output(&self.cx.node, stream, text);
                if self
                    .leader
                    .as_ref()
                    .is_some_and(|leader| leader.hear(&line))
                {
                    self.leader = None;
                }
                // Lines with a level are kas's own, and kas runs in the container.
                if line.level.is_some() {
                    self.sampler.container_runs();
                }
                if let Some(said) = said {
                    self.progress(said);
                }
            }
            ProcessOutput::LogFailed(path, error) => self.cx.warn(
                format!(
                    "the log {} is incomplete from here: {error}",
                    path.display()
                ),
                (error.kind() == io::ErrorKind::StorageFull)
                    .then(|| "free some space on that file system: df -h".to_owned()),
            ),
        }
    }

    fn progress(&mut self, said: Said<'_>) {
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
        self.restored_root |= setscene && task.task.starts_with("do_rootfs_install");
        self.cx.events.emit(EventKind::Progress {
            node: self.cx.node.clone(),
            done,
            total,
            task: task.to_string(),
            setscene,
        });
        // After the progress event that causes it.
        if !setscene && self.shared_seconds.is_none() && begins_image {
            self.shared_seconds = Some(self.seconds());
            self.cx.share.release_followers();
        }
    }
}
