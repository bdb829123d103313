//! The reporters that draw events, one file a reporter, and the hub that feeds them.
//!
//! [`hub`] numbers events and hands them on; [`run_model`] is the state of a run folded over them and
//! [`narrator`] the lines that tell it, both shared by what draws: [`plain`], [`bars`] (whose texts are
//! in `rows`, drawn on a `pane`), [`github`] and [`gitlab`] (over [`ci_log`]), [`summary`]. [`jsonl`]
//! writes the record, [`replay`] reads it back through any of them. Knows nothing but events: times come
//! from a clock and places to write from the caller.

pub mod bars;
pub mod ci_log;
pub mod github;
pub mod gitlab;
pub mod hub;
pub mod human;
pub mod jsonl;
pub mod markdown;
pub mod narrator;
pub mod paint;
mod pane;
pub mod plain;
pub mod replay;
mod rows;
pub mod run_model;
pub mod sanitize;
pub mod summary;
pub mod terminal;

use std::io;

pub use hub::{Clock, EventSink, Hub, ReporterFailure};

use crate::model::event::Event;

/// Where a reporter writes.
pub type Output = Box<dyn io::Write + Send>;

/// Draws events. One implementation a file.
pub trait Reporter: Send {
    /// A short name, for the message when it fails.
    fn name(&self) -> &'static str;

    /// Draws one event.
    ///
    /// # Errors
    /// Whatever its output gives; the reporter is then not called again.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Called now and then between events, for what moves by itself such as elapsed times.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called once, after every reporter has drawn the last event, in the order in which the reporters
    /// were given. What is drawn once at the end, or has to leave the terminal first, belongs here.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
