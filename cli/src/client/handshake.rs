//! A handshake that is waited for while requests are under way.

use std::net::SocketAddr;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::{Connection, Endpoint};

use super::{Dialer, SILENT};
use crate::args::Target;
use crate::exit::{Again, Failure};

/// The handshake of a connection that carries requests already.
#[derive(Debug)]
pub struct Connected {
    pub(super) dialer: Dialer,
    pub(super) endpoint: Endpoint,
    pub(super) connection: Connection,
    pub(super) address: SocketAddr,
    pub(super) target: Target,
}

impl Connected {
    /// Waits for its end, as long as connecting may take.
    ///
    /// # Errors
    /// As with [`Dialer::dial`]. The server may have acted upon what was sent ahead.
    pub async fn wait(self) -> Result<(), Failure> {
        let limit = self.dialer.how.connect_timeout;
        let done = tokio::time::timeout(limit, self.connection.connected()).await;
        let failure = match done {
            Ok(Ok(())) => {
                tracing::info!(address = %self.address, "connected");
                return Ok(());
            }
            Ok(Err(reason)) => {
                let doing = self.dialer.connecting(&self.target, self.address);
                self.dialer.unconnected(doing, &self.endpoint, &reason)
            }
            Err(_) => {
                self.connection.close(Code::H3_NO_ERROR, "");
                self.dialer.late(&self.target, SILENT)
            }
        };
        Err(match failure.again() {
            Again::Safe => failure.or(Again::Idempotent),
            _ => failure,
        })
    }
}
