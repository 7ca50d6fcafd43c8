//! TLS for quinn that says and reads one transport parameter more, and gives out keys that
//! see packets. Everything else is as quinn's own.

use std::any::Any;
use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::crypto::{
    ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig,
    Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, TransportError, TransportErrorCode};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::quic::{Connection, KeyChange, Secrets, Suite, Version};

use super::key::Key;
use super::shared::Shared;
use super::{OLDER_PARAMETER, PARAMETER};
use crate::id::Side;
use crate::wire::varint;

/// A client's side.
pub(in crate::endpoint) struct ClientCrypto {
    tls: Arc<rustls::ClientConfig>,
    initial: Suite,
    /// For Retry, without tickets.
    quinn: Arc<QuicClientConfig>,
}

impl ClientCrypto {
    /// `None` without the cipher suite of first packets. `trial` is `tls` without tickets.
    pub(in crate::endpoint) fn new(
        tls: Arc<rustls::ClientConfig>,
        trial: Arc<rustls::ClientConfig>,
    ) -> Option<Self> {
        Some(Self {
            initial: initial_suite(tls.crypto_provider())?,
            tls,
            quinn: Arc::new(QuicClientConfig::try_from(trial).ok()?),
        })
    }
}

impl ClientConfig for ClientCrypto {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let name = ServerName::try_from(server_name)
            .map_err(|_| ConnectError::InvalidServerName(server_name.into()))?
            .to_owned();
        let tls = Arc::clone(&self.tls);
        // A session was tried when the configuration was made.
        let inner = rustls::quic::ClientConnection::new(tls, Version::V1, name, wire(params))
            .map_err(|_| ConnectError::UnsupportedVersion)?;
        Ok(Box::new(TlsSession {
            inner: Connection::Client(inner),
            initial: self.initial,
            version,
            params: *params,
            retries: Some(Arc::clone(&self.quinn)),
            next: None,
            told: false,
            shared: Arc::new(Shared::new(Side::Client)),
        }))
    }
}

/// A server's side.
pub(in crate::endpoint) struct ServerCrypto {
    tls: Arc<rustls::ServerConfig>,
    initial: Suite,
    quinn: Arc<QuicServerConfig>,
}

impl ServerCrypto {
    /// `None` without the cipher suite of first packets.
    pub(in crate::endpoint) fn new(
        tls: Arc<rustls::ServerConfig>,
        quinn: Arc<QuicServerConfig>,
    ) -> Option<Self> {
        Some(Self {
            initial: initial_suite(tls.crypto_provider())?,
            tls,
            quinn,
        })
    }
}

impl ServerConfig for ServerCrypto {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.quinn.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.quinn.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let tls = Arc::clone(&self.tls);
        let Ok(inner) = rustls::quic::ServerConnection::new(tls, Version::V1, wire(params)) else {
            // Not reached: a session was tried when the configuration was made.
            return Arc::clone(&self.quinn).start_session(version, params);
        };
        Box::new(TlsSession {
            inner: Connection::Server(inner),
            initial: self.initial,
            version,
            params: *params,
            retries: None,
            next: None,
            told: false,
            shared: Arc::new(Shared::new(Side::Server)),
        })
    }
}

/// What quinn says, and that RESET_STREAM_AT is understood, by both numbers.
fn wire(params: &TransportParameters) -> Vec<u8> {
    let mut wire = Vec::new();
    params.write(&mut wire);
    for id in [PARAMETER, OLDER_PARAMETER] {
        let _ = varint::put(&mut wire, id);
        wire.push(0);
    }
    wire
}

/// Whether a peer says so, by either number.
///
/// # Errors
/// One of them is not empty, or there twice. What cannot be read at all is left to quinn.
fn said(mut wire: &[u8]) -> Result<bool, TransportError> {
    let mut seen = [false; 2];
    while !wire.is_empty() {
        let Some((id, value)) = parameter(&mut wire) else {
            break;
        };
        let seen = match id {
            PARAMETER => &mut seen[0],
            OLDER_PARAMETER => &mut seen[1],
            _ => continue,
        };
        //= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-3
        // A value that is not empty is a TRANSPORT_PARAMETER_ERROR.
        //= https://www.rfc-editor.org/rfc/rfc9000#section-7.4
        // So may be one that is there twice.
        if !value.is_empty() || std::mem::replace(seen, true) {
            return Err(TransportError {
                code: TransportErrorCode::TRANSPORT_PARAMETER_ERROR,
                frame: None,
                reason: "reset_stream_at".into(),
            });
        }
    }
    Ok(seen.contains(&true))
}

fn parameter<'a>(wire: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let id = varint::take_slice(wire)?;
    let len = usize::try_from(varint::take_slice(wire)?).ok()?;
    let (value, rest) = wire.split_at_checked(len)?;
    *wire = rest;
    Some((id, value))
}

pub(crate) fn initial_suite(provider: &CryptoProvider) -> Option<Suite> {
    let initial = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    let mut suites = provider.cipher_suites.iter();
    suites.find_map(|suite| {
        let tls13 = suite.tls13().filter(|_| suite.suite() == initial)?;
        tls13.quic_suite()
    })
}

/// What is known of a handshake, and the way to [`Shared`].
pub(in crate::endpoint) struct Shaken {
    pub(in crate::endpoint) protocol: Option<Vec<u8>>,
    pub(in crate::endpoint) server_name: Option<String>,
    /// TLS has gone on with an earlier session.
    pub(in crate::endpoint) resumed: bool,
    pub(in crate::endpoint) shared: Arc<Shared>,
}

/// Keys of the handshake, in whose packets are no resets.
fn bare(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}

struct TlsSession {
    inner: Connection,
    initial: Suite,
    version: u32,
    params: TransportParameters,
    /// Who checks Retry packets (client).
    retries: Option<Arc<QuicClientConfig>>,
    next: Option<Secrets>,
    /// quinn was told that there is handshake data.
    told: bool,
    shared: Arc<Shared>,
}

impl TlsSession {
    fn server_name(&self) -> Option<&str> {
        match &self.inner {
            Connection::Client(_) => None,
            Connection::Server(session) => session.server_name(),
        }
    }
}

impl Session for TlsSession {
    fn initial_keys(&self, id: &ConnectionId, side: quinn_proto::Side) -> Keys {
        bare(self.initial.keys(id, side.into(), Version::V1))
    }

    /// A [`Shaken`] at any time.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Shaken {
            protocol: self.inner.alpn_protocol().map(Into::into),
            server_name: self.server_name().map(Into::into),
            resumed: self.inner.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            shared: Arc::clone(&self.shared),
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = self.inner.peer_certificates()?;
        let chain = chain.iter().map(|one| one.clone().into_owned());
        Some(Box::new(chain.collect::<Vec<CertificateDer<'static>>>()))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.inner.zero_rtt_keys()?;
        Some((Box::new(keys.header), Key::boxed(keys.packet, &self.shared)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        match &self.inner {
            Connection::Client(session) => Some(session.is_early_data_accepted()),
            Connection::Server(_) => None,
        }
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_hs(buf).map_err(|error| {
            let Some(alert) = self.inner.alert() else {
                return TransportError {
                    code: TransportErrorCode::PROTOCOL_VIOLATION,
                    frame: None,
                    reason: format!("TLS error: {error}"),
                };
            };
            TransportError {
                code: TransportErrorCode::crypto(alert.into()),
                frame: None,
                reason: error.to_string(),
            }
        })?;
        let known = self.inner.alpn_protocol().is_some()
            || self.server_name().is_some()
            || !self.is_handshaking();
        Ok(known && !std::mem::replace(&mut self.told, known))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(mut wire) = self.inner.quic_transport_parameters() else {
            return Ok(None);
        };
        let side = match self.inner {
            Connection::Client(_) => quinn_proto::Side::Client,
            Connection::Server(_) => quinn_proto::Side::Server,
        };
        let takes = said(wire)?;
        let params = TransportParameters::read(side, &mut wire)?;
        self.shared.set_peer(takes);
        Ok(Some(params))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        match self.inner.write_hs(buf)? {
            KeyChange::Handshake { keys } => Some(bare(keys)),
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                Some(Keys {
                    header: KeyPair {
                        local: Box::new(keys.local.header),
                        remote: Box::new(keys.remote.header),
                    },
                    packet: KeyPair {
                        local: Key::boxed(keys.local.packet, &self.shared),
                        remote: Key::boxed(keys.remote.packet, &self.shared),
                    },
                })
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Key::boxed(keys.local, &self.shared),
            remote: Key::boxed(keys.remote, &self.shared),
        })
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.retries.clone().is_some_and(|quinn| {
            // The tag's key is the same for everybody, so any session of quinn's will do.
            quinn
                .start_session(self.version, "retry.invalid", &self.params)
                .is_ok_and(|session| session.is_valid_retry(id, header, payload))
        })
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner
            .export_keying_material(output, label, Some(context))
            .map(|_| ())
            .map_err(|_| ExportKeyingMaterialError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::hex;

    // Row B37.
    #[test]
    fn the_parameter_is_read_by_both_numbers() {
        let unknown = "01 02 43e8 1b 03 010203";
        for (params, takes) in [
            ("", Some(false)),
            ("1d 00", Some(true)),
            ("c017f7586d2cb571 00", Some(true)),
            ("1d 00 c017f7586d2cb571 00", Some(true)),
            ("1d 01 00", None),
            ("c017f7586d2cb571 02 1234", None),
            ("1d 00 1d 00", None),
            ("c017f7586d2cb571 00 c017f7586d2cb571 00", None),
            // Of drafts before 05, whose frame was another.
            ("c017f7586d2cb570 00", Some(false)),
        ] {
            let said = said(&hex(&format!("{unknown} {params}")));
            let code = said.as_ref().err().map(|error| error.code);
            assert_eq!(said.ok(), takes, "{params}");
            let illegal = TransportErrorCode::TRANSPORT_PARAMETER_ERROR;
            assert_eq!(code, takes.is_none().then_some(illegal), "{params}");
        }
    }

    #[test]
    fn both_numbers_are_said() {
        let mut none: &[u8] = &[];
        let none = TransportParameters::read(quinn_proto::Side::Server, &mut none);
        let wire = wire(&none.expect("all have defaults"));
        assert!(wire.ends_with(&hex("1d 00 c017f7586d2cb571 00")));
    }
}
