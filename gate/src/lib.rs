//! The pure request path of Latchkey: from request bytes and claims to a verdict.
