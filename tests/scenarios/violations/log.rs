//! What our side logs when it closes or resets because of its peer: the only place
//! that names a rule which no event tells.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use aqueduct_core::fault::Violation;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Runs something and gives the violations that were raised meanwhile, in order.
pub(super) fn raised<T>(run: impl FnOnce() -> T) -> (T, Vec<Violation>) {
    let log = Log::default();
    let done = tracing::subscriber::with_default(log.clone(), run);
    let raised = log.0.lock().expect("one thread").clone();
    (done, raised)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Violation>>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "why" {
            return;
        }
        let text = format!("{value:?}");
        let rule = Violation::ALL.iter().find(|rule| rule.to_string() == text);
        let rule = *rule.unwrap_or_else(|| panic!("{text} is no violation"));
        self.0.lock().expect("one thread").push(rule);
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
