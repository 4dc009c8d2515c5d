//! The state of the node where one thread adds to it and another reads it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{NodeState, Pulse, Setup};
use crate::report::{Observer, Report};

/// The state of the node, and the loop's pulse. The loop waits for neither: it gives its reports to a queue, from which another
/// thread adds them here.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<Arc<NodeState>>>,
    pulse: Arc<Pulse>,
}

impl Health {
    /// Nothing was reported so far.
    #[must_use]
    pub fn new(setup: Setup, pulse: Arc<Pulse>) -> Self {
        Self { state: Arc::new(Mutex::new(Arc::new(NodeState::new(setup)))), pulse }
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> Arc<NodeState> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The loop's pulse.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

impl Observer for Health {
    fn observe(&mut self, report: &Report, _: u64) {
        Arc::make_mut(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)).add(report);
    }
}
