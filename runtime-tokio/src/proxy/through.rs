//! QUIC in a tunnel: an endpoint whose packets a proxy carries.

use std::io;

use aqueduct_handles::Rebind;
use aqueduct_handles::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_handles::tunnel::UdpTunnel;

use crate::Endpoint;

impl Endpoint {
    /// An endpoint for connections to the target of a tunnel, TLS to that target and
    /// all: to be used with [`connect`](Self::connect) and any address, commonly the
    /// target's if it is known. It lives as long as the tunnel does.
    ///
    /// The tunnel's connection should have been made with
    /// [`connect_carrier`](Self::connect_carrier).
    ///
    /// # Errors
    /// `InvalidInput` when the tunnel does not carry packets of 1,200 bytes, as on a narrow
    /// path to the proxy and a connection that was made otherwise; an error of the runtime's,
    /// or the tunnel's.
    pub async fn through(tunnel: UdpTunnel) -> io::Result<Self> {
        let config = EndpointConfig::client();
        Self::through_with(tunnel, config, TransportSettings::client()).await
    }

    /// As [`through`](Self::through), with a configuration and settings of one's own.
    /// What they say of the size of packets is what the tunnel carries.
    ///
    /// # Errors
    /// Those of [`through`](Self::through), and `InvalidInput` for settings that are out
    /// of range.
    pub async fn through_with(
        tunnel: UdpTunnel,
        config: EndpointConfig,
        transport: TransportSettings,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let through = aqueduct_handles::Endpoint::through(tunnel, config, transport);
        let (inner, driving) = through.await?;
        runtime.spawn(driving);
        Ok(Self {
            inner,
            rebind: Rebind::default(),
        })
    }
}
