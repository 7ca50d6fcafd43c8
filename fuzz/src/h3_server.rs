//! A whole server against a client that does anything.

use aqueduct_core::id::Side;

/// Steers the client, the network and the server's application.
pub fn target(data: &[u8]) {
    crate::h3::run(Side::Server, data);
}
