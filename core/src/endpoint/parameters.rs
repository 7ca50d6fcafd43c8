//! QUIC transport parameters (RFC 9000 section 18.2), as the peer has sent them.

use crate::wire::varint;

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $default:literal;)*) => {
        /// A peer's QUIC transport parameters (RFC 9000 §18.2), with the defaults
        /// for those it left out. Connection ids and tokens are not among them.
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct PeerParameters {
            $($(#[$doc])* pub $name: u64,)*
            /// The peer keeps its address (disable_active_migration).
            pub disable_active_migration: bool,
            /// Largest DATAGRAM frame taken, type and length included; `None` when
            /// the peer takes none (RFC 9221 §3).
            pub max_datagram_frame_size: Option<u64>,
            /// The peer takes RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset);
            /// unknown, and told as no, where
            /// [`TransportSettings::reliable_reset`](super::TransportSettings::reliable_reset)
            /// is off.
            pub reset_stream_at: bool,
        }

        impl PeerParameters {
            const DEFAULT: Self = Self {
                $($name: $default,)*
                disable_active_migration: false,
                max_datagram_frame_size: None,
                reset_stream_at: false,
            };

            fn set(&mut self, id: u64, mut value: &[u8]) {
                match id {
                    $($id => self.$name = varint::take_slice(&mut value).unwrap_or($default),)*
                    0x0c => self.disable_active_migration = true,
                    0x20 => self.max_datagram_frame_size = varint::take_slice(&mut value),
                    _ => {}
                }
            }
        }
    };
}

parameters! {
    /// Milliseconds of silence after which the peer gives up; 0 for never.
    max_idle_timeout = 0x01, 0;
    /// Largest UDP payload taken.
    max_udp_payload_size = 0x03, 65527;
    /// Bytes taken on all streams before any is read.
    initial_max_data = 0x04, 0;
    /// The same for each bidirectional stream of the peer's.
    initial_max_stream_data_bidi_local = 0x05, 0;
    /// The same for each bidirectional stream of ours.
    initial_max_stream_data_bidi_remote = 0x06, 0;
    /// The same for each unidirectional stream of ours.
    initial_max_stream_data_uni = 0x07, 0;
    /// Bidirectional streams we may open at first.
    initial_max_streams_bidi = 0x08, 0;
    /// Unidirectional streams we may open at first.
    initial_max_streams_uni = 0x09, 0;
    /// Exponent of the unit of acknowledgement delays.
    ack_delay_exponent = 0x0a, 3;
    /// Longest deliberate delay of acknowledgements, in milliseconds.
    max_ack_delay = 0x0b, 25;
    /// Connection ids the peer stores.
    active_connection_id_limit = 0x0e, 2;
}

impl PeerParameters {
    /// quinn keeps the parameters to itself but writes them out for TLS.
    pub(super) fn of(quic: &quinn_proto::Connection) -> Option<Self> {
        let params = quic.crypto_session().transport_parameters().ok()??;
        let mut wire = Vec::new();
        params.write(&mut wire);
        Self::parse(&wire)
    }

    /// Those that a server may not reduce when it takes early data.
    pub(super) fn limits(&self) -> [u64; 8] {
        //= https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
        // These, and of RFC 9221 section 3 the size of DATAGRAM frames.
        [
            self.active_connection_id_limit,
            self.initial_max_data,
            self.initial_max_stream_data_bidi_local,
            self.initial_max_stream_data_bidi_remote,
            self.initial_max_stream_data_uni,
            self.initial_max_streams_bidi,
            self.initial_max_streams_uni,
            self.max_datagram_frame_size.unwrap_or(0),
        ]
    }

    pub(super) fn parse(mut wire: &[u8]) -> Option<Self> {
        let mut found = Self::DEFAULT;
        while !wire.is_empty() {
            let id = varint::take_slice(&mut wire)?;
            let len = usize::try_from(varint::take_slice(&mut wire)?).ok()?;
            let (value, rest) = wire.split_at_checked(len)?;
            found.set(id, value);
            wire = rest;
        }
        Some(found)
    }

    /// Largest datagram payload that fits the peer's limit: quinn counts 9 bytes
    /// for the frame's type and length.
    pub(super) fn max_datagram(&self) -> Option<usize> {
        let frame = self.max_datagram_frame_size?;
        Some(
            usize::try_from(frame)
                .unwrap_or(usize::MAX)
                .saturating_sub(9),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_parameters_are_read_and_unknown_ones_passed_over() {
        let wire = [
            0x01, 0x02, 0x43, 0xe8, // max_idle_timeout 1000
            0x0c, 0x00, // disable_active_migration
            0x1b, 0x03, 1, 2, 3, // reserved
            0x20, 0x04, 0x80, 0x00, 0xff, 0xff, // max_datagram_frame_size 65535
        ];
        let found = PeerParameters::parse(&wire).expect("well formed");
        assert_eq!(found.max_idle_timeout, 1000);
        assert_eq!(found.max_udp_payload_size, 65527, "default");
        assert!(found.disable_active_migration);
        assert_eq!(found.max_datagram(), Some(65526));
        assert_eq!(
            PeerParameters::parse(&wire[..wire.len() - 1]),
            None,
            "truncated"
        );
    }
}
