//! A whole client against a server that does anything.

use aqueduct_core::id::Side;

/// Steers the server, the network and the client's application.
pub fn target(data: &[u8]) {
    crate::h3::run(Side::Client, data);
}
