//! What is known of a connection before its first request.

use std::net::IpAddr;

use latchkey_gate::certificate::ClientCertificate;

/// What is known of a connection before its first request.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The caller's address; absent on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether the listener is on loopback, where a page in a browser could reach it.
    pub on_loopback: bool,
    /// The certificate that the caller has shown and proved to hold.
    pub client_certificate: Option<ClientCertificate>,
}
