//! What a peer may send on a stream before anything of it is read: an eighth of the
//! stream's window.
//!
//! QUIC tells a peer how much each stream may carry, before anybody knows which of them
//! will be read. Were that the whole window, a few streams that nobody reads would hold
//! all the credit of the connection. quinn-proto 0.11 has one number for what it
//! announces and what it grants as a stream is read, and grants the whole window once an
//! eighth of it was read. So that eighth is enough to begin with: it is written into the
//! transport parameters on their way to TLS. Who reads gets the whole window, and who
//! does not holds an eighth.

use std::sync::Arc;

use quinn_proto::crypto::{ClientConfig, Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side};

use crate::wire::varint::{self, VarInt};

/// initial_max_stream_data_bidi_local, _bidi_remote and _uni.
const STREAM_WINDOWS: [u64; 3] = [0x05, 0x06, 0x07];

/// What a stream may carry before anything of it is read, by its whole window.
pub(super) fn first_credit(window: u64) -> u64 {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
    // Unidirectional streams should have credit for 1,024 bytes at least, so that the
    // critical ones do not wait.
    (window / 8).max(1024).min(window)
}

/// TLS that tells the peer less of the streams' windows.
pub(super) struct Sparing<T: ?Sized>(pub(super) Arc<T>);

impl<T: ServerConfig + ?Sized> ServerConfig for Sparing<T> {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let params = spare(params, Side::Client);
        Arc::clone(&self.0).start_session(version, &params)
    }
}

impl<T: ClientConfig + ?Sized> ClientConfig for Sparing<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let params = spare(params, Side::Server);
        Arc::clone(&self.0).start_session(version, server_name, &params)
    }
}

/// The same parameters with less credit for streams, as `reader` takes them. quinn keeps
/// the fields to itself, so they go by way of the wire.
fn spare(params: &TransportParameters, reader: Side) -> TransportParameters {
    let mut wire = Vec::new();
    params.write(&mut wire);
    let spared = rewrite(&wire)
        .and_then(|wire| TransportParameters::read(reader, &mut wire.as_slice()).ok());
    debug_assert!(spared.is_some(), "what quinn writes can be read");
    spared.unwrap_or(*params)
}

fn rewrite(mut wire: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(wire.len());
    while !wire.is_empty() {
        let id = varint::take_slice(&mut wire)?;
        let len = varint::take_slice(&mut wire)?;
        let (mut value, rest) = wire.split_at_checked(usize::try_from(len).ok()?)?;
        wire = rest;
        varint::put(&mut out, id).ok()?;
        if STREAM_WINDOWS.contains(&id) {
            let credit = VarInt::new(first_credit(varint::take_slice(&mut value)?)).ok()?;
            VarInt::of_len(credit.len()).put(&mut out);
            credit.put(&mut out);
        } else {
            varint::put(&mut out, len).ok()?;
            out.extend_from_slice(value);
        }
    }
    Some(out)
}
