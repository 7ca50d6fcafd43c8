//! Keys of packets, bare and as connections have them, for benches.

use std::fmt;

use bytes::BytesMut;
use quinn_proto::crypto::PacketKey;
use rustls::Side;
use rustls::quic::Version;

use crate::endpoint::{reset_at, tls};

/// A pair of keys for AES-128-GCM: what one seals, the other opens.
pub struct Keys {
    seal: Box<dyn PacketKey>,
    open: Box<dyn PacketKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// rustls' own, or those that look for resets.
    ///
    /// # Panics
    /// Never: every provider has the cipher.
    #[must_use]
    pub fn new(wrapped: bool) -> Self {
        let suite = reset_at::tls::initial_suite(&tls::provider()).expect("every provider");
        let of = |side| {
            let keys = suite.keys(&[7; 8], side, Version::V1);
            (keys.local.packet, keys.remote.packet)
        };
        let ((seal, _), (_, open)) = (of(Side::Client), of(Side::Server));
        if wrapped {
            let [seal, open] = reset_at::wrapped([seal, open]);
            return Self { seal, open };
        }
        Self {
            seal: Box::new(seal),
            open: Box::new(open),
        }
    }

    /// Seals a packet whose last 16 bytes are for the tag.
    pub fn seal(&self, number: u64, packet: &mut [u8], header: usize) {
        // As QUIC asks for each packet.
        assert_eq!(self.seal.tag_len(), 16);
        self.seal.encrypt(number, packet, header);
    }

    /// Opens one; it was sealed by [`Self::seal`].
    ///
    /// # Panics
    /// When it was not.
    pub fn open(&self, number: u64, header: &[u8], payload: &mut BytesMut) {
        let opened = self.open.decrypt(number, header, payload);
        opened.expect("sealed by the other key");
    }
}
