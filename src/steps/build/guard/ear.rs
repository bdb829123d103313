//! What the guard hears in the output of its build.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::model::console::{ImageTasks, Line, Said};

/// What of a build's output matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::steps::build) enum Cue {
    /// Its container runs.
    Alive,
    /// An image is being made now.
    Image,
    /// None is any more.
    NoImage,
}

/// Listens to a build's output and passes cues on.
pub(in crate::steps::build) struct Ear {
    cues: UnboundedSender<Cue>,
    tasks: ImageTasks,
    is_alive: bool,
}

impl Ear {
    pub(in crate::steps::build) fn new() -> (Ear, UnboundedReceiver<Cue>) {
        let (cues, heard) = unbounded_channel();
        let ear = Ear {
            cues,
            tasks: ImageTasks::default(),
            is_alive: false,
        };
        (ear, heard)
    }

    pub(in crate::steps::build) fn hear(&mut self, line: &Line<'_>, said: Option<&Said<'_>>) {
        let image = said.and_then(|said| self.tasks.hear(said));
        // Only kas writes so, it runs in the container, and long before any task it says its version.
        let first = !self.is_alive && line.level.is_some();
        self.is_alive |= first;
        let cue = match image {
            Some(true) => Cue::Image,
            Some(false) => Cue::NoImage,
            None if first => Cue::Alive,
            None => return,
        };
        // Nobody listens once the build has been given up.
        let _ = self.cues.send(cue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_kas_and_not_of_the_engine_is_a_sign_of_life() {
        let (mut ear, mut heard) = Ear::new();
        let lines = [
            ("Trying to pull the image", None),
            (
                "2026-11-22 03:24:39 - INFO     - kas 5.5 started",
                Some(Cue::Alive),
            ),
            ("2026-11-22 03:24:40 - INFO     - Cloning repository", None),
            (
                "2026-11-22 03:24:41 - INFO     - NOTE: Running task 1 of 9 (mc:x:/work/x.bb:do_image_wic)",
                Some(Cue::Image),
            ),
            (
                "2026-11-22 03:24:41 - INFO     - NOTE: recipe x-1.0-r0: task do_image_wic: Started",
                None,
            ),
            (
                "2026-11-22 03:24:42 - INFO     - NOTE: recipe x-1.0-r0: task do_image_wic: Succeeded",
                Some(Cue::NoImage),
            ),
        ];
        for (text, cue) in lines {
            let line = Line::new(text);
            ear.hear(&line, Said::read(&line).as_ref());
            assert_eq!(heard.try_recv().ok(), cue, "{text}");
        }
    }
}
