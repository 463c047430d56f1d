//! Observe, plan, apply.
