//! Early data (0-RTT) of a server: taken only while what a client counts on still holds.
//!
//! A client sends early data by the SETTINGS and the transport parameters of the connection
//! that its ticket is from. rustls takes it with sessions that it keeps in a store of the
//! server's own, each for one connection. What was promised is kept there with the session,
//! and compared when it is taken out: one that promises too much is not given back. Then the
//! handshake is a full one, and the early data is not taken.

use std::sync::Arc;

use quinn_proto::ConnectionId;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{Keys, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use rustls::ServerConfig;
use rustls::server::StoresServerSessions;

use crate::endpoint::error::ConfigError;
use crate::endpoint::parameters::PeerParameters;
use crate::wire::settings::Settings;
use crate::wire::varint;

/// TLS of a server that takes early data.
pub(in crate::endpoint) struct EarlyCrypto {
    tls: Arc<ServerConfig>,
    quic: Arc<QuicServerConfig>,
    reliable_reset: bool,
    settings: Settings,
}

impl EarlyCrypto {
    /// For a server that says these settings on each connection, but for what is reserved.
    ///
    /// # Errors
    /// [`ConfigError::NoEarlyData`], and as for [`super::server_crypto`].
    pub(in crate::endpoint) fn new(
        mut tls: Arc<ServerConfig>,
        settings: Settings,
        reliable_reset: bool,
    ) -> Result<Self, ConfigError> {
        //= https://www.rfc-editor.org/rfc/rfc8446#section-8.1
        // A session serves once. rustls takes no early data with tickets that are sealed
        // instead of kept, which nobody counts.
        if tls.ticketer.enabled() || !tls.session_storage.can_cache() {
            return Err(ConfigError::NoEarlyData);
        }
        //= https://www.rfc-editor.org/rfc/rfc9001#section-4.6.1
        // The limit is QUIC's own, so TLS has none.
        Arc::make_mut(&mut tls).max_early_data_size = u32::MAX;
        let quic = super::server_quic(Arc::clone(&tls))?;
        Ok(Self {
            tls,
            quic,
            reliable_reset,
            settings,
        })
    }
}

impl quinn_proto::crypto::ServerConfig for EarlyCrypto {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.quic.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.quic.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let mut wire = Vec::new();
        params.write(&mut wire);
        let terms = Terms {
            settings: self.settings.clone(),
            limits: PeerParameters::parse(&wire).map_or_else(Vec::new, |own| own.limits().into()),
        };
        let mut tls = ServerConfig::clone(&self.tls);
        tls.session_storage = Arc::new(Bound {
            store: Arc::clone(&self.tls.session_storage),
            terms,
        });
        let (tls, quic) = (Arc::new(tls), Arc::clone(&self.quic));
        match QuicServerConfig::try_from(Arc::clone(&tls)) {
            Ok(bound) => super::server_session(tls, Arc::new(bound), self.reliable_reset)
                .unwrap_or(quic)
                .start_session(version, params),
            Err(_) => quic.start_session(version, params),
        }
    }
}

/// What a client may count on.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Terms {
    settings: Settings,
    limits: Vec<u64>,
}

/// Ends a session that has terms.
const MARK: &[u8; 8] = b"aq early";

impl Terms {
    /// Whether who counts on `before` gets no less.
    fn keep(&self, before: &Self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
        // A server reduces no limit that a client has remembered.
        let limits = self.limits.len() == before.limits.len()
            && self
                .limits
                .iter()
                .zip(&before.limits)
                .all(|(now, then)| now >= then);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
        // Nor a setting; one that only the application understands stays as it was.
        let mut foreign = before.settings.iter().filter(|(id, _)| id.name().is_none());
        limits
            && self.settings.keeps(&before.settings)
            && foreign.all(|(id, value)| self.settings.get(id) == Some(value))
    }

    /// Appends them: settings, limits, the length of both, the mark.
    fn put(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let _ = varint::put(out, self.settings.encoded_len() as u64);
        self.settings.put(out);
        for limit in &self.limits {
            let _ = varint::put(out, *limit);
        }
        let len = u32::try_from(out.len() - begin).unwrap_or(0);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(MARK);
    }

    /// Takes them off the end of what [`Self::put`] has appended to.
    fn take(value: &mut Vec<u8>) -> Option<Self> {
        let rest = value.strip_suffix(MARK)?;
        let (rest, len) = rest.split_last_chunk::<4>()?;
        let at = rest.len().checked_sub(u32::from_be_bytes(*len) as usize)?;
        let (session, mut terms) = rest.split_at_checked(at)?;
        let len = usize::try_from(varint::take_slice(&mut terms)?).ok()?;
        let (settings, mut terms) = terms.split_at_checked(len)?;
        let settings = Settings::decode(settings).ok()?;
        let mut limits = Vec::new();
        while !terms.is_empty() {
            limits.push(varint::take_slice(&mut terms)?);
        }
        let session = session.len();
        value.truncate(session);
        Some(Self { settings, limits })
    }
}

/// A server's sessions as one connection sees them.
#[derive(Debug)]
struct Bound {
    store: Arc<dyn StoresServerSessions>,
    terms: Terms,
}

impl StoresServerSessions for Bound {
    fn put(&self, key: Vec<u8>, mut value: Vec<u8>) -> bool {
        self.terms.put(&mut value);
        self.store.put(key, value)
    }

    // For TLS 1.2, which QUIC has not.
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        // Whatever becomes of it, it is used up.
        let mut value = self.store.take(key)?;
        let before = Terms::take(&mut value)?;
        if self.terms.keep(&before) {
            return Some(value);
        }
        tracing::debug!("early data by settings that do not hold any more is not taken");
        None
    }

    fn can_cache(&self) -> bool {
        self.store.can_cache()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::settings::SettingId;
    use crate::wire::varint::VarInt;

    fn terms(section: u32, limit: u64) -> Terms {
        let mut settings = Settings::new();
        let value = VarInt::from_u32(section);
        let set = settings.set(SettingId::MAX_FIELD_SECTION_SIZE, value);
        set.expect("a setting");
        Terms {
            settings,
            limits: vec![7, limit],
        }
    }

    #[derive(Debug)]
    struct One(std::sync::mpsc::SyncSender<Vec<u8>>, Vec<u8>);

    impl StoresServerSessions for One {
        fn put(&self, _: Vec<u8>, value: Vec<u8>) -> bool {
            self.0.send(value).is_ok()
        }

        fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
            unreachable!("TLS 1.2")
        }

        fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
            Some(self.1.clone())
        }

        fn can_cache(&self) -> bool {
            true
        }
    }

    /// A session that was put under terms, as it is taken under others.
    fn taken(then: Terms, now: Terms) -> Option<Vec<u8>> {
        let (send, kept) = std::sync::mpsc::sync_channel(1);
        let bound = |store, terms| Bound {
            store: Arc::new(store),
            terms,
        };
        let put = bound(One(send.clone(), Vec::new()), then);
        assert!(put.put(b"key".to_vec(), b"session".to_vec()));
        let value = kept.recv().expect("put");
        bound(One(send, value), now).take(b"key")
    }

    #[test]
    fn a_session_is_given_back_while_its_terms_hold() {
        let session = Some(b"session".to_vec());
        assert_eq!(taken(terms(10, 5), terms(10, 5)), session);
        assert_eq!(taken(terms(10, 5), terms(11, 6)), session);
        assert_eq!(taken(terms(10, 5), terms(9, 5)), None);
        assert_eq!(taken(terms(10, 5), terms(10, 4)), None);
    }

    #[test]
    fn a_session_without_terms_is_not_given_back() {
        let (send, _kept) = std::sync::mpsc::sync_channel(1);
        for value in [
            &b"session"[..],
            b"",
            b"aq early",
            b"\xff\xff\xff\xffaq early",
        ] {
            let bound = Bound {
                store: Arc::new(One(send.clone(), value.to_vec())),
                terms: terms(1, 1),
            };
            assert_eq!(bound.take(b"key"), None, "{value:?}");
        }
    }
}
