//! A peer that wants to do harm with resets.

use super::*;

/// QUIC's codes (RFC 9000 section 20.1).
const FLOW_CONTROL: u64 = 0x03;

/// The first stream of the client's that is no part of HTTP/3.
const FIRST: u64 = 0x12;

/// A session's code 0.
const CODE: u64 = 0x52e4_a40f_a8db;

/// A frame of these integers.
fn frame(ty: u64, ints: &[u64]) -> Vec<u8> {
    let mut frame = Vec::new();
    for int in [&[ty], ints].concat() {
        crate::wire::varint::put(&mut frame, int).expect("in range");
    }
    frame
}

impl Net {
    /// Makes a side send these frames in its next packet, and lets that arrive.
    fn forge(&mut self, side: Side, frames: Vec<u8>) {
        let shared = self.shared(side);
        shared.with(|ledger| ledger.forged = frames);
        shared.note();
        self.state(side).quic.ping();
        self.at(side);
        self.pair.advance(Duration::from_millis(40));
        if self.is_there(side) {
            self.shared(side).note();
        }
    }

    fn is_there(&mut self, side: Side) -> bool {
        let (end, key) = match side {
            Side::Client => (&mut self.pair.client, self.keys[0]),
            Side::Server => (&mut self.pair.server, self.keys[1]),
        };
        state_of(&mut end.endpoint.slots, key).is_some()
    }

    /// The code for which the server has closed on its own.
    fn error(&mut self) -> Option<u64> {
        match self.closed()? {
            CloseReason::Transport(TransportFailure::Error { code, .. }) => Some(code),
            reason => panic!("{reason:?}"),
        }
    }
}

fn narrow() -> Net {
    let mut options = Options::default();
    options.transport.initial_receive_window = 100_000;
    options.transport.receive_window = 100_000;
    options.transport.stream_receive_window = 60_000;
    Net::new(options)
}

/// That of the connection's 100,000 bytes there are no more: two streams end beyond it.
fn assert_no_credit_beyond(mut net: Net, next: u64, why: &str) {
    assert_eq!(net.error(), None, "{why}");
    let beyond = [next, next + 4].map(|id| frame(0x24, &[id, CODE, 55_000, 3]));
    net.forge(Side::Client, beyond.concat());
    assert_eq!(net.error(), Some(FLOW_CONTROL), "{why}");
}

/// Row B37: whichever resets there are of a stream, what it takes of the connection's credit
/// comes back once.
#[test]
fn credit_is_given_back_once() {
    for (why, last) in [
        ("lowered to nothing", &[0x24, 0][..]),
        ("a plain one", &[0x04]),
        ("twice", &[0x24, 3]),
    ] {
        let mut net = narrow();
        let mut next = FIRST;
        for _ in 0..10 {
            // Its header comes in the same packet, behind the resets.
            let stream = net.open(Side::Client, Dir::Uni).expect("room");
            let ints = [stream.id().wire(), CODE, 40_000];
            let first = frame(0x24, &[&ints[..], &[3]].concat());
            let end = frame(last[0], &[&ints, &last[1..]].concat());
            net.forge(Side::Client, [first, end].concat());
            net.listen();
            next = ints[0] + 4;
        }
        assert_no_credit_beyond(net, next, why);
    }
}

/// Row B37: nor does a plain reset make credit out of nothing, whose stream is then stopped.
#[test]
fn credit_of_a_stream_that_is_stopped_is_given_back_once() {
    let mut net = narrow();
    let mut id = FIRST;
    for _ in 0..5 {
        let stream = net.open(Side::Client, Dir::Uni).expect("room");
        assert_eq!(stream.id().wire(), id);
        net.write(Side::Client, stream, &[7; 40_000]);
        net.pair.advance(Duration::from_millis(300));
        net.forge(Side::Client, frame(0x04, &[id, CODE, 40_003]));
        let events = net.pair.server.take(net.keys[1]);
        let opened = events.into_iter().find_map(|event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
            _ => None,
        });
        let mut connection = net.at(Side::Server);
        let mut access = connection.access();
        let mut recv = access
            .recv(opened.expect("its header came"))
            .expect("unread");
        recv.stop(4).expect("stops");
        net.pair.advance(Duration::from_millis(40));
        id += 4;
    }
    assert_no_credit_beyond(net, id, "stopped");
}
