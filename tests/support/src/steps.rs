//! Runs one step by itself, and keeps the events that it sends.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use isar_build_all::event::{Clock, Hub, Reporter};
use isar_build_all::event::{Event, EventKind};
use isar_build_all::exec::StopLevel;
use isar_build_all::matrix::Variant;
use isar_build_all::plan::StepKind;
use isar_build_all::settings::{LayerInput, Settings};
use isar_build_all::state::journal::Journal;
use isar_build_all::steps::context::StepContext;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::services::StepServices;
use tokio::sync::watch;

/// A reporter that keeps every event.
#[derive(Clone, Default)]
pub struct Collect(pub Arc<Mutex<Vec<Event>>>);

impl Reporter for Collect {
    fn name(&self) -> &'static str {
        "collect"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// The settings of a project that sets none.
pub fn settings_in(dir: &Path) -> Settings {
    Settings::resolve(&LayerInput::of(dir)).unwrap()
}

/// What a step is given.
pub struct Stage<'a> {
    pub node: String,
    pub variant: Variant,
    pub settings: Arc<Settings>,
    pub services: Arc<StepServices>,
    /// The directory that gets the journal.
    pub dir: &'a Path,
    pub clock: Clock,
    pub stop: watch::Receiver<StopLevel>,
}

impl Stage<'_> {
    /// What the step gets, and what it says meanwhile.
    pub fn begin(self) -> (StepContext, Heard) {
        let collected = Collect::default();
        let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(collected.clone())];
        let (hub, events) = Hub::start("run", self.clock, reporters).unwrap();
        let ctx = StepContext {
            kind: StepKind::new("tested"),
            node: self.node,
            run: "run".to_owned(),
            variant: Arc::new(self.variant),
            settings: self.settings,
            events,
            stop: self.stop,
            share: Default::default(),
            journal: Arc::new(Journal::open(&self.dir.join("journal.jsonl")).unwrap()),
            services: self.services,
        };
        (ctx, Heard { hub, collected })
    }

    /// Runs it, and waits for all that it has started.
    pub fn run<F: Future<Output = StepResult>>(
        self,
        work: impl FnOnce(StepContext) -> F,
    ) -> (StepResult, Vec<EventKind>) {
        let (ctx, heard) = self.begin();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let result = runtime.block_on(work(ctx));
        drop(runtime);
        (result, heard.end())
    }
}

/// What a step says.
pub struct Heard {
    hub: Hub,
    collected: Collect,
}

impl Heard {
    /// All of it, once nobody can say more.
    pub fn end(self) -> Vec<EventKind> {
        assert!(self.hub.join().is_empty());
        let mut events = self.collected.0.lock().unwrap();
        events.drain(..).map(|event| event.kind).collect()
    }
}
