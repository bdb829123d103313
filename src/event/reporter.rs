//! The interface between the hub and the reporters that draw events.

use std::io;

use crate::event::Event;

/// Draws events: on a terminal, in a CI log, as a file. `report/` has one implementation a file.
pub trait Reporter: Send {
    /// A short name for messages, such as `bars`.
    fn name(&self) -> &'static str;

    /// Draws one event.
    ///
    /// # Errors
    /// Errors of the reporter's output; the hub then switches the reporter off.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Called about five times a second, for elapsed times and other parts that change without an event.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called once, after every reporter has drawn the last event, one reporter after the other in the
    /// order in which the hub got them. Draws a final summary, or clears a live display.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
