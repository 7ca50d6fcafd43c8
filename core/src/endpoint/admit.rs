//! Connection attempts: what becomes of each, and the answers that belong to no
//! connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::Incoming;

#[cfg(feature = "qlog")]
use super::config::Trace;
use super::connection::State;
use super::incoming::{Load, Verdict};
use super::packet::from_transmit;
use super::{Endpoint, MAX_RESPONSES};
use crate::id::Side;

impl Endpoint {
    /// Decides about a connection attempt.
    pub(super) fn judge(&mut self, now: Instant, incoming: Incoming, mut response: Vec<u8>) {
        let load = Load {
            open: self.open,
            closing: self.closing,
            handshakes: self.handshakes,
        };
        let (valid, may_retry) = (incoming.remote_address_validated(), incoming.may_retry());
        let verdict = match self.accepting {
            true => self.config.incoming.judge(load, valid, may_retry),
            false => Verdict::Refuse,
        };
        match verdict {
            Verdict::Accept => self.accept(now, incoming, response),
            Verdict::Refuse => {
                self.stats.refused_full += 1;
                tracing::debug!(remote = %incoming.remote_address(), "connection refused");
                let transmit = self.quinn.refuse(incoming, &mut response);
                self.respond(&transmit, response);
            }
            Verdict::Retry => match self.quinn.retry(incoming, &mut response) {
                Ok(transmit) => {
                    self.stats.retried += 1;
                    self.respond(&transmit, response);
                }
                // Not reached: the verdict is given only where a retry may be sent.
                Err(error) => self.quinn.ignore(error.into_incoming()),
            },
        }
    }

    fn accept(&mut self, now: Instant, incoming: Incoming, mut response: Vec<u8>) {
        let http = match &self.config.server {
            Some(parts) => Arc::clone(&parts.http),
            None => return self.quinn.ignore(incoming),
        };
        let remote = incoming.remote_address();
        let config = self.traced_server(now, remote, http.datagrams);
        match self.quinn.accept(incoming, now, &mut response, config) {
            Ok((handle, quic)) => {
                self.stats.accepted += 1;
                self.spare.push(response);
                let http = self.http(now, Side::Server, http);
                self.insert(handle, State::new(quic, Side::Server, http, None));
            }
            Err(error) => {
                tracing::debug!(%remote, cause = %error.cause, "connection attempt failed");
                match error.response {
                    Some(transmit) => self.respond(&transmit, response),
                    None => self.spare.push(response),
                }
            }
        }
    }

    /// The server's configuration with a trace of its own, when traces are wanted.
    #[cfg(feature = "qlog")]
    fn traced_server(
        &self,
        now: Instant,
        remote: SocketAddr,
        datagrams: bool,
    ) -> Option<Arc<quinn_proto::ServerConfig>> {
        self.config.qlog.as_ref()?;
        let trace = Trace {
            side: Side::Server,
            remote,
            now,
        };
        let transport = self
            .config
            .transport_for(&self.config.transport, datagrams, trace)
            .ok()?;
        let mut server = quinn_proto::ServerConfig::clone(self.server.as_ref()?);
        server.transport_config(transport);
        Some(Arc::new(server))
    }

    #[cfg(not(feature = "qlog"))]
    fn traced_server(
        &self,
        _now: Instant,
        _remote: SocketAddr,
        _datagrams: bool,
    ) -> Option<Arc<quinn_proto::ServerConfig>> {
        self.server.clone()
    }

    /// Queues an answer that belongs to no connection.
    pub(super) fn respond(&mut self, transmit: &quinn_proto::Transmit, mut response: Vec<u8>) {
        if self.responses.len() >= MAX_RESPONSES {
            tracing::debug!(remote = %transmit.destination, "stateless response dropped");
            self.stats.responses_dropped += 1;
            self.spare.push(response);
            return;
        }
        response.truncate(transmit.size);
        self.responses
            .push_back((from_transmit(transmit), response));
    }
}
