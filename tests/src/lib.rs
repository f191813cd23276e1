//! Cross-crate tests of Latchkey.
