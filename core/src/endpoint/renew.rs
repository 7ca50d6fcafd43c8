//! A server's TLS configuration, while it serves.

use std::sync::Arc;

use super::{ConfigError, Endpoint};

impl Endpoint {
    /// Takes another TLS configuration for the connections that are accepted from now on,
    /// such as one with a renewed certificate. Connections that are there stay as they are,
    /// handshakes under way among them.
    ///
    /// Session tickets that clients have stay good when `tls` has the `session_storage` and
    /// the `ticketer` of the one before, as a clone of it has.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is replaced: `tls` does not suit, or the endpoint
    /// accepts no connections ([`ConfigError::NotAServer`]).
    pub fn set_server_tls(&mut self, tls: Arc<rustls::ServerConfig>) -> Result<(), ConfigError> {
        let Some(server) = &self.server else {
            return Err(ConfigError::NotAServer);
        };
        let mut renewed = quinn_proto::ServerConfig::clone(server);
        renewed.crypto = self.config.server_crypto(tls)?;
        let renewed = Arc::new(renewed);
        self.server = Some(Arc::clone(&renewed));
        self.quinn.set_server_config(Some(renewed));
        Ok(())
    }
}
