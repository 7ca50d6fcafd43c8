//! Connections to a proxy that is to carry QUIC.

use aqueduct_handles::Connection;
use aqueduct_handles::protocol::endpoint::{ConnectError, Target};
use aqueduct_handles::protocol::error::CloseReason;

use crate::Endpoint;

pub use aqueduct_handles::tunnel::carrier_settings;

impl Endpoint {
    /// Begins a connection to a proxy that is to carry QUIC, with [`carrier_settings`]. When
    /// nothing answers their large packets for two seconds, packets of 1,200 bytes are tried
    /// beside them. A connection that begins with those has no HTTP datagrams: the
    /// payloads of its tunnels go in capsules, where all of them fit, and each waits for
    /// those before it ([`uses_capsules`](super::UdpTunnel::uses_capsules)).
    ///
    /// What `to` says of QUIC is not used. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin, the future's [`CloseReason`] when it failed.
    pub fn connect_carrier(
        &self,
        to: Target,
    ) -> Result<
        impl Future<Output = Result<Connection, CloseReason>> + Send + 'static + use<>,
        ConnectError,
    > {
        self.inner.connect_carrier(to)
    }
}
