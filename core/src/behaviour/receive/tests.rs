use proptest::prelude::*;

use super::*;

/// The longest exact receive.
const LIMIT: usize = 40;

/// What an owner, or the peer, does next.
#[derive(Clone, Debug)]
enum Op {
    /// So many bytes arrive at QUIC, in one chunk.
    Arrive(usize),
    /// The peer ends the stream.
    End,
    /// The runner takes from QUIC what is wanted, in chunks of at most so many bytes.
    Pull(usize),
    SetMode(Mode),
    Receive(Want),
    /// The stream changes hands.
    HandOver,
    /// The owner is told so many things.
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..30_usize).prop_map(Op::Arrive),
        1 => Just(Op::End),
        6 => (1..20_usize).prop_map(Op::Pull),
        4 => mode().prop_map(Op::SetMode),
        4 => want().prop_map(Op::Receive),
        1 => Just(Op::HandOver),
        6 => (1..5_usize).prop_map(Op::Take),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Active),
        Just(Mode::Once),
        (0..4_u32).prop_map(Mode::Times),
        Just(Mode::Passive),
    ]
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![Just(Want::Any), (0..LIMIT + 2).prop_map(Want::Exact)]
}

/// The peer, QUIC, and what an owner may expect, in the simplest words.
struct Story {
    receiver: Receiver,
    /// Bytes at QUIC: those from `pulled` to `arrived`.
    pulled: u64,
    arrived: u64,
    ended: bool,
    told_end_to_receiver: bool,
    /// Bytes the owner has had.
    given: u64,
    end_given: bool,
    /// The mode, as its words say.
    mode: Mode,
    want: Option<Want>,
    /// Answers that are owed beside the want's.
    owed: VecDeque<ReceiveError>,
    passive_owed: bool,
}

/// The byte at that place of the stream.
fn byte(at: u64) -> u8 {
    (at % 251) as u8
}

impl Story {
    fn new() -> Self {
        Self {
            receiver: Receiver::new(Mode::Active, true),
            pulled: 0,
            arrived: 0,
            ended: false,
            told_end_to_receiver: false,
            given: 0,
            end_given: false,
            mode: Mode::Active,
            want: None,
            owed: VecDeque::new(),
            passive_owed: false,
        }
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Arrive(bytes) if !self.ended => self.arrived += bytes as u64,
            Op::Arrive(_) => {}
            Op::End => self.ended = true,
            Op::Pull(chunk) => self.pull(chunk),
            Op::SetMode(mode) => {
                if self.want.take().is_some() {
                    self.owed.push_back(ReceiveError::Switched);
                }
                self.passive_owed = mode == Mode::Times(0);
                self.mode = if self.passive_owed {
                    Mode::Passive
                } else {
                    mode
                };
                self.receiver.set_mode(mode);
            }
            Op::Receive(want) => {
                self.receiver.receive(want, LIMIT);
                match want {
                    _ if self.mode != Mode::Passive => {
                        self.owed.push_back(ReceiveError::NotPassive);
                    }
                    _ if self.want.is_some() => self.owed.push_back(ReceiveError::Busy),
                    Want::Exact(length) if length == 0 || length > LIMIT => {
                        self.owed.push_back(ReceiveError::Length);
                    }
                    want => self.want = Some(want),
                }
            }
            Op::HandOver => {
                self.receiver.hand_over();
                self.want = None;
                self.owed.clear();
                self.passive_owed = false;
            }
            Op::Take(times) => {
                for _ in 0..times {
                    self.take();
                }
            }
        }
    }

    fn pull(&mut self, chunk: usize) {
        loop {
            let (bytes, chunks) = self.receiver.room(16);
            let unread = (self.arrived - self.pulled) as usize;
            // What waits with nobody asking stays at QUIC.
            if self.mode == Mode::Passive && self.want.is_none() {
                assert_eq!(bytes, 0);
            }
            if bytes == 0 {
                return;
            }
            let mut left = bytes.min(unread);
            let mut chunks = chunks;
            while left > 0 && chunks > 0 {
                let len = left.min(chunk);
                let data: Vec<u8> = (self.pulled..self.pulled + len as u64).map(byte).collect();
                self.receiver.push(data.into(), false);
                self.pulled += len as u64;
                left -= len;
                chunks -= 1;
            }
            if self.pulled == self.arrived {
                if self.ended && bytes > unread {
                    self.receiver.finish();
                    self.told_end_to_receiver = true;
                }
                return;
            }
            if let Some(Want::Exact(length)) = self.want {
                assert!(self.receiver.buffered() <= length.max(16));
            }
        }
    }

    fn take(&mut self) {
        let due = self.receiver.is_due();
        let given = self.receiver.take();
        assert_eq!(due, given.is_some(), "{given:?}");
        match given {
            Some(Given::Failed(error)) => {
                if let Some(owed) = self.owed.pop_front() {
                    return assert_eq!(error, owed);
                }
                // The want is answered: its bytes never come.
                let held = (self.pulled - self.given) as usize;
                assert!(self.told_end_to_receiver);
                let missing = match self.want.take().expect("asked for") {
                    Want::Exact(length) => length - held,
                    Want::Any => {
                        assert!(self.end_given);
                        0
                    }
                };
                assert_eq!(error, ReceiveError::PeerFinished { missing });
            }
            Some(Given::Passive) => {
                assert!(std::mem::take(&mut self.passive_owed), "passive unasked");
            }
            Some(Given::Data(data, at)) => self.data(&data, at),
            None => {
                assert!(self.owed.is_empty() && !self.passive_owed);
                let held = (self.pulled - self.given) as usize;
                let rest = held > 0 || (self.told_end_to_receiver && !self.end_given);
                match (self.mode, self.want) {
                    (Mode::Passive, None) => {}
                    (Mode::Passive, Some(Want::Exact(length))) => {
                        assert!(held < length && !self.told_end_to_receiver);
                    }
                    (Mode::Passive, Some(Want::Any)) => {
                        assert!(!rest && !self.told_end_to_receiver);
                    }
                    _ => assert!(!rest, "held back from one who takes all"),
                }
            }
        }
    }

    fn data(&mut self, data: &Bytes, at: At) {
        assert!(!self.end_given, "after the end");
        assert!(self.owed.is_empty() && !self.passive_owed);
        assert_eq!(at.offset, self.given);
        let expected: Vec<u8> = (at.offset..at.offset + data.len() as u64)
            .map(byte)
            .collect();
        assert_eq!(data[..], expected);
        self.given += data.len() as u64;
        assert_eq!(self.receiver.offset(), self.given);
        let last = self.told_end_to_receiver && self.given == self.pulled;
        assert_eq!(at.end, last, "the end comes with the last bytes, or alone");
        assert!(!data.is_empty() || at.end, "a piece of nothing");
        self.end_given = at.end;
        match &mut self.mode {
            Mode::Active => {}
            Mode::Once => self.mode = Mode::Passive,
            Mode::Times(left) => {
                *left -= 1;
                if *left == 0 {
                    self.mode = Mode::Passive;
                    self.passive_owed = true;
                }
            }
            Mode::Passive => match self.want.take().expect("nobody has asked") {
                Want::Exact(length) => assert_eq!(data.len(), length),
                Want::Any => {}
            },
        }
        assert_eq!(self.receiver.mode(), self.mode);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Row E8: whatever the modes, and whenever they change, an owner has every byte once, in
    /// order, and the end once.
    #[test]
    fn switching_loses_doubles_and_reorders_nothing(
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut story = Story::new();
        for op in ops {
            story.play(op);
        }
        // Somebody who takes everything has everything.
        story.play(Op::End);
        story.play(Op::SetMode(Mode::Active));
        for _ in 0..10_000 {
            story.play(Op::Pull(7));
            story.take();
            if story.end_given {
                break;
            }
        }
        prop_assert!(story.end_given);
        prop_assert_eq!(story.given, story.arrived);
    }
}

#[test]
fn what_is_held_when_the_peer_resets_is_lost_to_a_passive_owner_only() {
    let held = |mode| {
        let mut receiver = Receiver::new(Mode::Active, true);
        receiver.push(Bytes::from_static(b"ab"), false);
        receiver.set_mode(mode);
        receiver.reset(7);
        receiver
    };
    let mut receiver = held(Mode::Active);
    let at = At {
        offset: 0,
        end: false,
        early: false,
    };
    assert_eq!(
        receiver.take(),
        Some(Given::Data(Bytes::from_static(b"ab"), at))
    );
    assert_eq!(receiver.take(), None);
    let mut receiver = held(Mode::Passive);
    receiver.receive(Want::Any, LIMIT);
    assert_eq!(receiver.take(), Some(Given::Failed(ReceiveError::Reset(7))));
}
