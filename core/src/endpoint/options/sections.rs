//! What there is in the table, and what becomes of each.

use std::time::Duration;

use super::Resumption;
use super::table::{Entry, Rule, Section};
use super::value::Unit;
use crate::endpoint::settings::Congestion;
use crate::id::Dir;

/// All options, by what they are about.
#[must_use]
pub fn sections() -> &'static [Section] {
    SECTIONS
}

/// The largest integer of QUIC (RFC 9000 §16).
const MOST: u64 = (1 << 62) - 1;

/// The most milliseconds of times that QUIC does not carry: 49 days.
const TIMES: u64 = (1 << 32) - 1;

/// UDP payloads: the least that QUIC needs (RFC 9000 §14.1), and the most that there is.
const PAYLOADS: [u64; 2] = [1200, 65_527];

/// One row: its name, what it takes, what becomes of it.
macro_rules! rows {
    ($($name:literal $rule:expr => $says:expr;)*) => {
        &[$(Entry { name: $name, says: $says, rule: $rule }),*]
    };
}

static SECTIONS: &[Section] = &[
    Section {
        title: "TLS",
        entries: TLS,
    },
    Section {
        title: "Connections",
        entries: CONNECTIONS,
    },
    Section {
        title: "Streams",
        entries: STREAMS,
    },
    Section {
        title: "Datagrams",
        entries: DATAGRAMS,
    },
    Section {
        title: "Listeners",
        entries: LISTENERS,
    },
    Section {
        title: "What is asked",
        entries: ASKED,
    },
];

static TLS: &[Entry] = rows! {
    "alpn" Rule::Names(|to, names| to.alpn = names)
        => "the names in `EndpointConfig::quic_server` and `Target::quic`, the first the best";
    "verify" Rule::Elsewhere
        => "a client: `tls::Trust`, or a rustls `ServerCertVerifier`; a server: a rustls \
            `ClientCertVerifier`";
    "cacertfile" Rule::Elsewhere
        => "`tls::Trust::certificates`, of what is in the file: the core reads no files";
    "cert" Rule::Elsewhere => "`tls::Identity`, of the certificates";
    "certfile" Rule::Elsewhere => "`tls::Identity::from_pem`, of what is in the file";
    "key" Rule::Elsewhere => "`tls::Identity`, of the key";
    "keyfile" Rule::Elsewhere => "`tls::Identity::from_pem`, of what is in the file";
    "password" Rule::Refused
        => "neither rustls nor this crate opens encrypted keys; `openssl pkcs8 -in KEY -out \
            PLAIN` does";
    "certkeyasn1" Rule::Elsewhere => "`tls::Identity { chain, key }`, which are DER";
    "custom_verify" Rule::Flag(|to, yes| to.quic.confirm = yes)
        => "`quic::Config::confirm`: `Event::Confirm` asks, and `QuicAccess::confirm` answers, \
            beside what the TLS configuration looks at, when the handshake is complete";
    "custom_verify_timeout_ms" Rule::Number(Unit::Ms, 1, TIMES, |to, ms| {
        to.quic.confirm_timeout = Duration::from_millis(ms);
    })
        => "`quic::Config::confirm_timeout`";
    "sslkeylogfile" Rule::Elsewhere
        => "`key_log` of the TLS configuration: `tls::key_log_file`, or a rustls `KeyLog`";
    "nst" Rule::Elsewhere
        => "`Target::tickets`: a `tls::Ticket` has no form as bytes, as rustls 0.23 gives it \
            none, so there is none that could be bad; one that the server does not take \
            makes for a full handshake, `About::resumed` says which";
    "server_resumption_level" Rule::Number(Unit::One, 0, 2, |to, level| {
        to.resumption = Some(match level {
            0 => Resumption::Off,
            1 => Resumption::Resume,
            _ => Resumption::Early,
        });
    })
        => "tickets of a server: 0 none, 1 for a shorter handshake, 2 for early data as well \
            (`EndpointConfig::early_data`)";
    "resumption_data" Rule::Refused
        => "rustls 0.23 puts data of the application's into tickets of TLS over TCP, and has \
            no way to it in `rustls::quic`";
    "disable_1rtt_encryption" Rule::Refused
        => "quinn-proto has no packets without encryption";
    "tls_client_max_send_buffer" Rule::Refused
        => "rustls has no such buffer: certificates bound what a handshake sends";
    "tls_server_max_send_buffer" Rule::Refused
        => "rustls has no such buffer: certificates bound what a handshake sends";
    "max_bytes_per_key" Rule::Refused
        => "quinn-proto counts packets, and updates keys by the limits of RFC 9001 §6.6";
};

static CONNECTIONS: &[Entry] = rows! {
    "idle_timeout_ms" Rule::Number(Unit::Ms, 0, MOST, |to, ms| {
        to.transport.idle_timeout = (ms > 0).then(|| Duration::from_millis(ms));
    })
        => "`TransportSettings::idle_timeout`; 0 for never";
    "handshake_idle_timeout_ms" Rule::Number(Unit::Ms, 0, TIMES, |to, ms| {
        to.transport.handshake_timeout = (ms > 0).then(|| Duration::from_millis(ms));
    })
        => "`TransportSettings::handshake_timeout`, which is of all of the handshake, however \
            lively; 0 for none";
    "keep_alive_interval_ms" Rule::Number(Unit::Ms, 0, TIMES, |to, ms| {
        to.transport.keep_alive = (ms > 0).then(|| Duration::from_millis(ms));
    })
        => "`TransportSettings::keep_alive`; 0 for none";
    "disconnect_timeout_ms" Rule::Refused
        => "quinn-proto gives up a peer that acknowledges nothing by the idle timeout alone: \
            `idle_timeout_ms`";
    "initial_rtt_ms" Rule::Number(Unit::Ms, 1, 60_000, |to, ms| {
        to.transport.initial_rtt = Duration::from_millis(ms);
    })
        => "`TransportSettings::initial_rtt`";
    "max_ack_delay_ms" Rule::Refused
        => "quinn-proto always says 25 ms, the default of RFC 9000 §18.2";
    "initial_window_packets" Rule::Number(Unit::One, 2, 65_535, |to, packets| {
        to.transport.initial_congestion_window = Some(packets * 1200);
    })
        => "`TransportSettings::initial_congestion_window`, of packets of 1,200 bytes";
    "congestion_control_algorithm" Rule::Word(&["cubic", "newreno", "bbr"], |to, word| {
        to.transport.congestion = match word {
            0 => Congestion::Cubic,
            1 => Congestion::NewReno,
            _ => Congestion::Bbr,
        };
    })
        => "`TransportSettings::congestion`";
    "send_idle_timeout_ms" Rule::Refused
        => "quinn-proto keeps its congestion window over a pause, and sends no faster than it \
            paces";
    "conn_flow_control_window" Rule::Number(Unit::Bytes, 1, MOST, |to, bytes| {
        to.transport.receive_window = bytes;
    })
        => "`TransportSettings::receive_window`, which `initial_receive_window` grows up to";
    "initial_receive_window" Rule::Number(Unit::Bytes, 1, MOST, |to, bytes| {
        to.transport.initial_receive_window = bytes;
    })
        => "`TransportSettings::initial_receive_window`";
    "send_window" Rule::Number(Unit::Bytes, 1, MOST, |to, bytes| {
        to.transport.send_window = bytes;
    })
        => "`TransportSettings::send_window`";
    "initial_send_window" Rule::Number(Unit::Bytes, 1, MOST, |to, bytes| {
        to.transport.initial_send_window = bytes;
    })
        => "`TransportSettings::initial_send_window`";
    "pacing_enabled" Rule::Always(true) => "quinn-proto always paces";
    "segmentation_offload" Rule::Flag(|to, yes| to.transport.segmentation_offload = yes)
        => "`TransportSettings::segmentation_offload`";
    "migration_enabled" Rule::Flag(|to, yes| to.migration = yes)
        => "`EndpointConfig::migration` of a server; a client moves by \
            `Endpoint::handle_rebind`, and only then";
    "minimum_mtu" Rule::Number(Unit::Bytes, PAYLOADS[0], PAYLOADS[1], |to, bytes| {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        (to.transport.min_mtu, to.transport.initial_mtu) = (bytes, bytes);
    })
        => "`TransportSettings::min_mtu` and `initial_mtu`; UDP payload, without headers";
    "maximum_mtu" Rule::Number(Unit::Bytes, PAYLOADS[0], PAYLOADS[1], |to, bytes| {
        to.transport.mtu_discovery = u16::try_from(bytes).ok();
    })
        => "`TransportSettings::mtu_discovery`, not below `minimum_mtu`; UDP payload, without \
            headers";
    "mtu_discovery_search_complete_timeout_us" Rule::Number(
        Unit::Us,
        1_000_000,
        MOST,
        |to, us| to.transport.mtu_discovery_interval = Duration::from_micros(us),
    )
        => "`TransportSettings::mtu_discovery_interval`";
    "mtu_discovery_missing_probe_count" Rule::Refused
        => "quinn-proto gives a size up after 3 probes (MAX_PROBES of RFC 8899)";
    "max_operations_per_drain" Rule::Number(Unit::One, 1, 65_535, |to, events| {
        to.quic.work = usize::try_from(events).unwrap_or(usize::MAX);
    })
        => "`quic::Config::work`: streams and events of one turn";
    "local_address" Rule::Elsewhere => "the socket that the endpoint is given";
    "handle" Rule::Refused
        => "a connection begins with `Endpoint::connect`; there is none before that could be \
            handed in";
    "load_balancing_mode" Rule::Elsewhere
        => "`EndpointConfig::connection_ids`, with the feature `quic-lb`";
    "quic_event_mask" Rule::Number(Unit::One, 0, 3, |to, mask| {
        to.quic.tell_tickets = mask & 1 == 0;
        to.quic.tell_available = mask & 2 == 0;
    })
        => "`quic::Config::tell_tickets` without bit 1, `tell_available` without bit 2";
    "shutdown_timeout_ms" Rule::Elsewhere => "the time in `QuicAccess::drain`";
    "handshake_timeout_ms" Rule::Elsewhere => "`handshake_idle_timeout_ms`";
    "probe" Rule::Elsewhere
        => "`QuicMut::ping` has QUIC send a PING, which is acknowledged";
};

static STREAMS: &[Entry] = rows! {
    "peer_bidi_stream_count" Rule::Number(Unit::One, 0, 1 << 60, |to, streams| {
        to.transport.max_streams_bidi = streams;
    })
        => "`TransportSettings::max_streams_bidi`";
    "peer_unidi_stream_count" Rule::Number(Unit::One, 0, 1 << 60, |to, streams| {
        to.transport.max_streams_uni = streams;
    })
        => "`TransportSettings::max_streams_uni`";
    "stream_recv_window_default" Rule::Number(Unit::Bytes, 1, MOST, |to, bytes| {
        to.transport.stream_receive_window = bytes;
    })
        => "`TransportSettings::stream_receive_window`";
    "stream_recv_buffer_default" Rule::Refused
        => "nothing is set aside for a stream: what has arrived is kept as it came, as far as \
            `stream_recv_window_default` lets it";
    "send_buffering_enabled" Rule::Always(true)
        => "quinn-proto keeps what was written until it is acknowledged, without a copy, up to \
            `send_window`";
    "open_streams" Rule::Number(Unit::One, 1, 1 << 20, |to, streams| {
        to.quic.open_streams = usize::try_from(streams).unwrap_or(usize::MAX);
    })
        => "`quic::Config::open_streams`";
    "queued_starts" Rule::Number(Unit::One, 0, 1 << 20, |to, streams| {
        to.quic.queued_starts = usize::try_from(streams).unwrap_or(usize::MAX);
    })
        => "`quic::Config::queued_starts`";
    "reliable_reset" Rule::Flag(|to, yes| to.transport.reliable_reset = yes)
        => "`TransportSettings::reliable_reset`";
    "active" Rule::Elsewhere
        => "the receiving mode of a stream's behaviour; `QuicAccess::read` is passive";
    "disable_fpbuffer" Rule::Refused
        => "bytes come in order, at the offset that `QuicAccess::offset` tells: `Transport` has \
            no others, and resets with a reliable size are counted by them";
    "stream_priority" Rule::Elsewhere => "`quic::Start::priority`, `QuicAccess::set_priority`";
    "open_flag.unidirectional" Rule::Flag(|to, yes| {
        to.dir = if yes { Dir::Uni } else { Dir::Bi };
    })
        => "`Dir::Uni` in `QuicAccess::start`";
    "open_flag.0rtt" Rule::Flag(|to, yes| to.early_data = yes)
        => "`Target::early_data`, for streams that begin before `Connected`";
    "start_flag.immediate" Rule::Refused
        => "quinn-proto sends nothing of a stream before it has bytes or ends";
    "start_flag.fail_blocked" Rule::Flag(|to, yes| {
        to.start.blocked = if yes {
            crate::quic::Blocked::Fail
        } else {
            crate::quic::Blocked::Queue
        };
    })
        => "`quic::Start::fail_blocked`: `StartError::Blocked`; without, the stream waits";
    "start_flag.shutdown_on_fail" Rule::Always(true)
        => "a stream that was not begun does not exist: there is nothing to end";
    "start_flag.indicate_peer_accept" Rule::Always(true)
        => "`StreamEvent::Started` always says that the peer's limit lets a stream be";
    "send_flag.0rtt" Rule::Elsewhere => "`QuicAccess::write` before `Connected`";
    "send_flag.start" Rule::Elsewhere
        => "`QuicAccess::start`, then `write`: they leave in one packet";
    "send_flag.fin" Rule::Elsewhere
        => "`QuicAccess::write`, then `shutdown` with `Graceful`: they leave in one frame";
    "send_flag.dgram_priority" Rule::Always(false)
        => "quinn-proto sends datagrams before streams, each time";
    "send_flag.delay" Rule::Always(true)
        => "what is written leaves when the endpoint's transmits are taken, with what others \
            wrote";
    "send_flag.sync" Rule::Elsewhere
        => "whoever has to wait for an acknowledgement waits for `StreamEvent::SendOver`";
    "shutdown_flag.graceful" Rule::Elsewhere => "`quic::Shutdown::Graceful`";
    "shutdown_flag.abort_send" Rule::Elsewhere => "`quic::Shutdown::AbortSend`, with a code";
    "shutdown_flag.abort_receive" Rule::Elsewhere
        => "`quic::Shutdown::AbortReceive`, with a code";
    "shutdown_flag.abort" Rule::Elsewhere => "`quic::Shutdown::Abort`, with a code";
    "shutdown_flag.immediate" Rule::Elsewhere => "`quic::Shutdown::Immediate`, with a code";
};

static DATAGRAMS: &[Entry] = rows! {
    "datagram_receive_enabled" Rule::Flag(|to, yes| to.quic.datagrams = yes)
        => "`quic::Config::datagrams`, both ways";
    "datagram_receive_buffer" Rule::Number(Unit::Bytes, 1, 1 << 32, |to, bytes| {
        to.transport.datagram_receive_buffer = usize::try_from(bytes).unwrap_or(usize::MAX);
    })
        => "`TransportSettings::datagram_receive_buffer`";
    "datagram_send_buffer" Rule::Number(Unit::Bytes, 1, 1 << 32, |to, bytes| {
        to.transport.datagram_send_buffer = usize::try_from(bytes).unwrap_or(usize::MAX);
    })
        => "`TransportSettings::datagram_send_buffer`";
    "dgram_send_state.lost_suspect" Rule::Refused
        => "quinn-proto does not tell what became of a datagram that was sent";
    "dgram_send_state.lost_discarded" Rule::Refused
        => "quinn-proto does not tell what became of a datagram that was sent";
    "dgram_send_state.acknowledged" Rule::Refused
        => "quinn-proto does not tell what became of a datagram that was sent";
    "dgram_send_state.acknowledged_spurious" Rule::Refused
        => "quinn-proto does not tell what became of a datagram that was sent";
    "dgram_send_state.canceled" Rule::Refused
        => "quinn-proto does not tell what became of a datagram that was sent";
    "dgram_send_state.sent" Rule::Elsewhere
        => "`QuicAccess::send_datagram` says what was taken, and why not";
};

static LISTENERS: &[Entry] = rows! {
    "listen" Rule::Elsewhere => "the socket that the endpoint is given, of IPv4 or IPv6";
    "conn_acceptors" Rule::Elsewhere
        => "`IncomingPolicy::max_connections`; whoever takes the events accepts";
    "lock" Rule::Elsewhere => "`Endpoint::set_accepting`, with no";
    "unlock" Rule::Elsewhere => "`Endpoint::set_accepting`, with yes";
    "reload" Rule::Elsewhere => "`Endpoint::set_server_tls`";
    "stop" Rule::Elsewhere => "`Endpoint::set_accepting`, `drain` or `close`";
    "close_listener_timeout_ms" Rule::Elsewhere => "the time in `Endpoint::drain`";
    "retry_memory_limit" Rule::Elsewhere => "`IncomingPolicy::retry`, by counts";
    "max_stateless_operations" Rule::Refused
        => "64 answers that belong to no connection wait at most, of each network its share";
    "max_binding_stateless_operations" Rule::Refused
        => "64 answers that belong to no connection wait at most, of each network its share";
    "stateless_operation_expiration_ms" Rule::Refused
        => "answers that belong to no connection leave with the next transmits, or are dropped";
    "max_worker_queue_delay_us" Rule::Refused
        => "an endpoint has no workers; how much it does in a turn is bounded by itself";
    "registration" Rule::Elsewhere
        => "an `Endpoint` is one: `Endpoint::close`, `drain`, `is_idle`";
    "owner" Rule::Elsewhere
        => "whoever has the `Endpoint`; the adapters' handles close what they own when they go";
};

static ASKED: &[Entry] = rows! {
    "statistics" Rule::Elsewhere => "`QuicMut::stat`, by name; `ConnectionInfo::path`";
    "perf_counters" Rule::Elsewhere => "`Endpoint::stats`";
    "settings" Rule::Elsewhere
        => "`Options`, of this side; `ConnectionInfo::peer_parameters`, of the peer";
    "handshake_info" Rule::Elsewhere => "`ConnectionInfo::is_handshaking`, `is_resumed`";
    "negotiated_protocol" Rule::Elsewhere => "`About::alpn`, `ConnectionInfo::alpn`";
    "local_addr" Rule::Elsewhere => "`About::local_ip`, and the socket's port";
    "remote_addr" Rule::Elsewhere => "`About::remote`, `ConnectionInfo::remote_address`";
    "peercert" Rule::Elsewhere => "`ConnectionInfo::peer_certificates`, `About::certificates`";
    "ideal_send_buffer" Rule::Refused
        => "quinn-proto does not tell it; what a write takes says how much has room";
    "0rtt_length" Rule::Refused
        => "quinn-proto does not count early data; `QuicAccess::is_established` says of what \
            is read whether it is some";
    "count_conns" Rule::Elsewhere => "`Endpoint::open_connections`";
};
