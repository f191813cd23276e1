//! The shared truth of Latchkey: ids, scopes, conditions, the decision and the bundle format. No I/O, no clock.
