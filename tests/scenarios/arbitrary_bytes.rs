//! No bytes make either side panic or run in circles.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::loopback::{Knobs, Loopback, Rng};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame, join, settings};
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_tests::{get, seeds};
use bytes::Bytes;
use http::StatusCode;

/// Something a peer might send: sometimes sensible, often damaged.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=rng.below(4) {
        let noise: Vec<u8> = (0..rng.below(40)).map(|_| rng.bits() as u8).collect();
        let ty =
            [0, 1, 3, 4, 5, 7, 0x0d, 0x21, 0x41, 0x2843, 0x78ae, 0xf0700][rng.below(12) as usize];
        out.extend(match rng.below(8) {
            0 => noise,
            1 => raw::get(),
            2 => raw::connect(),
            3 => raw::status([100, 200, 404][rng.below(3) as usize]),
            4 => data(&frame(ty, &noise)),
            5 => settings(raw::WEBTRANSPORT),
            6 => join(&[&[0x40, 0x41, rng.below(9) as u8], &noise]),
            _ => frame(ty, &noise),
        });
    }
    if rng.below(2) == 0 && !out.is_empty() {
        let at = rng.below(out.len() as u64) as usize;
        out[at] ^= 1 << rng.below(8);
    }
    out
}

/// An application that says yes to everything and reads everything.
fn answer(peer: &mut RawPeer, rng: &mut Rng) {
    for event in peer.events() {
        let stream = match event {
            Event::Request { stream, .. } => {
                let ok = ResponseHead::new(StatusCode::OK);
                let end = if rng.below(2) == 0 {
                    End::Fin
                } else {
                    End::More
                };
                let _ = peer.access().respond(stream, &ok, end);
                stream
            }
            Event::WebTransport(session, SessionEvent::Requested(_)) => {
                let _ = peer
                    .access()
                    .webtransport(session)
                    .accept(&ConnectAnswer::default());
                let _ = peer.access().webtransport(session).open_stream(Dir::Bi);
                continue;
            }
            Event::WebTransport(_, SessionEvent::Opened { stream, .. })
            | Event::Stream(stream, _) => stream,
            _ => continue,
        };
        let mut out = [const { Bytes::new() }; 4];
        if let Ok(mut recv) = peer.access().recv(stream) {
            let _ = recv.read(rng.below(100) as usize, &mut out);
        }
        if let Ok(mut send) = peer.access().send(stream) {
            let _ = send.write(&mut [Bytes::from_static(b"answer")]);
        }
    }
}

/// Row A20.
#[test]
fn nothing_panics() {
    for seed in seeds(600) {
        let mut rng = Rng::new(seed);
        let ours = if rng.below(2) == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let net = Loopback::new(Knobs {
            delay: 0,
            stream_window: 1 << 20,
            ..Knobs::adversarial(seed)
        });
        let mut peer = RawPeer::over(ours, Config::default(), net);
        if rng.below(4) > 0 {
            peer.control(&settings(raw::WEBTRANSPORT));
        }
        if ours == Side::Client {
            let _ = peer.access().request(&get(), End::More);
            let there = "https://example.com/".parse().expect("an address");
            let _ = peer.access().open_session(&ConnectRequest::new(there));
            peer.drive();
        }
        let mut ids: Vec<StreamId> = vec![StreamId::new(Side::Client, Dir::Bi, 0)];
        for _ in 0..12 {
            let dir = if rng.below(2) == 0 { Dir::Bi } else { Dir::Uni };
            let fresh = rng.below(2) == 0;
            let id = match peer.end().open(dir).filter(|_| fresh) {
                Some(id) => {
                    ids.push(id);
                    let ty = [0, 1, 2, 3, 0x21, 0x54][rng.below(6) as usize];
                    if dir == Dir::Uni {
                        let _ = peer.end().write(id, &mut [raw::varint(ty).into()]);
                    }
                    id
                }
                None => ids[rng.below(ids.len() as u64) as usize],
            };
            let mut chunk = [Bytes::from(bytes(&mut rng))];
            while matches!(peer.end().write(id, &mut chunk), Ok(1..)) && !chunk[0].is_empty() {
                peer.drive();
            }
            match rng.below(8) {
                0 => peer.end().finish(id),
                1 => peer.end().reset(id, rng.bits() >> 3, &[]),
                2 => peer.end().stop(id, rng.bits() >> 3),
                3 => drop(peer.end().send_datagram(bytes(&mut rng).into())),
                _ => {}
            }
            peer.drive();
            answer(&mut peer, &mut rng);
        }
        peer.advance(std::time::Duration::from_secs(30));
        answer(&mut peer, &mut rng);
        let _ = peer.story();
    }
}
