//! One decision.
