//! What goes to the tool server, or comes from it, as it is: bodies that nobody reads, and every WebSocket.

use std::{sync::Arc, time::Instant};

use hyper::{Method, Response, http::response::Parts};
use latchkey_engine::reason::Reason;
use latchkey_gate::{admit::Permit, wire::Refusal};

use super::{Head, Inflow, Outbound, Target, Upstream};
use crate::{
    arriving::Arriving,
    http1::{self, Connection, Fault, Home, Turn},
    upload::{Stopped, Upload},
};

/// What a server answers to a request to become a WebSocket.
#[derive(Debug)]
pub enum Turned {
    /// The connection is one from here on.
    Switched(Parts, Box<Connection>),
    /// The server goes on in HTTP.
    Answered(Box<Inflow>),
}

impl Upstream {
    /// Sends a request whose body goes as it comes. Only a request that no byte of was written is
    /// tried again.
    pub(super) async fn stream(
        self: &Arc<Self>,
        target: &Target,
        permit: &Permit,
        outbound: &Outbound<'_>,
        mut upload: Box<Upload>,
    ) -> Result<Response<Arriving>, Reason> {
        // INVARIANT: nobody has read this body, so only a permit for that lets it go.
        if !permit.streams() {
            return Err(Reason::Internal);
        }
        let address = &self.trusted.label(&target.label);
        loop {
            let idle = self.take(address);
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Box::pin(self.connect(target)).await?,
            };
            target
                .write_head(outbound, false, upload.length(), connection.head())
                .ok_or(Reason::Internal)?;
            let bodiless = outbound.method == Method::HEAD;
            match connection.exchange_streamed(&mut upload, bodiless).await {
                Ok(answered) => {
                    let home: Arc<dyn Home> = Arc::clone(self) as _;
                    let address = Arc::clone(address);
                    let (parts, body) =
                        http1::Body::new(connection, answered, home, address, Some(upload));
                    return Ok(Response::from_parts(parts, Arriving::Http(body)));
                }
                Err(Fault::Unsent(_)) if !is_new => {}
                Err(fault) => return Err(reason(&fault, address)),
            }
        }
    }

    /// Asks a server to make the connection a WebSocket. Consumes the permit.
    pub async fn switch(
        self: &Arc<Self>,
        target: &Target,
        permit: Permit,
        outbound: Outbound<'_>,
    ) -> Result<Turned, Refusal> {
        // INVARIANT: what follows is decided by nobody who reads it, so only a permit for that lets
        // it begin.
        if !permit.tunnels() {
            return Err(permit.refusal(Reason::Internal));
        }
        let started = Instant::now();
        let turning = self.turn(target, &outbound);
        let turned = match tokio::time::timeout(target.timeout, turning).await {
            Err(_) => Err(Reason::UpstreamTimeout),
            Ok(turned) => turned,
        };
        let (turn, connection) = turned.map_err(|reason| permit.refusal(reason))?;
        Ok(match turn {
            Turn::Switched(parts) => Turned::Switched(parts, Box::new(connection)),
            Turn::Answered(answered) => {
                let home: Arc<dyn Home> = Arc::clone(self) as _;
                let address = self.trusted.label(&target.label);
                let (parts, body) = http1::Body::new(connection, answered, home, address, None);
                Turned::Answered(Box::new(Inflow {
                    response: Response::from_parts(parts, Arriving::Http(body)),
                    filter: permit.filter(),
                    asked: outbound.headers,
                    waited: started.elapsed(),
                }))
            }
        })
    }

    /// Always on a new connection: it will not come back.
    async fn turn(
        &self,
        target: &Target,
        outbound: &Outbound<'_>,
    ) -> Result<(Turn, Connection), Reason> {
        let mut connection = self.connect(target).await?;
        let out = connection.head();
        out.extend_from_slice(b"GET ");
        target
            .write_path(outbound.uri, out)
            .ok_or(Reason::Internal)?;
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let head = Head {
            method: &outbound.method,
            host: &target.host,
            request_id: outbound.request_id,
            traceparent: outbound.traceparent,
            plain: false,
            length: Some(0),
            upgrade: true,
        };
        head.write(&outbound.headers, out);
        match connection.exchange_to_switch().await {
            Ok(turn) => Ok((turn, connection)),
            Err(fault) => Err(reason(&fault, &target.label)),
        }
    }
}

fn reason(fault: &Fault, address: &str) -> Reason {
    match fault {
        Fault::Stopped(Stopped::Caller(reason)) => return *reason,
        Fault::Stopped(Stopped::Patience) => return Reason::UpstreamTimeout,
        fault => {
            tracing::warn!(target: "upstream", error = %fault, address, "the tool server broke off");
        }
    }
    Reason::UpstreamUnavailable
}
