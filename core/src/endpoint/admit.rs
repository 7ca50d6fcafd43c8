//! Connection attempts: what becomes of each, and the answers that belong to no
//! connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::Incoming;

use super::closing::Closing;
use super::config::Trace;
use super::connection::State;
use super::incoming::{Newcomer, Verdict};
use super::memory::Windows;
use super::packet::{Transmit, from_transmit};
use super::process::touched;
use super::shares::{Held, Origin};
use super::{Endpoint, state_of};
use crate::code::Code;
use crate::escape::escaped;
use crate::id::{ConnKey, Side};
use crate::time::after;

impl Endpoint {
    /// Decides about a connection attempt.
    pub(super) fn judge(&mut self, now: Instant, incoming: Incoming) {
        let mut response = self.spare.pop().unwrap_or_default();
        response.clear();
        let origin = Origin::from(incoming.remote_address().ip());
        let all = Held {
            open: self.open,
            closing: self.closing,
            handshakes: self.handshakes,
            bytes: self.memory.promised(),
        };
        let (address, network) = self.shares.held(origin);
        let bounds = self.config.bounds();
        let fits = self.memory.has_room(bounds.least, 0);
        let evicted = (self.open >= bounds.max || !fits)
            .then(|| self.shares.to_evict(origin, bounds.least))
            .flatten()
            .filter(|key| self.memory.has_room(bounds.least, self.promised(*key)));
        let newcomer = Newcomer {
            validated: incoming.remote_address_validated(),
            may_retry: incoming.may_retry(),
            fits,
            evicts: evicted.is_some(),
        };
        let policy = &self.config.incoming;
        let verdict = match self.accepting {
            true => policy.judge(all, address, network, &bounds, newcomer),
            false => Verdict::Full,
        };
        self.spend_on_attempt(verdict == Verdict::Accept);
        match verdict {
            Verdict::Accept => {
                if let Some(key) = evicted {
                    self.evict(now, key);
                }
                self.accept(now, incoming, response);
            }
            Verdict::Full | Verdict::Memory | Verdict::Share => {
                self.stats.refused_full += u64::from(verdict == Verdict::Full);
                self.stats.refused_memory += u64::from(verdict == Verdict::Memory);
                self.stats.refused_share += u64::from(verdict == Verdict::Share);
                self.refuse(incoming, response);
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

    fn refuse(&mut self, incoming: Incoming, mut response: Vec<u8>) {
        tracing::debug!(remote = %incoming.remote_address(), "connection refused");
        let transmit = self.quinn.refuse(incoming, &mut response);
        self.respond(&transmit, response);
    }

    /// Closes an idle connection for the sake of a newcomer.
    fn evict(&mut self, now: Instant, key: ConnKey) {
        if let Some(state) = state_of(&mut self.slots, key) {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-5.1
            // Servers may close connections that are idle.
            state.close(now, Code::H3_NO_ERROR, "idle, and the server is full");
            touched(&mut self.dirty, state, key);
            self.stats.evicted_idle += 1;
        }
        self.process();
        // It takes nothing in any more, and was idle: what it was promised is free.
        if let Some(state) = state_of(&mut self.slots, key) {
            self.memory.remove(&mut state.windows);
        }
    }

    /// What a connection counts for in the memory.
    fn promised(&self, key: ConnKey) -> usize {
        let state = self
            .slots
            .get(key.index())
            .and_then(|slot| slot.state.as_ref());
        state.map_or(0, |state| state.windows.promised())
    }

    fn accept(&mut self, now: Instant, incoming: Incoming, mut response: Vec<u8>) {
        let (choice, datagrams) = match &self.config.server {
            Some(parts) => (parts.offer.choose(None), parts.offer.takes_datagrams()),
            None => return self.quinn.ignore(incoming),
        };
        let remote = incoming.remote_address();
        let closing = Closing::default();
        let config = self.server_for(now, remote, datagrams, &closing);
        match self.quinn.accept(incoming, now, &mut response, config) {
            Ok((handle, quic)) => {
                self.stats.accepted += 1;
                self.spare.push(response);
                let upper = self.upper(now, Side::Server, choice);
                let limit = self.config.transport.handshake_timeout;
                let until = limit.map(|limit| after(now, limit));
                let windows = Windows::new(&self.config.transport);
                let place = self.shares.insert(remote.ip().into(), windows.bytes());
                let mut state = State::new(quic, Side::Server, upper, None, until, windows);
                state.place = Some(place);
                state.closing = closing;
                self.insert(handle, state);
            }
            Err(error) => {
                tracing::debug!(%remote, cause = %escaped(&error.cause.to_string()), "connection attempt failed");
                match error.response {
                    Some(transmit) => self.respond(&transmit, response),
                    None => self.spare.push(response),
                }
            }
        }
    }

    /// The server's configuration for one connection: with its own congestion control and
    /// trace.
    fn server_for(
        &self,
        now: Instant,
        remote: SocketAddr,
        datagrams: bool,
        closing: &Closing,
    ) -> Option<Arc<quinn_proto::ServerConfig>> {
        let trace = Trace {
            side: Side::Server,
            remote,
            now,
        };
        let transport = self
            .config
            .transport_for(&self.config.transport, datagrams, closing, trace)
            .ok()?;
        let mut server = quinn_proto::ServerConfig::clone(self.server.as_ref()?);
        server.transport_config(transport);
        Some(Arc::new(server))
    }

    /// Queues an answer that belongs to no connection.
    pub(super) fn respond(&mut self, transmit: &quinn_proto::Transmit, mut response: Vec<u8>) {
        response.truncate(transmit.size);
        let to = Origin::from(transmit.destination.ip()).network;
        let answer = (from_transmit(transmit), response);
        if let Some((_, dropped)) = self.responses.push(to, answer) {
            tracing::debug!(remote = %transmit.destination, "stateless responses are dropped");
            self.stats.responses_dropped += 1;
            self.spare.push(dropped);
        }
    }

    /// The next answer that belongs to no connection.
    pub(super) fn pop_response(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let (transmit, response) = self.responses.pop()?;
        out.clear();
        out.extend_from_slice(&response);
        self.spare.push(response);
        Some(transmit)
    }
}
