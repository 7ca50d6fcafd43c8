//! How a connection uses QUIC, checked and as quinn takes it.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt, congestion};

use super::closing::{Closing, Factory};
use super::error::ConfigError;

/// How a connection uses QUIC: what it grants the peer, what it keeps for it,
/// and how it finds its speed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransportSettings {
    /// Silence after which a connection is given up; the smaller of both ends'
    /// counts. `None` waits forever. Default 30 s.
    pub idle_timeout: Option<Duration>,
    /// Silence after which a PING is sent to keep the connection. Default none.
    pub keep_alive: Option<Duration>,
    /// How long a handshake may take, however lively it is; `None` for as long as the
    /// peer keeps it alive. Default 10 s.
    pub handshake_timeout: Option<Duration>,
    /// Bidirectional streams the peer may have open at once, at most 2^60.
    /// Default 100, the least that RFC 9114 §6.1 asks for.
    pub max_streams_bidi: u64,
    /// Unidirectional streams the peer may have open at once, at most 2^60; HTTP/3
    /// itself takes 3. Default 103.
    pub max_streams_uni: u64,
    /// Bytes the peer may send on one stream before they are read, once some were
    /// read; before that an eighth of it, and 1,024 bytes at least. It does not change;
    /// a stream with a long way needs its speed times its round-trip time: 96 KiB suit
    /// 7 Mbit/s at 100 ms. Default 96 KiB; for clients, 1 MiB.
    pub stream_receive_window: u64,
    /// Bytes the peer may send on all streams before they are read, at most. A
    /// connection begins with [`Self::initial_receive_window`].
    ///
    /// It is enough for streams that nobody reads, and others beside them, when it is a
    /// seventh of [`Self::stream_receive_window`] for each stream that there may be, and
    /// [`Self::initial_receive_window`] more. Default 3 MiB, for 200 of 96 KiB; for
    /// clients, 32 MiB, for 200 of 1 MiB.
    pub receive_window: u64,
    /// What the receive window begins with; it doubles each time that as much has been
    /// read, up to [`Self::receive_window`], while the endpoint's
    /// [memory](super::EndpointConfig::memory) lasts.
    ///
    /// Keep it larger than [`Self::stream_receive_window`], so that a stream that is not
    /// read any further leaves something for the others: what is left of it is theirs.
    /// When nearly all of it is unread it grows as well, each time by what it began with.
    /// Default 320 KiB; for clients, 1.25 MiB.
    pub initial_receive_window: u64,
    /// Bytes taken from the application before they are acknowledged, at most.
    /// Default 1 MiB.
    pub send_window: u64,
    /// What the send window begins with; it doubles while it is less than twice the
    /// congestion window, as the receive window does. Default 128 KiB.
    pub initial_send_window: u64,
    /// Bytes of received datagrams held for the layers above, 32 more counted for each;
    /// the oldest are dropped beyond it. The announced largest datagram is this or
    /// 65,535. Default 64 KiB.
    pub datagram_receive_buffer: usize,
    /// Bytes of datagrams held until the congestion controller lets them go, 32 more
    /// counted for each. Default 128 KiB.
    pub datagram_send_buffer: usize,
    /// UDP payload assumed to pass before any probe, at least 1,200. Default 1,200.
    pub initial_mtu: u16,
    /// UDP payload that passes whatever is lost, from 1,200 to [`Self::initial_mtu`]:
    /// several losses in a row of larger ones are taken for a path that has become
    /// narrower, and this is what is left of it for a minute. First packets are padded to
    /// it. Default 1,200.
    pub min_mtu: u16,
    /// Largest UDP payload probed for; `None` probes nothing. Default 1,452.
    pub mtu_discovery: Option<u16>,
    /// Time after which a larger one is looked for again, at least 1 s. Default 600 s
    /// (RFC 8899).
    pub mtu_discovery_interval: Duration,
    /// Round-trip time assumed before the first sample. Default 333 ms (RFC 9002).
    pub initial_rtt: Duration,
    /// How the sending rate is found.
    pub congestion: Congestion,
    /// Bytes that may be unacknowledged at first, at least 2,400. Default what the controller
    /// takes: 12,000, of BBR 240,000.
    pub initial_congestion_window: Option<u64>,
    /// Hand several datagrams to the socket at once where it can. Default yes.
    pub segmentation_offload: bool,
    /// Take and send RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset), for which
    /// drafts 13 and later of WebTransport call: streams that are reset still say whose
    /// they are. With a peer that has it, the largest datagram is 64 bytes smaller. It costs
    /// each received packet a look at its frames. What an endpoint accepts is decided by the
    /// settings of the endpoint. Default yes.
    pub reliable_reset: bool,
}

/// How the sending rate is found.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 9002 §7.
    NewReno,
    /// BBR version 1; experimental.
    Bbr,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(30)),
            keep_alive: None,
            handshake_timeout: Some(Duration::from_secs(10)),
            max_streams_bidi: 100,
            max_streams_uni: 103,
            stream_receive_window: 96 << 10,
            receive_window: 3 << 20,
            initial_receive_window: 320 << 10,
            send_window: 1 << 20,
            initial_send_window: 128 << 10,
            datagram_receive_buffer: 64 << 10,
            datagram_send_buffer: 128 << 10,
            initial_mtu: 1200,
            min_mtu: 1200,
            mtu_discovery: Some(1452),
            mtu_discovery_interval: Duration::from_secs(600),
            initial_rtt: Duration::from_millis(333),
            congestion: Congestion::Cubic,
            initial_congestion_window: None,
            segmentation_offload: true,
            reliable_reset: true,
        }
    }
}

impl TransportSettings {
    /// What suits a client, which has few connections and has chosen its peers: one
    /// download of 75 Mbit/s at 100 ms. Used by
    /// [`EndpointConfig::client`](super::EndpointConfig::client).
    #[must_use]
    pub fn client() -> Self {
        Self {
            stream_receive_window: 1 << 20,
            initial_receive_window: 1280 << 10,
            receive_window: 32 << 20,
            ..Self::default()
        }
    }

    /// Whether all of it is in range, and suits.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.build(true, &Closing::default()).map(drop)
    }

    /// What the windows of a connection begin with: to receive, to send.
    pub(super) fn first_windows(&self) -> (u64, u64) {
        (
            self.initial_receive_window.min(self.receive_window),
            self.initial_send_window.min(self.send_window),
        )
    }

    /// The settings as quinn takes them, for a connection that tells `closing` of its end.
    pub(super) fn build(
        &self,
        datagrams: bool,
        closing: &Closing,
    ) -> Result<TransportConfig, ConfigError> {
        let window = |name, value| match VarInt::from_u64(value) {
            Ok(value) if value.into_inner() > 0 => Ok(value),
            _ => Err(ConfigError::OutOfRange(name)),
        };
        let streams = |name, value| match VarInt::from_u64(value) {
            //= https://www.rfc-editor.org/rfc/rfc9000#section-4.6
            // A stream count above 2^60 could not be expressed as stream ids.
            Ok(value) if value.into_inner() <= 1 << 60 => Ok(value),
            _ => Err(ConfigError::OutOfRange(name)),
        };
        if self.initial_mtu < 1200 {
            return Err(ConfigError::OutOfRange("initial_mtu"));
        }
        if !(1200..=self.initial_mtu).contains(&self.min_mtu) {
            return Err(ConfigError::OutOfRange("min_mtu"));
        }
        if self.initial_rtt.is_zero() {
            return Err(ConfigError::OutOfRange("initial_rtt"));
        }
        if self.mtu_discovery_interval < Duration::from_secs(1) {
            return Err(ConfigError::OutOfRange("mtu_discovery_interval"));
        }
        if (self.initial_congestion_window)
            .is_some_and(|bytes| !CONGESTION_WINDOWS.contains(&bytes))
        {
            return Err(ConfigError::OutOfRange("initial_congestion_window"));
        }
        let idle = match self.idle_timeout {
            None => None,
            Some(limit) if limit.as_millis() == 0 => {
                return Err(ConfigError::OutOfRange("idle_timeout"));
            }
            Some(limit) => Some(
                IdleTimeout::try_from(limit)
                    .map_err(|_| ConfigError::OutOfRange("idle_timeout"))?,
            ),
        };
        let mtu = match self.mtu_discovery {
            None => None,
            Some(limit) if limit < self.initial_mtu => {
                return Err(ConfigError::OutOfRange("mtu_discovery"));
            }
            Some(limit) => {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(limit);
                discovery.interval(self.mtu_discovery_interval);
                Some(discovery)
            }
        };
        window("receive_window", self.receive_window)?;
        window("send_window", self.send_window)?;
        let (receive, send) = self.first_windows();
        let mut built = TransportConfig::default();
        built
            .max_idle_timeout(idle)
            .keep_alive_interval(self.keep_alive)
            .max_concurrent_bidi_streams(streams("max_streams_bidi", self.max_streams_bidi)?)
            .max_concurrent_uni_streams(streams("max_streams_uni", self.max_streams_uni)?)
            .stream_receive_window(window("stream_receive_window", self.stream_receive_window)?)
            .receive_window(window("initial_receive_window", receive)?)
            .send_window(window("initial_send_window", send)?.into_inner())
            .datagram_receive_buffer_size(datagrams.then_some(self.datagram_receive_buffer))
            .datagram_send_buffer_size(self.datagram_send_buffer)
            .initial_mtu(self.initial_mtu)
            .min_mtu(self.min_mtu)
            .mtu_discovery_config(mtu)
            .initial_rtt(self.initial_rtt)
            .enable_segmentation_offload(self.segmentation_offload);
        built.congestion_controller_factory(closing.wrap(self.controllers()));
        Ok(built)
    }

    fn controllers(&self) -> Factory {
        /// A configuration of quinn's, with the window that was asked for.
        macro_rules! with_window {
            ($config:ty) => {{
                let mut config = <$config>::default();
                if let Some(bytes) = self.initial_congestion_window {
                    config.initial_window(bytes);
                }
                Arc::new(config)
            }};
        }
        match self.congestion {
            Congestion::Cubic => with_window!(congestion::CubicConfig),
            Congestion::NewReno => with_window!(congestion::NewRenoConfig),
            Congestion::Bbr => with_window!(congestion::BbrConfig),
        }
    }
}

/// What a congestion window may begin with: two packets (RFC 9002 section 7.2), and what no
/// path has.
const CONGESTION_WINDOWS: std::ops::RangeInclusive<u64> = 2400..=1 << 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointConfig;

    #[test]
    fn settings_out_of_range_are_named() {
        type Change = fn(&mut TransportSettings);
        let changes: [(&str, Change); 11] = [
            ("idle_timeout", |s| s.idle_timeout = Some(Duration::ZERO)),
            ("initial_mtu", |s| s.initial_mtu = 1199),
            ("min_mtu", |s| s.min_mtu = 1201),
            ("mtu_discovery", |s| s.mtu_discovery = Some(1100)),
            ("mtu_discovery_interval", |s| {
                s.mtu_discovery_interval = Duration::ZERO;
            }),
            ("initial_congestion_window", |s| {
                s.initial_congestion_window = Some(2399);
            }),
            ("max_streams_bidi", |s| s.max_streams_bidi = (1 << 60) + 1),
            ("receive_window", |s| s.receive_window = 1 << 62),
            ("send_window", |s| s.send_window = 0),
            ("initial_receive_window", |s| s.initial_receive_window = 0),
            ("initial_send_window", |s| s.initial_send_window = 0),
        ];
        for (field, change) in changes {
            let mut settings = TransportSettings::default();
            change(&mut settings);
            let error = EndpointConfig::client()
                .transport(settings)
                .expect_err(field);
            assert!(
                matches!(error, ConfigError::OutOfRange(name) if name == field),
                "{error}"
            );
        }
        assert!(
            EndpointConfig::client()
                .transport(TransportSettings::default())
                .is_ok()
        );
    }
}
