//! The image tasks that run at present: those that call sgdisk, and thereby `sync(2)`.

use crate::bitbake::console::{Said, Task, TaskState};

/// The image tasks of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageTasks {
    /// Tasks that BitBake has announced and not started yet.
    announced: u32,
    started: u32,
}

impl ImageTasks {
    /// Processes a line. Returns whether an image task runs now, if that has changed.
    ///
    /// BitBake announces a task shortly before it starts; the announcement counts as its start, so that a guard
    /// has time to act.
    pub fn hear(&mut self, said: &Said<'_>) -> Option<bool> {
        let before = self.any();
        match said {
            Said::Progress {
                task,
                setscene: false,
                ..
            } if makes_image(task) => self.announced += 1,
            Said::Task { task, state } if makes_image(task) => match state {
                TaskState::Started => {
                    self.announced = self.announced.saturating_sub(1);
                    self.started += 1;
                }
                TaskState::Succeeded | TaskState::Failed => {
                    self.started = self.started.saturating_sub(1);
                }
            },
            _ => {}
        }
        (self.any() != before).then_some(self.any())
    }

    fn any(&self) -> bool {
        self.announced + self.started > 0
    }
}

fn makes_image(task: &Task) -> bool {
    task.task.starts_with("do_image_wic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitbake::console::ConsoleLine;

    fn heard(lines: &[&str]) -> Vec<Option<bool>> {
        let mut tasks = ImageTasks::default();
        lines
            .iter()
            .map(|line| {
                let line = format!("2026-11-22 03:24:39 - INFO     - NOTE: {line}");
                let line = ConsoleLine::new(&line);
                Said::read(&line).and_then(|said| tasks.hear(&said))
            })
            .collect()
    }

    #[test]
    fn an_image_is_being_made_from_its_first_mention_to_the_end_of_the_last() {
        let lines = [
            "Running task 16 of 35 (mc:a:/work/x.bb:do_rootfs_install)",
            "Running setscene task 2 of 6 (mc:a:/work/x.bb:do_image_wic_setscene)",
            "Running task 17 of 35 (mc:a:/work/isar-image-base.bb:do_image_wic)",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Started",
            "Running task 18 of 35 (mc:b:/work/isar-image-base.bb:do_image_wic)",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Succeeded",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Started",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Failed",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Started",
            "recipe isar-image-base-1.0-r0: task do_image_wic: Succeeded",
        ];
        assert_eq!(
            heard(&lines),
            [
                None,
                None,
                Some(true),
                None,
                None,
                None,
                None,
                Some(false),
                Some(true),
                Some(false)
            ]
        );
    }
}
