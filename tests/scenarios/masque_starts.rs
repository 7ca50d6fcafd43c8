//! How tunnels start, and how starts are given up.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::TransportFailure;
use aqueduct_core::id::Side;
use aqueduct_core::masque::{
    AnswerTunnelError, Cancelled, Dialect, Host, OpenTunnelError, Refusal, TunnelClose,
    TunnelEvent, TunnelIoError, TunnelKey, TunnelSendError, TunnelsConfig, refusal_in_words,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_tests::config;
use aqueduct_tests::tunnels::{TunnelPair, asking, tunnels};

const DIALECTS: [Dialect; 4] = [
    Dialect::Udp,
    Dialect::Tcp12,
    Dialect::Tcp07,
    Dialect::Classic,
];

fn counts(pair: &TunnelPair) -> (usize, usize) {
    let (gate, _) = pair.tunnels(Side::Server).all_stats();
    (gate.pending, gate.active)
}

fn cancel(pair: &mut TunnelPair, side: Side, key: TunnelKey) -> Cancelled {
    pair.with(side, |tunnels, access, now| {
        tunnels.cancel(access, now, key)
    })
}

fn accept(pair: &mut TunnelPair, key: TunnelKey) -> Result<(), AnswerTunnelError> {
    pair.with(Side::Server, |tunnels, access, now| {
        tunnels.accept(access, now, key, None)
    })
}

/// Row C4: pending and active tunnels count together, and each way of not becoming
/// one gives its place back.
#[test]
fn the_limit_counts_what_is_pending_and_what_is_open() {
    let mut pair = TunnelPair::serving(|config| config.gate.max_tunnels = 2);
    let (_, first) = pair.ask(Dialect::Udp);
    pair.tunnel(Dialect::Tcp12);
    assert_eq!(counts(&pair), (1, 1));
    let third = pair.open(&asking(Dialect::Udp));
    assert_eq!(pair.refused(third).status, 503);
    let refused = pair.with(Side::Server, |tunnels, access, now| {
        tunnels.refuse(access, now, first, &Refusal::Refused)
    });
    assert_eq!((refused, counts(&pair)), (Ok(()), (0, 1)));
    // The client gives it up.
    let (client, _) = pair.ask(Dialect::Udp);
    assert_eq!(cancel(&mut pair, Side::Client, client), Cancelled::Pending);
    pair.drive();
    assert_eq!(counts(&pair), (0, 1));
    // Nobody answers in time.
    pair.ask(Dialect::Udp);
    pair.advance(Duration::from_secs(30));
    assert_eq!(counts(&pair), (0, 1));
    let (client, server) = pair.ask(Dialect::Udp);
    assert_eq!(cancel(&mut pair, Side::Server, server), Cancelled::Pending);
    assert_eq!(pair.refused(client).status, 503);
    pair.tunnel(Dialect::Udp);
    assert_eq!(counts(&pair), (0, 2));
}

/// Row C4: a client has a limit of its own, and knows of it before it asks.
#[test]
fn a_client_asks_for_no_more_than_it_may() {
    let few = tunnels(|config| config.gate.max_tunnels = 1);
    let pair = LoopbackPair::connected(Knobs::default());
    let mut pair = TunnelPair::over(pair, few, TunnelsConfig::default());
    let (client, _) = pair.tunnel(Dialect::Udp);
    let mut again = || {
        pair.with(Side::Client, |tunnels, access, now| {
            tunnels.open(access, now, &asking(Dialect::Udp)).map(drop)
        })
    };
    assert_eq!(again(), Err(OpenTunnelError::TooManyTunnels));
    pair.close(Side::Client, client);
    pair.drive();
    pair.tunnel(Dialect::Udp);
}

/// A target that was put together by hand may be none, which is told before anything is
/// sent.
#[test]
fn a_target_that_is_none_is_not_asked_for() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let mut open = asking(Dialect::Classic);
    open.target.host = Host::Name("a b".into());
    let asked = pair.with(Side::Client, |tunnels, access, now| {
        tunnels.open(access, now, &open).map(drop)
    });
    assert_eq!(asked, Err(OpenTunnelError::Head));
    assert!(pair.tunnels(Side::Client).is_empty());
    assert_eq!(pair.requested(), None);
}

/// Row C5: a start that waits holds nobody up.
#[test]
fn others_flow_while_one_waits() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let (waiting, pending) = pair.ask(Dialect::Udp);
    pair.advance(Duration::from_secs(20));
    pair.send(Side::Client, client, b"there").expect("room");
    assert_eq!(pair.recv(Side::Server, server), [&b"there"[..]]);
    pair.tunnel(Dialect::Tcp12);
    pair.accept(pending);
    let told = pair.told(Side::Client, waiting);
    assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
    // The time it took is not held against it.
    pair.advance(Duration::from_secs(20));
    assert_eq!(pair.told(Side::Server, pending), []);
}

/// Row C6: datagrams before the answer are kept in order up to the limit, the rest is
/// dropped and counted.
#[test]
fn early_datagrams_are_kept_in_order() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.ask(Dialect::Udp);
    for n in 0..110u8 {
        pair.send(Side::Client, client, &[n]).expect("room");
        pair.drive();
    }
    assert!(pair.recv(Side::Server, server).is_empty(), "not open yet");
    let early = pair.send(Side::Server, server, b"no");
    assert_eq!(early, Err(TunnelSendError::Pending));
    pair.accept(server);
    assert_eq!(pair.told(Side::Server, server), [TunnelEvent::Datagrams]);
    pair.send(Side::Client, client, &[255]).expect("room");
    let all = pair.recv(Side::Server, server);
    let expected: Vec<u8> = (0..100).chain([255]).collect();
    assert_eq!(all.concat(), expected);
    assert_eq!(pair.told(Side::Server, server), [], "told once");
    let stats = pair.with(Side::Server, |tunnels, _, _| tunnels.stats(server));
    let stats = stats.expect("a tunnel");
    assert_eq!((stats.drops.early, stats.received), (10, 101));
}

/// Row C6: the same of those that come in one batch with the request.
#[test]
fn datagrams_that_come_with_the_request_are_kept() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let client = pair.open(&asking(Dialect::Udp));
    for n in 0..110u8 {
        pair.send(Side::Client, client, &[n]).expect("room");
    }
    let (server, _) = pair.requested().expect("asked");
    pair.accept(server);
    let all = pair.recv(Side::Server, server);
    assert_eq!(all.concat(), (0..100).collect::<Vec<u8>>());
}

/// Row C6: bytes of TCP before the answer wait in the stream.
#[test]
fn early_bytes_wait() {
    for dialect in [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic] {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = pair.ask(dialect);
        let mut chunks = ["early ".into(), "bytes".into()];
        assert_eq!(pair.write(Side::Client, client, &mut chunks), Ok(11));
        pair.finish(Side::Client, client).expect("ends early");
        assert_eq!(pair.told(Side::Server, server), []);
        let pending = Err(TunnelIoError::Pending);
        assert_eq!(pair.read(Side::Client, client, 9), pending.clone());
        assert_eq!(pair.read(Side::Server, server, 9), pending);
        let written = pair.write(Side::Server, server, &mut ["no".into()]);
        assert_eq!(written, Err(TunnelIoError::Pending));
        let ended = pair.finish(Side::Server, server);
        assert_eq!(ended, Err(TunnelIoError::Pending));
        pair.accept(server);
        assert_eq!(pair.told(Side::Server, server), [TunnelEvent::Readable]);
        let all = pair.read_all(Side::Server, server);
        assert_eq!(all, (b"early bytes".to_vec(), true), "{dialect:?}");
        let told = pair.told(Side::Client, client);
        assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
    }
}

/// Row C8: a proxy has 30 s to answer, and says so when it has not.
#[test]
fn a_start_ends_at_its_time() {
    for dialect in DIALECTS {
        let patient = config(|config| config.limits.connect_timeout = Duration::MAX);
        let mut pair = LoopbackPair::new(patient, Config::default(), Knobs::default());
        pair.connect();
        let patient = tunnels(|config| config.start_timeout = Duration::MAX);
        let mut pair = TunnelPair::over(pair, patient, TunnelsConfig::default());
        let (client, server) = pair.ask(dialect);
        pair.advance(Duration::from_millis(29_999));
        assert_eq!(pair.told(Side::Server, server), []);
        pair.advance(Duration::from_millis(1));
        let timed_out = TunnelClose::StartTimedOut;
        assert_eq!(pair.closed(Side::Server, server), timed_out, "{dialect:?}");
        let head = pair.refused(client);
        let words = "504 Gateway Timeout (connection_timeout: the tunnel was not ready in time)";
        assert_eq!(refusal_in_words(&head), words);
        assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
        assert_eq!(counts(&pair), (0, 0));
    }
}

/// Row C8: a client waits for as long as it says, whatever it sends meanwhile.
#[test]
fn a_client_gives_up_by_itself() {
    for seconds in [5, 60] {
        let impatient = tunnels(|config| config.start_timeout = Duration::from_secs(seconds));
        let patient = tunnels(|config| config.start_timeout = Duration::from_secs(100));
        let pair = LoopbackPair::connected(Knobs::default());
        let mut pair = TunnelPair::over(pair, impatient, patient);
        let (client, server) = pair.ask(Dialect::Tcp12);
        pair.advance(Duration::from_secs(4));
        let mut chunks = ["hello".into()];
        assert_eq!(pair.write(Side::Client, client, &mut chunks), Ok(5));
        pair.finish(Side::Client, client).expect("ends");
        // The connection waits for the answer to a CONNECT for 30 s.
        pair.advance(Duration::from_secs(seconds.min(30) - 4));
        let timed_out = TunnelClose::StartTimedOut;
        assert_eq!(pair.closed(Side::Client, client), timed_out, "{seconds}");
        let reset = pair.closed(Side::Server, server);
        assert!(matches!(reset, TunnelClose::Reset(_)), "{reset:?}");
    }
}

/// Row C8: what cancelling answers, and that an answer that comes too late finds nothing.
#[test]
fn a_start_is_cancelled() {
    for dialect in DIALECTS {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = pair.ask(dialect);
        assert_eq!(cancel(&mut pair, Side::Server, server), Cancelled::Pending);
        assert_eq!(cancel(&mut pair, Side::Server, server), Cancelled::Unknown);
        assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
        assert_eq!(pair.told(Side::Server, server), []);
        assert_eq!(pair.refused(client).status, 503);

        let (client, server) = pair.ask(dialect);
        assert_eq!(cancel(&mut pair, Side::Client, client), Cancelled::Pending);
        assert_eq!(cancel(&mut pair, Side::Client, client), Cancelled::Unknown);
        let reset = TunnelClose::Reset(Code::H3_REQUEST_CANCELLED);
        assert_eq!(pair.closed(Side::Server, server), reset);
        assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
        assert_eq!(pair.told(Side::Client, client), []);

        let (client, server) = pair.tunnel(dialect);
        for (side, key) in [(Side::Client, client), (Side::Server, server)] {
            assert_eq!(cancel(&mut pair, side, key), Cancelled::Active);
        }
        assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Answered));
        assert_eq!(counts(&pair), (0, 1));
        for side in [Side::Client, Side::Server] {
            assert_eq!(pair.others(side), [], "{dialect:?}");
        }
    }
}

/// Row C7: the answer crosses the client's cancel, and nothing is left of either.
#[test]
fn an_answer_and_a_cancel_cross() {
    for dialect in DIALECTS {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = pair.ask(dialect);
        assert_eq!(accept(&mut pair, server), Ok(()));
        assert_eq!(cancel(&mut pair, Side::Client, client), Cancelled::Pending);
        let reset = TunnelClose::Reset(Code::H3_REQUEST_CANCELLED);
        assert_eq!(pair.closed(Side::Server, server), reset);
        assert_eq!(pair.told(Side::Client, client), []);
        assert_eq!(counts(&pair), (0, 0));
        for side in [Side::Client, Side::Server] {
            assert_eq!(pair.others(side), [], "{dialect:?}");
            assert!(pair.tunnels(side).is_empty());
        }
    }
}

/// Row C9: the client's reset is told at once, also before its stop has come; and an
/// answer to it counts once.
#[test]
fn a_reset_while_pending_is_told_at_once() {
    for dialect in DIALECTS {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = pair.ask(dialect);
        let mut access = pair.pair.client();
        let mut send = access.send(client.stream()).expect("a stream");
        let code = Code::H3_REQUEST_CANCELLED;
        send.reset(code.value()).expect("resets");
        // The connection knows, and the machine does not yet.
        pair.pair.drive();
        let known = pair.with(Side::Server, |tunnels, _, _| tunnels.live());
        assert_eq!(known, 1);
        assert_eq!(pair.closed(Side::Server, server), TunnelClose::Reset(code));
        assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
        let (gate, _) = pair.tunnels(Side::Server).all_stats();
        let counts = (gate.asked, gate.given_up, gate.pending, gate.active);
        assert_eq!(counts, (1, 1, 0, 0), "{dialect:?}");
        assert_eq!(pair.pair.server().open_requests(), 0);
    }
}

/// Row C9: whoever answers before the machine has heard of the stop counts it once.
#[test]
fn an_answer_to_a_stopped_request() {
    let mut pair = TunnelPair::connected(Knobs::default());
    pair.ask(Dialect::Udp);
    let (client, server) = pair.ask(Dialect::Udp);
    let code = Code::H3_REQUEST_CANCELLED;
    let mut access = pair.pair.client();
    access
        .recv(client.stream())
        .expect("a stream")
        .stop(code.value())
        .expect("stops");
    pair.pair.drive();
    assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
    assert_eq!(pair.closed(Side::Server, server), TunnelClose::Reset(code));
    let (gate, _) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((gate.given_up, gate.pending, gate.active), (1, 1, 0));
}

/// Row C10: the end of the connection is told to each tunnel once, whatever it is at.
#[test]
fn the_connection_ends_under_all() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let mut all = Vec::new();
    for dialect in DIALECTS {
        all.push(pair.tunnel(dialect));
        all.push(pair.ask(dialect));
    }
    pair.pair.fail(&TransportFailure::TimedOut);
    for (client, server) in &all {
        for (side, key) in [(Side::Client, *client), (Side::Server, *server)] {
            let why = pair.closed(side, key);
            assert!(matches!(why, TunnelClose::Connection(_)), "{why:?}");
        }
        assert_eq!(
            accept(&mut pair, *server),
            Err(AnswerTunnelError::Gone),
            "too late"
        );
    }
    assert_eq!(counts(&pair), (0, 0));
    for side in [Side::Client, Side::Server] {
        assert!(pair.tunnels(side).is_empty());
        assert!(!pair.told_anything(side));
    }
    assert_eq!(pair.next_timeout(), None);
}

/// Row C6: who writes before the answer is told when to go on, as always.
#[test]
fn an_early_write_goes_on() {
    let knobs = Knobs {
        write_budget: 40,
        ..Knobs::default()
    };
    for dialect in [Dialect::Tcp12, Dialect::Classic] {
        let mut pair = TunnelPair::connected(knobs.clone());
        let (client, server) = pair.ask(dialect);
        // The stream takes the first of them, and a part of it at a time.
        for n in 0..3 {
            let mut chunks = [vec![7; 1000].into()];
            if n > 0 {
                assert_eq!(pair.write(Side::Client, client, &mut chunks), Ok(0));
                let told = pair.told(Side::Client, client);
                assert_eq!(told, [TunnelEvent::Writable], "{dialect:?}");
            }
            assert_ne!(pair.write(Side::Client, client, &mut chunks), Ok(0));
            assert!(chunks[0].is_empty());
        }
        pair.drive();
        pair.finish(Side::Client, client).expect("ends");
        pair.accept(server);
        assert_eq!(pair.read_all(Side::Server, server), (vec![7; 3000], true));
    }
}

/// Row C9: a request for UDP that ends before its answer is given up; its stream is not
/// left without an end.
#[test]
fn an_end_before_the_answer() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let base = pair.pair.server().live_streams();
    let (client, server) = pair.ask(Dialect::Udp);
    pair.finish_raw(Side::Client, client.stream());
    assert_eq!(pair.closed(Side::Server, server), TunnelClose::Finished);
    let reset = TunnelClose::Reset(Code::H3_REQUEST_CANCELLED);
    assert_eq!(pair.closed(Side::Client, client), reset);
    assert_eq!(accept(&mut pair, server), Err(AnswerTunnelError::Gone));
    assert_eq!(counts(&pair), (0, 0));
    assert_eq!(pair.pair.server().live_streams(), base);
    assert_eq!(pair.pair.server().open_requests(), 0);
}
