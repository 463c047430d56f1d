//! Puts a span into a trace that began elsewhere: with the sender of a request, or with the event that a run is for.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::event::TraceContext;

/// Makes `span` a child of the span that `trace` names.
pub fn join(span: &Span, trace: &TraceContext) {
    let mut carrier = HashMap::from([(TraceContext::PARENT.to_owned(), trace.parent().to_owned())]);
    carrier.extend(trace.state().map(|state| (TraceContext::STATE.to_owned(), state.to_owned())));
    // Fails where spans go nowhere but to the log.
    drop(span.set_parent(TraceContextPropagator::new().extract(&carrier)));
}
