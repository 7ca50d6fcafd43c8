//! What a connection of raw QUIC has counted, by name.

use std::time::Duration;

use quinn_proto::ConnectionStats;

use super::protocol::QuicMut;
use crate::id::Dir;

/// One number of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stat {
    /// Its name.
    pub name: &'static str,
    /// What it counts, with its unit.
    pub says: &'static str,
    of: fn(&Numbers) -> Option<u64>,
}

/// What there is to be told.
#[derive(Debug)]
struct Numbers {
    quic: ConnectionStats,
    window: u64,
    /// Streams with bytes that the peer has not acknowledged.
    unacknowledged: usize,
    /// Bytes of datagrams that wait.
    datagrams: usize,
    live: usize,
    available: [Option<u64>; 2],
}

macro_rules! stats {
    ($($name:literal $says:literal => |$it:ident| $value:expr;)*) => {
        static STATS: &[Stat] = &[$(Stat {
            name: $name,
            says: $says,
            of: |$it| Some($value),
        }),*];
    };
}

// The first five are those of `inet:getstat` and quicer.
stats! {
    "recv_cnt" "UDP datagrams received" => |it| it.quic.udp_rx.datagrams;
    "recv_oct" "bytes of UDP payload received" => |it| it.quic.udp_rx.bytes;
    "send_cnt" "UDP datagrams sent" => |it| it.quic.udp_tx.datagrams;
    "send_oct" "bytes of UDP payload sent" => |it| it.quic.udp_tx.bytes;
    "send_pend" "streams with bytes or an end that the peer has not acknowledged"
        => |it| it.unacknowledged as u64;
    "datagram_pend" "bytes of datagrams that wait to be sent, 32 more for each"
        => |it| it.datagrams as u64;
    "rtt_us" "smoothed round-trip time, µs" => |it| micros(it.quic.path.rtt);
    "min_rtt_us" "smallest round-trip time seen, µs" => |it| micros(it.quic.path.min_rtt);
    "cwnd" "bytes that may be unacknowledged" => |it| it.window;
    "congestion_events" "times that loss or ECN shrank the window"
        => |it| it.quic.path.congestion_events;
    "mtu" "largest UDP payload that the path takes, bytes"
        => |it| it.quic.path.current_mtu.into();
    "packets_sent" "QUIC packets sent" => |it| it.quic.path.sent_packets;
    "packets_lost" "QUIC packets declared lost" => |it| it.quic.path.lost_packets;
    "bytes_lost" "bytes in lost packets" => |it| it.quic.path.lost_bytes;
    "recv_datagrams" "DATAGRAM frames received" => |it| it.quic.frame_rx.datagram;
    "send_datagrams" "DATAGRAM frames sent" => |it| it.quic.frame_tx.datagram;
    "streams" "streams that are under way" => |it| it.live as u64;
    "streams_available_bidi" "bidirectional streams that may be begun, once that is known"
        => |it| it.available[0]?;
    "streams_available_uni" "unidirectional streams that may be begun, once that is known"
        => |it| it.available[1]?;
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// All numbers of a connection that have names, for [`QuicMut::stat`] and for people.
#[must_use]
pub fn stats() -> &'static [Stat] {
    STATS
}

impl QuicMut<'_> {
    /// The number of this name, of those in [`connection_stats`](super::connection_stats);
    /// `None` of a name that none has, and of what is not known yet. O(names).
    #[must_use]
    pub fn stat(&mut self, name: &str) -> Option<u64> {
        let stat = STATS.iter().find(|stat| stat.name == name)?;
        (stat.of)(&self.numbers())
    }

    /// All of them that are known, in the order of the table.
    pub fn all_stats(&mut self) -> impl Iterator<Item = (&'static Stat, u64)> + use<> {
        let numbers = self.numbers();
        let known = move |stat: &'static Stat| Some((stat, (stat.of)(&numbers)?));
        STATS.iter().filter_map(known)
    }

    fn numbers(&mut self) -> Numbers {
        let access = self.access();
        let live = access.live_streams();
        let available = [Dir::Bi, Dir::Uni].map(|dir| access.available(dir));
        let quic = &mut *self.transport.quic;
        let empty = self.transport.resets.empty_datagrams();
        Numbers {
            quic: quic.stats(),
            window: quic.congestion_state().metrics().congestion_window,
            unacknowledged: quic.streams().send_streams(),
            datagrams: empty.saturating_sub(quic.datagrams().send_buffer_space()),
            live,
            available,
        }
    }
}
