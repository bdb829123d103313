//! The executor: the work behind the nodes of a plan. Finds the step of a node and hands it its context and the state
//! of its variant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::EventSink;
use crate::exec::StopSignal;
use crate::host::capacity::HostCapacity;
use crate::plan::{Node, NodeIx, Plan, VariantIx};
use crate::run::scheduler::Work;
use crate::settings::Settings;
use crate::state::journal::Journal;
use crate::steps::build_share::BuildShare;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::steps::services::StepServices;
use crate::steps::step::Step;
use crate::steps::variant_state::VariantState;

/// The run as its steps see it.
pub struct RunServices {
    /// The run's id.
    pub id: String,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The sink of the run's events.
    pub events: EventSink,
    /// The run's journal.
    pub journal: Arc<Journal>,
}

/// The work behind the nodes of a plan.
pub struct StepExecutor {
    plan: Arc<Plan>,
    steps: Vec<&'static dyn Step>,
    run: RunServices,
    services: Arc<StepServices>,
    host: HostCapacity,
    /// The states of variants of which no step runs. Without one, a variant has the empty state.
    states: Mutex<HashMap<VariantIx, VariantState>>,
}

impl StepExecutor {
    /// The work of a plan that was made of the infos of `steps`.
    #[must_use]
    pub fn new(
        plan: Arc<Plan>,
        steps: Vec<&'static dyn Step>,
        run: RunServices,
        services: StepServices,
        host: HostCapacity,
    ) -> StepExecutor {
        StepExecutor {
            plan,
            steps,
            run,
            services: Arc::new(services),
            host,
            states: Mutex::default(),
        }
    }

    /// The services that the steps share.
    #[must_use]
    pub fn services(&self) -> &Arc<StepServices> {
        &self.services
    }

    fn step(&self, node: &Node) -> Option<&'static dyn Step> {
        let mut steps = self.steps.iter().copied();
        steps.find(|step| step.info() == node.step)
    }

    fn states(&self) -> MutexGuard<'_, HashMap<VariantIx, VariantState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work for StepExecutor {
    fn log(&self, node: NodeIx) -> Option<String> {
        let node = self.plan.node(node);
        let key = &self.plan.variant(node.variant).key;
        let log = self
            .step(node)?
            .log(&self.run.settings, &self.run.id, key)?;
        Some(log.display().to_string())
    }

    fn memory_pressure(&self) -> Option<String> {
        let limit = self.run.settings.memory_pressure.value;
        let now = self.host.memory_pressure().filter(|_| limit > 0)?;
        (f64::from(now) >= f64::from(limit)).then(|| {
            format!("processes waited for memory in {now:.0} % of the last 10 seconds, and {limit} % is the limit")
        })
    }

    async fn run(&self, node: NodeIx, share: BuildShare, stop: StopSignal) -> StepResult {
        let planned = self.plan.node(node);
        let Some(step) = self.step(planned) else {
            let why = format!("internal fault: no step does {}", self.plan.id(node));
            return StepResult::failed(why);
        };
        let cx = StepContext {
            node: self.plan.id(node).to_string(),
            kind: planned.step.kind,
            run: self.run.id.clone(),
            variant: Arc::new(self.plan.variant(planned.variant).clone()),
            settings: Arc::clone(&self.run.settings),
            events: self.run.events.clone(),
            stop,
            share,
            journal: Arc::clone(&self.run.journal),
            services: Arc::clone(&self.services),
        };
        // The steps of a variant are a chain, so no other step misses the state meanwhile.
        let mut state = self.states().remove(&planned.variant).unwrap_or_default();
        let result = step.run(&cx, &mut state).await;
        self.states().insert(planned.variant, state);
        result
    }
}
