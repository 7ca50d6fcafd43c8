//! Row E8: modes that change at any time, and hand-offs, over a network that loses, doubles
//! and reorders: every byte is given once, in order, and the end once.

use std::sync::{Arc, Mutex};

use std::time::Duration;

use aqueduct_core::behaviour::{
    Accept, NewStream, ReceiveError, StreamBehaviour, StreamContext, StreamResult,
};
use proptest::prelude::*;

use super::*;

/// What all owners of the stream have been given, together.
#[derive(Debug, Default)]
struct Given {
    bytes: Vec<u8>,
    ends: usize,
    closes: usize,
}

/// An owner that draws what it does next.
struct Fickle {
    given: Arc<Mutex<Given>>,
    luck: u64,
}

impl Fickle {
    fn draw(&mut self, below: u64) -> u64 {
        self.luck = self
            .luck
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.luck >> 33) % below
    }

    /// Something that lets it go on receiving.
    fn next(&mut self, mode: Mode) -> StreamResult<&'static str> {
        let pick = self.draw(6);
        let first = match pick {
            0 => StreamAction::SetMode(Mode::Active),
            1 => StreamAction::SetMode(Mode::Once),
            2 => StreamAction::SetMode(Mode::Times(self.draw(4) as u32)),
            3 => StreamAction::SetMode(Mode::Passive),
            4 => {
                let (given, luck) = (Arc::clone(&self.given), self.draw(u64::MAX >> 34));
                StreamAction::HandOff(Box::new(Self { given, luck }))
            }
            _ => return self.asking(mode),
        };
        let mut actions = aqueduct_core::behaviour::Actions::from(first);
        if pick == 3 {
            actions.push(self.want());
        }
        Ok(actions)
    }

    fn want(&mut self) -> StreamAction<&'static str> {
        match self.draw(2) {
            0 => ANY,
            _ => exact(self.draw(5000) as usize + 1),
        }
    }

    fn asking(&mut self, mode: Mode) -> StreamResult<&'static str> {
        let want = (mode == Mode::Passive).then(|| self.want());
        Ok(want.into_iter().collect())
    }
}

impl StreamBehaviour<&'static str> for Fickle {
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<&'static str> {
        {
            let mut given = self.given.lock().expect("no panic");
            assert_eq!(at.offset, given.bytes.len() as u64);
            assert_eq!(given.ends, 0);
            given.bytes.extend_from_slice(&data);
            given.ends += usize::from(at.end);
        }
        self.next(cx.mode())
    }
    fn handed_over(
        &mut self,
        cx: &StreamContext<'_>,
        _: aqueduct_core::behaviour::HandedOver,
    ) -> StreamResult<&'static str> {
        self.asking(cx.mode())
    }
    fn passive(&mut self, cx: &StreamContext<'_>) -> StreamResult<&'static str> {
        self.asking(cx.mode())
    }
    fn receive_failed(
        &mut self,
        cx: &StreamContext<'_>,
        why: ReceiveError,
    ) -> StreamResult<&'static str> {
        if why == ReceiveError::Busy {
            // What was asked for before comes.
            return Ok(Default::default());
        }
        let ended = self.given.lock().expect("no panic").ends > 0;
        // Of what is too short, whatever there is.
        let want = (cx.mode() == Mode::Passive && !ended).then_some(ANY);
        Ok(want.into_iter().collect())
    }
    fn closed(
        &mut self,
        _: &StreamContext<'_>,
        _: aqueduct_core::quic::StreamClosed,
    ) -> StreamResult<&'static str> {
        self.given.lock().expect("no panic").closes += 1;
        Ok(Default::default())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn nothing_is_lost_doubled_or_reordered(luck in any::<u64>(), len in 1..120_000_usize) {
        let log = Log::default();
        let given = Arc::new(Mutex::new(Given::default()));
        let of_owner = Arc::clone(&given);
        let server = Conn::new("server", &log).accepting(move |_, _| {
            let owner = Fickle { given: Arc::clone(&of_owner), luck };
            Ok(Accept::Own(Box::new(owner), Mode::Active))
        });
        let mut world = World::new(Conn::new("client", &log), server);
        for link in [&mut world.pair.client.link, &mut world.pair.server.link] {
            (link.loss, link.duplicates) = (50, 50);
            link.jitter = Duration::from_millis(8);
        }
        let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let owner = Stream::new("own", &log).boxed();
        let stream = NewStream::new(Dir::Uni, owner).first(sent.clone()).finish();
        world.act(stream);
        world.drive();
        let given = given.lock().expect("no panic");
        prop_assert_eq!(given.bytes.len(), sent.len());
        prop_assert!(given.bytes == sent);
        prop_assert_eq!(given.ends, 1);
        prop_assert_eq!(given.closes, 1);
    }
}
