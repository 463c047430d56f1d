//! The trace of a run: where it is kept, and where it comes from.
//!
//! What the event itself says comes first: it names the span in which the event was made, and is the same at every
//! attempt to deliver it. The request that brought the event names its own hop, which is better than nothing. Neither
//! bears on which events are the same.

use crate::api::{ANNOTATION_TRACEPARENT, ANNOTATION_TRACESTATE, EventRecord, Execution, ExtensionValue};
use crate::event::TraceContext;

/// The trace that `execution` belongs to.
pub fn trace(execution: &Execution) -> Option<TraceContext> {
    let annotations = execution.metadata.annotations.as_ref()?;
    let state = annotations.get(ANNOTATION_TRACESTATE).map(String::as_str);
    TraceContext::new(annotations.get(ANNOTATION_TRACEPARENT)?, state)
}

/// Keeps `trace` with `execution`, instead of any other.
pub(super) fn keep(execution: &mut Execution, trace: &TraceContext) {
    let annotations = execution.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_TRACEPARENT.to_owned(), trace.parent().to_owned());
    match trace.state() {
        Some(state) => drop(annotations.insert(ANNOTATION_TRACESTATE.to_owned(), state.to_owned())),
        None => drop(annotations.remove(ANNOTATION_TRACESTATE)),
    }
}

/// The trace that an event carries itself (`CloudEvents` distributed tracing).
pub(super) fn of_event(event: &EventRecord) -> Option<TraceContext> {
    let text = |name: &str| match event.extensions.get(name) {
        Some(ExtensionValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    TraceContext::new(text(TraceContext::PARENT)?, text(TraceContext::STATE))
}
