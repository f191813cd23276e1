//! The Latchkey sidecar: enforces a bundle on every request to a tool server.
