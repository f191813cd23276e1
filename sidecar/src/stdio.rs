//! Tool servers that the sidecar runs itself, and speaks with over standard input and output.
//!
//! To the rest of the sidecar such a server is one more MCP server over HTTP: a request goes in, an
//! answer with a status, headers and a body comes out. Below that, a request is one line for a
//! child, and a child's lines find their way back by the numbers that the sidecar gave out:
//!
//! ```text
//! Server   which child a request is for: the shared one, or that of its session
//! Desk     who waits for what of one child; ids, progress tokens and subscriptions, to and fro
//! Child    the process: pipes, limits, end
//! Stream   what one caller is answered, as a body
//! ```

mod backoff;
mod child;
mod children;
mod desk;
mod launch;
mod mailbox;
mod message;
mod send;
mod server;
mod sessions;
mod stream;

pub use children::Children;
pub use launch::Launch;
pub use mailbox::BrokenOff;
pub use send::send;
pub use server::{Call, Server};
pub use sessions::Caller;
pub use stream::Stream;
