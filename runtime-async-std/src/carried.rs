//! QUIC in a tunnel, and connections to a proxy that is to carry it.

use std::future::Future;
use std::io;

use aqueduct_handles::protocol::endpoint::{
    ConnectError, EndpointConfig, Target, TransportSettings,
};
use aqueduct_handles::protocol::error::CloseReason;
use aqueduct_handles::tunnel::UdpTunnel;
use aqueduct_handles::{Connection, Rebind};

use crate::{Driver, Endpoint};

impl Endpoint {
    /// An endpoint for connections to the target of a tunnel, TLS to that target and all:
    /// to be used with [`connect`](Self::connect) and any address, commonly the target's if
    /// it is known. It lives as long as the tunnel does. What the configuration and the
    /// settings say of the size of packets is what the tunnel carries.
    ///
    /// The tunnel's connection should have been made with
    /// [`connect_carrier`](Self::connect_carrier).
    ///
    /// # Errors
    /// `InvalidInput` when the tunnel does not carry packets of 1,200 bytes, as on a narrow
    /// path to the proxy and a connection that was made otherwise, or for settings that are
    /// out of range; an error of the tunnel's.
    pub async fn through(
        tunnel: UdpTunnel,
        config: EndpointConfig,
        transport: TransportSettings,
        spawn: impl FnOnce(Driver),
    ) -> io::Result<Self> {
        let through = aqueduct_handles::Endpoint::through(tunnel, config, transport);
        let (inner, driving) = through.await?;
        spawn(Box::pin(driving));
        let rebind = Rebind::default();
        Ok(Self { inner, rebind })
    }

    /// Begins a connection to a proxy that is to carry QUIC, with
    /// [`carrier_settings`](crate::tunnel::carrier_settings): as the handles'
    /// [`connect_carrier`](aqueduct_handles::Endpoint::connect_carrier).
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
