//! The sidecar on loopback, between a small tool server and plain clients.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod audiences;
#[cfg(test)]
mod bridging;
#[cfg(test)]
mod bundle;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod client;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod decision_tls;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod disk;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod faults;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod pins;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stdio;
#[cfg(test)]
mod store;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod supply;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod unix;
#[cfg(test)]
mod upstreams;
mod waiting;
#[cfg(test)]
mod web;
#[cfg(test)]
mod workloads;
