//! Looking on at an endpoint: who sees its connections, and when UDP datagrams come
//! and go.

use std::time::Instant;

use crate::config::Config;
use crate::connection::Observer;
use crate::id::Side;
use crate::quic;

/// Gives an endpoint whoever looks on; see
/// [`EndpointConfig::observe`](super::EndpointConfig::observe).
pub type ObserverFactory = dyn Fn() -> Option<Box<dyn EndpointObserver>> + Send + Sync;

/// Sees one endpoint. Dropped with it, after its connections.
pub trait EndpointObserver: Send {
    /// A connection begins: with what it is made, and who looks on, if anybody does.
    fn connection(
        &mut self,
        now: Instant,
        side: Side,
        config: &Config,
        seed: u64,
    ) -> Option<Box<dyn Observer>>;

    /// The same of a connection of raw QUIC. By default nobody looks on.
    fn quic_connection(
        &mut self,
        now: Instant,
        side: Side,
        config: &quic::Config,
    ) -> Option<Box<dyn Observer>> {
        let _ = (now, side, config);
        None
    }

    /// A UDP datagram of `len` bytes came in or goes out.
    fn datagram(&mut self, now: Instant, way: Way, len: usize);
}

/// Which way a datagram goes. There is no third.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// It came.
    In,
    /// It goes.
    Out,
}
