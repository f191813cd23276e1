//! The Latchkey policy compiler: YAML in Git to a checked, tested, signed bundle.
