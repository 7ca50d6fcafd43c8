//! Keys that see the plaintext of packets, between quinn and the cipher.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::{CryptoError, PacketKey};

use super::frames;
use super::shared::Shared;

/// A key of application data: that of early data, or one of those that follow the
/// handshake.
pub(super) struct Key {
    inner: Box<dyn rustls::quic::PacketKey>,
    shared: Arc<Shared>,
}

impl Key {
    pub(super) fn boxed(
        inner: Box<dyn rustls::quic::PacketKey>,
        shared: &Arc<Shared>,
    ) -> Box<dyn PacketKey> {
        let shared = Arc::clone(shared);
        Box::new(Self { inner, shared })
    }

    /// On its own, so that usual packets need fewer registers saved.
    #[inline(never)]
    fn look_on(&self, payload: &mut [u8], at: usize) {
        if frames::has_resets_behind(payload, at, self.shared.limits()) {
            self.shared.receive(payload);
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl PacketKey for Key {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let room = self.shared.room();
        if room > 0 {
            // quinn has left so much space more for a tag.
            let end = buf.len().saturating_sub(self.inner.tag_len());
            if let Some(plain) = buf.get_mut(header_len..end) {
                self.shared.send(plain, room);
            }
        }
        PacketKey::encrypt(&self.inner, packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        PacketKey::decrypt(&self.inner, packet, header, payload)?;
        if let Some(at) = frames::first_look(payload) {
            self.look_on(payload, at);
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len() + self.shared.room()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}
