//! Image cues: the parts of a build's output that its guard needs.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bitbake::console::{ConsoleLine, ImageTasks, Said};

/// A change that the guard acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageCue {
    /// The container runs.
    ContainerRuns,
    /// An image task began.
    ImageBegins,
    /// The last running image task ended.
    ImagesEnd,
}

/// Listens to a build's output and sends cues. Dropping it ends [`super::ImageGuard::follow`].
#[derive(Debug)]
pub struct ImageCueListener {
    cues: UnboundedSender<ImageCue>,
    tasks: ImageTasks,
    container_runs: bool,
}

impl ImageCueListener {
    /// A listener, and the receiver of its cues.
    #[must_use]
    pub fn new() -> (ImageCueListener, UnboundedReceiver<ImageCue>) {
        let (cues, receiver) = unbounded_channel();
        let listener = ImageCueListener {
            cues,
            tasks: ImageTasks::default(),
            container_runs: false,
        };
        (listener, receiver)
    }

    /// Takes note of a line of the build's output.
    pub fn hear(&mut self, line: &ConsoleLine<'_>, said: Option<&Said<'_>>) {
        let image = said.and_then(|said| self.tasks.hear(said));
        // Only kas, inside the container, logs with a level; its first line comes long before any
        // task.
        let first = !self.container_runs && line.level.is_some();
        self.container_runs |= first;
        let cue = match image {
            Some(true) => ImageCue::ImageBegins,
            Some(false) => ImageCue::ImagesEnd,
            None if first => ImageCue::ContainerRuns,
            None => return,
        };
        // Without a guard the receiver is gone.
        let _ = self.cues.send(cue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_kas_and_the_image_tasks_become_cues() {
        let (mut listener, mut cues) = ImageCueListener::new();
        let lines = [
            ("Trying to pull the image", None),
            (
                "2026-11-22 03:24:39 - INFO     - kas 5.5 started",
                Some(ImageCue::ContainerRuns),
            ),
            ("2026-11-22 03:24:40 - INFO     - Cloning repository", None),
            (
                "2026-11-22 03:24:41 - INFO     - NOTE: Running task 1 of 9 (mc:x:/work/x.bb:do_image_wic)",
                Some(ImageCue::ImageBegins),
            ),
            (
                "2026-11-22 03:24:41 - INFO     - NOTE: recipe x-1.0-r0: task do_image_wic: Started",
                None,
            ),
            (
                "2026-11-22 03:24:42 - INFO     - NOTE: recipe x-1.0-r0: task do_image_wic: Succeeded",
                Some(ImageCue::ImagesEnd),
            ),
        ];
        for (text, cue) in lines {
            let line = ConsoleLine::new(text);
            listener.hear(&line, Said::read(&line).as_ref());
            assert_eq!(cues.try_recv().ok(), cue, "{text}");
        }
    }
}
