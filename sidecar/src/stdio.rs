//! Tool servers that the sidecar runs itself, and speaks with over standard input and output.

pub mod mailbox;
mod stream;

pub use stream::{Form, Stream};
