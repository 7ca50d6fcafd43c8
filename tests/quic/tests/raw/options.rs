//! Row E17: every option of other stacks has an answer, and what is set has its effect.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::endpoint::options::{OptionError, Options, entries};
use aqueduct_core::endpoint::{Congestion, Endpoint};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir};
use aqueduct_core::quic::Blocked;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::Pair;

use super::chat;
use super::tickets::Store;

/// What becomes of an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It is set, to this.
    Set(&'static str),
    /// It is so, and nothing else.
    Only(&'static str, &'static str),
    Elsewhere,
    Refused,
}
use Fate::{Elsewhere, Only, Refused, Set};

/// Those of reference-systems.md 1.4, in its order, and of msquic's settings behind them.
const ALL: &[(&str, Fate)] = &[
    ("alpn", Set("chat, talk")),
    ("verify", Elsewhere),
    ("cacertfile", Elsewhere),
    ("cert", Elsewhere),
    ("certfile", Elsewhere),
    ("key", Elsewhere),
    ("keyfile", Elsewhere),
    ("password", Refused),
    ("certkeyasn1", Elsewhere),
    ("custom_verify", Set("yes")),
    ("handle", Refused),
    ("nst", Elsewhere),
    ("disable_1rtt_encryption", Refused),
    ("local_address", Elsewhere),
    ("sslkeylogfile", Elsewhere),
    ("idle_timeout_ms", Set("45s")),
    ("handshake_idle_timeout_ms", Set("5000")),
    ("keep_alive_interval_ms", Set("250ms")),
    ("disconnect_timeout_ms", Refused),
    ("initial_rtt_ms", Set("50")),
    ("max_ack_delay_ms", Refused),
    ("initial_window_packets", Set("20")),
    ("congestion_control_algorithm", Set("bbr")),
    ("conn_flow_control_window", Set("16MiB")),
    ("stream_recv_window_default", Set("64KiB")),
    ("stream_recv_buffer_default", Refused),
    ("peer_bidi_stream_count", Set("7")),
    ("peer_unidi_stream_count", Set("8")),
    ("send_buffering_enabled", Only("yes", "no")),
    ("pacing_enabled", Only("1", "0")),
    ("migration_enabled", Set("no")),
    ("datagram_receive_enabled", Set("off")),
    ("server_resumption_level", Set("2")),
    ("minimum_mtu", Set("1300")),
    ("maximum_mtu", Set("1400")),
    ("mtu_discovery_search_complete_timeout_us", Set("60s")),
    ("mtu_discovery_missing_probe_count", Refused),
    ("max_bytes_per_key", Refused),
    ("tls_client_max_send_buffer", Refused),
    ("tls_server_max_send_buffer", Refused),
    ("max_stateless_operations", Refused),
    ("max_binding_stateless_operations", Refused),
    ("stateless_operation_expiration_ms", Refused),
    ("retry_memory_limit", Elsewhere),
    ("load_balancing_mode", Elsewhere),
    ("max_operations_per_drain", Set("16")),
    ("send_idle_timeout_ms", Refused),
    ("max_worker_queue_delay_us", Refused),
    ("handshake_timeout_ms", Elsewhere),
    ("shutdown_timeout_ms", Elsewhere),
    ("close_listener_timeout_ms", Elsewhere),
    ("quic_event_mask", Set("3")),
    ("active", Elsewhere),
    ("disable_fpbuffer", Refused),
    ("stream_priority", Elsewhere),
    ("open_flag.unidirectional", Set("yes")),
    ("open_flag.0rtt", Set("yes")),
    ("start_flag.immediate", Refused),
    ("start_flag.fail_blocked", Set("yes")),
    ("start_flag.shutdown_on_fail", Only("yes", "no")),
    ("start_flag.indicate_peer_accept", Only("yes", "no")),
    ("shutdown_flag.graceful", Elsewhere),
    ("shutdown_flag.abort_send", Elsewhere),
    ("shutdown_flag.abort_receive", Elsewhere),
    ("shutdown_flag.abort", Elsewhere),
    ("shutdown_flag.immediate", Elsewhere),
    ("send_flag.0rtt", Elsewhere),
    ("send_flag.start", Elsewhere),
    ("send_flag.fin", Elsewhere),
    ("send_flag.dgram_priority", Only("no", "yes")),
    ("send_flag.delay", Only("yes", "no")),
    ("send_flag.sync", Elsewhere),
    ("dgram_send_state.sent", Elsewhere),
    ("dgram_send_state.lost_suspect", Refused),
    ("dgram_send_state.lost_discarded", Refused),
    ("dgram_send_state.acknowledged", Refused),
    ("dgram_send_state.acknowledged_spurious", Refused),
    ("dgram_send_state.canceled", Refused),
    ("listen", Elsewhere),
    ("conn_acceptors", Elsewhere),
    ("lock", Elsewhere),
    ("unlock", Elsewhere),
    ("reload", Elsewhere),
    ("stop", Elsewhere),
    ("registration", Elsewhere),
    ("owner", Elsewhere),
    ("resumption_data", Refused),
    ("statistics", Elsewhere),
    ("perf_counters", Elsewhere),
    ("settings", Elsewhere),
    ("handshake_info", Elsewhere),
    ("negotiated_protocol", Elsewhere),
    ("local_addr", Elsewhere),
    ("remote_addr", Elsewhere),
    ("peercert", Elsewhere),
    ("ideal_send_buffer", Refused),
    ("0rtt_length", Refused),
    ("probe", Elsewhere),
    ("count_conns", Elsewhere),
    // Ours, which have no other name there.
    ("custom_verify_timeout_ms", Set("1s")),
    ("initial_receive_window", Set("128KiB")),
    ("send_window", Set("2MiB")),
    ("initial_send_window", Set("1MiB")),
    ("segmentation_offload", Set("no")),
    ("open_streams", Set("10")),
    ("queued_starts", Set("11")),
    ("reliable_reset", Set("no")),
    ("datagram_receive_buffer", Set("4KiB")),
    ("datagram_send_buffer", Set("8KiB")),
];

#[test]
fn every_option_has_its_answer() {
    for (name, fate) in ALL {
        let mut options = Options::server();
        let unset = options.clone();
        let answer = match fate {
            Set(value) | Only(value, _) => options.set(name, *value),
            Elsewhere | Refused => options.set(name, "yes"),
        };
        match (fate, answer) {
            (Set(_), Ok(())) => assert_ne!(options, unset, "{name} changed nothing"),
            (Only(_, other), Ok(())) => {
                assert_eq!(options, unset);
                let refused = options.set(name, *other).expect_err(name);
                assert!(matches!(refused, OptionError::NotSupported { .. }));
            }
            (Elsewhere, Err(OptionError::Elsewhere { name: told, .. }))
            | (Refused, Err(OptionError::NotSupported { name: told, .. })) => {
                assert_eq!((told, &options), (*name, &unset));
            }
            (_, answer) => panic!("{name}: {answer:?}"),
        }
    }
    let listed = entries().filter(|entry| !ALL.iter().any(|(name, _)| *name == entry.name));
    let unlisted: Vec<_> = listed.map(|entry| entry.name).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn what_is_out_of_range_or_unknown_is_named() {
    let mut options = Options::client();
    let unknown = options.set("idle_timeout", 1_u64);
    assert_eq!(unknown, Err(OptionError::Unknown("idle_timeout".into())));
    let huge = "x".repeat(256);
    for (name, value) in [
        ("minimum_mtu", "1199"),
        ("maximum_mtu", "65528"),
        ("initial_rtt_ms", "0"),
        ("peer_bidi_stream_count", "1152921504606846977"),
        ("idle_timeout_ms", "4611686018427387904"),
        ("idle_timeout_ms", "a while"),
        ("idle_timeout_ms", "-1"),
        ("conn_flow_control_window", "0"),
        ("server_resumption_level", "3"),
        ("quic_event_mask", "4"),
        ("congestion_control_algorithm", "vegas"),
        ("datagram_receive_enabled", "2"),
        ("pacing_enabled", "very"),
        ("initial_window_packets", "1"),
        ("alpn", ""),
        ("alpn", "chat,,talk"),
        ("alpn", "h3"),
        ("alpn", &huge),
    ] {
        let unset = options.clone();
        let refused = options.set(name, value).expect_err(name);
        let OptionError::OutOfRange { name: told, takes } = refused else {
            panic!("{name}: {refused:?}");
        };
        assert_eq!(told, name);
        assert!(!takes.is_empty());
        assert_eq!(options, unset);
    }
    let range = options.set("minimum_mtu", 5_u64).expect_err("too small");
    assert_eq!(range.to_string(), "`minimum_mtu` takes 1200 to 65527 bytes");
}

#[test]
fn options_that_do_not_suit_each_other_are_refused_together() {
    let tls = Arc::new(Identity::localhost().server());
    let mut options = Options::server();
    let missing = options.endpoint(Arc::clone(&tls)).map(drop);
    assert_eq!(missing, Err(OptionError::Missing("alpn")));
    options.set("alpn", "chat").expect("a name");
    options.set("minimum_mtu", 1400_u64).expect("in range");
    options.set("maximum_mtu", 1300_u64).expect("in range");
    let refused = options.endpoint(tls).expect_err("larger than the largest");
    assert_eq!(refused.to_string(), "mtu_discovery is out of range");
    let tls = Identity::localhost().client_arc();
    let to = "10.0.0.2:4433".parse().expect("an address");
    let refused = options.target(to, "localhost", tls);
    assert!(matches!(refused, Err(OptionError::Config(_))));
}

/// A pair whose server is made with these options, and its connection.
fn served(options: &Options) -> (Pair, ConnKey, ConnKey) {
    let mut pair = Pair::new(chat());
    let tls = Arc::new(Identity::localhost().server());
    let config = options.endpoint(tls).expect("suits").may_fragment(false);
    pair.server.endpoint = Endpoint::new(config).expect("in range");
    let (client, server) = pair.establish();
    (pair, client, server)
}

#[test]
fn what_is_set_is_what_the_peer_hears() {
    let mut options = Options::server();
    for (name, value) in [
        ("alpn", "talk,chat"),
        ("idle_timeout_ms", "7s"),
        ("peer_bidi_stream_count", "3"),
        ("peer_unidi_stream_count", "4"),
        ("stream_recv_window_default", "65536"),
        ("conn_flow_control_window", "100000"),
        ("datagram_receive_enabled", "no"),
        ("migration_enabled", "no"),
    ] {
        options.set(name, value).expect(name);
    }
    let (pair, client, _) = served(&options);
    let info = pair.client.endpoint.info(client).expect("there");
    assert_eq!(info.alpn().as_deref(), Some(&b"chat"[..]));
    let said = info.peer_parameters().expect("known");
    assert_eq!(said.max_idle_timeout, 7000);
    assert_eq!(said.initial_max_streams_bidi, 3);
    assert_eq!(said.initial_max_streams_uni, 4);
    assert_eq!(said.initial_max_data, 100_000);
    assert_eq!(said.max_datagram_frame_size, None);
    assert!(said.disable_active_migration);
}

#[test]
fn what_is_set_is_what_this_side_does() {
    let mut options = Options::client();
    for (name, value) in [
        ("alpn", "chat"),
        ("keep_alive_interval_ms", "5s"),
        ("initial_window_packets", "20"),
        ("congestion_control_algorithm", "newreno"),
        ("minimum_mtu", "1300"),
        ("maximum_mtu", "1300"),
        ("mtu_discovery_search_complete_timeout_us", "20s"),
        ("custom_verify_timeout_ms", "4s"),
        ("max_operations_per_drain", "5"),
        ("open_flag.unidirectional", "yes"),
        ("start_flag.fail_blocked", "yes"),
    ] {
        options.set(name, value).expect(name);
    }
    assert_eq!(options.transport.congestion, Congestion::NewReno);
    assert_eq!(
        options.transport.mtu_discovery_interval,
        Duration::from_secs(20)
    );
    assert_eq!(options.quic.confirm_timeout, Duration::from_secs(4));
    assert_eq!((options.quic.work, options.dir), (5, Dir::Uni));
    assert_eq!(options.start.blocked, Blocked::Fail);
    let mut pair = Pair::new(chat());
    let tls = Identity::localhost().client_arc();
    let target = options.target(pair.server.addr, "localhost", tls);
    let target = target.expect("suits");
    let client = pair.client.endpoint.connect(pair.now, &target);
    let client = client.expect("begins");
    let path = |pair: &Pair| pair.client.endpoint.info(client).expect("there").path();
    assert_eq!(
        (path(&pair).mtu, path(&pair).congestion_window),
        (1300, 24_000)
    );
    pair.drive();
    let before = path(&pair).datagrams_sent;
    pair.advance(Duration::from_secs(11));
    assert_eq!(path(&pair).datagrams_sent, before + 2, "two PINGs");
}

#[test]
fn the_level_of_resumption_decides_what_tickets_are_good_for() {
    for (level, early) in [(0, None), (1, Some(false)), (2, Some(true))] {
        let mut options = Options::server();
        options.set("alpn", "chat").expect("a name");
        options.set("server_resumption_level", level).expect("one");
        let mut pair = Pair::new(chat());
        let tls = Arc::new(Identity::localhost().server());
        let config = options.endpoint(tls).expect("suits").may_fragment(false);
        pair.server.endpoint = Endpoint::new(config).expect("in range");
        let store = Arc::new(Store::default());
        let target = pair.target().tickets(store.clone());
        let client = pair.client.endpoint.connect(pair.now, &target);
        let client = client.expect("begins");
        pair.drive();
        let told = pair.client.take(client);
        assert_eq!(told.contains(&Event::Ticket), early.is_some(), "{level}");
        let allows = store.first().map(|ticket| ticket.allows_early_data());
        assert_eq!(allows, early, "{level}");
    }
}

#[test]
fn a_server_without_migration_does_not_follow_its_client() {
    for migrates in [true, false] {
        let mut options = Options::server();
        options.set("alpn", "chat").expect("a name");
        options.set("migration_enabled", migrates).expect("either");
        let (mut pair, client, server) = served(&options);
        let before = pair.client.addr;
        pair.rebind_client();
        pair.client_quic(client).ping();
        pair.drive();
        let about = pair.server_quic(server).access().about().cloned();
        let moved = about.expect("known").remote != before;
        assert_eq!(moved, migrates);
    }
}
