//! What the benchmarks share: tables, timing, child processes, and the policies they ask.

pub mod contenders;
pub mod editor;
pub mod exchange;
pub mod fleet;
pub mod load;
mod parts;
pub mod peers;
pub mod policies;
pub mod process;
pub mod project;
pub mod table;
pub mod timing;
pub mod world;
