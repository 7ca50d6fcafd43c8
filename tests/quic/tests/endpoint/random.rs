//! Both ends do whatever comes to mind over a path that misbehaves. Nothing
//! panics, every connection and session ends exactly once, and nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri};

use aqueduct_core::code::Code;
use aqueduct_core::connection::{Command, Reply};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, StreamKey};
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::webtransport::{ConnectRequest, SessionEvent};

/// What one end knows.
#[derive(Default)]
struct Mind {
    connections: Vec<ConnKey>,
    streams: Vec<(ConnKey, StreamKey)>,
    sessions: Vec<(ConnKey, SessionKey)>,
    closed: BTreeMap<ConnKey, u32>,
    closed_sessions: BTreeSet<(ConnKey, SessionKey)>,
}

impl Mind {
    fn learn(&mut self, events: Vec<(ConnKey, Event)>) {
        for (key, event) in events {
            assert!(!self.closed.contains_key(&key), "after Closed: {event:?}");
            match event {
                Event::Connected { .. } => self.connections.push(key),
                Event::Closed(_) => *self.closed.entry(key).or_default() += 1,
                Event::Request { stream, .. } => self.streams.push((key, stream)),
                Event::WebTransport(session, event) => {
                    let told = self.closed_sessions.contains(&(key, session));
                    assert!(!told, "after a session's Closed: {event:?}");
                    match event {
                        SessionEvent::Requested(_) => self.sessions.push((key, session)),
                        SessionEvent::Opened { stream, .. } => self.streams.push((key, stream)),
                        SessionEvent::Closed(_) => {
                            self.closed_sessions.insert((key, session));
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

fn pick<T: Copy>(luck: &mut Rng, from: &[T]) -> Option<T> {
    // Half of the choices fall on the newest three, so that they collide.
    let recent = if luck.bits().is_multiple_of(2) {
        from.len().saturating_sub(3)
    } else {
        0
    };
    let from = &from[recent..];
    (!from.is_empty()).then(|| from[luck.bits() as usize % from.len()])
}

/// A command on something known, or nothing.
fn think(luck: &mut Rng, mind: &Mind, client: bool) -> Option<(ConnKey, Command)> {
    let uri = Uri::from_static("https://localhost/x");
    let dir = if luck.bits().is_multiple_of(2) {
        Dir::Bi
    } else {
        Dir::Uni
    };
    let end = if luck.bits().is_multiple_of(2) {
        End::Fin
    } else {
        End::More
    };
    let code = luck.bits() % 3;
    Some(match luck.bits() % 14 {
        0 | 1 if client => {
            let head = Box::new(RequestHead::new(Method::POST, uri));
            (pick(luck, &mind.connections)?, Command::Request(head, end))
        }
        2 if client => {
            let request = Box::new(ConnectRequest::new(uri));
            (
                pick(luck, &mind.connections)?,
                Command::OpenSession(request),
            )
        }
        0 | 1 => {
            let (key, stream) = pick(luck, &mind.streams)?;
            let head = Box::new(ResponseHead::from_http(Response::new(())));
            (key, Command::Respond(stream, head, end))
        }
        2 | 3 if !client => {
            let (key, session) = pick(luck, &mind.sessions)?;
            (key, Command::AcceptSession(session, Box::default()))
        }
        4 if !client => {
            let (key, session) = pick(luck, &mind.sessions)?;
            let no = ResponseHead::new(StatusCode::FORBIDDEN);
            (
                key,
                Command::RejectSession(session, no.into(), Bytes::new()),
            )
        }
        3..=6 => {
            let (key, session) = pick(luck, &mind.sessions)?;
            (key, Command::OpenStream(session, dir))
        }
        7 => {
            let (key, session) = pick(luck, &mind.sessions)?;
            (key, Command::DrainSession(session))
        }
        8 => {
            let (key, session) = pick(luck, &mind.sessions)?;
            (
                key,
                Command::CloseSession(session, code as u32, "enough".into()),
            )
        }
        9 => {
            let (key, stream) = pick(luck, &mind.streams)?;
            (key, Command::Finish(stream))
        }
        10 => {
            let (key, stream) = pick(luck, &mind.streams)?;
            (key, Command::Reset(stream, code))
        }
        11 => {
            let (key, stream) = pick(luck, &mind.streams)?;
            (key, Command::Stop(stream, code))
        }
        12 => {
            let (key, stream) = pick(luck, &mind.streams)?;
            (key, Command::SetSendOrder(stream, code as i32))
        }
        _ if luck.bits().is_multiple_of(20) => (
            pick(luck, &mind.connections)?,
            Command::Close(Code::H3_NO_ERROR, "bye".into()),
        ),
        _ => return None,
    })
}

/// Moves bytes and datagrams on something known.
fn act(luck: &mut Rng, pair: &mut Pair, mind: &Mind, client: bool) {
    let now = pair.now;
    let endpoint = if client {
        &mut pair.client.endpoint
    } else {
        &mut pair.server.endpoint
    };
    if let Some((key, session)) = pick(luck, &mind.sessions)
        && let Some(mut connection) = endpoint.connection(now, key)
    {
        let payload = vec![7; luck.bits() as usize % 1300];
        let mut access = connection.access();
        // Whether it goes out depends on the state, which is random.
        let _ = access.send_datagram(session, &payload);
        while access.recv_datagram(session).is_some() {}
    }
    let Some((key, stream)) = pick(luck, &mind.streams) else {
        return;
    };
    let Some(mut connection) = endpoint.connection(now, key) else {
        return;
    };
    let mut access = connection.access();
    if let Ok(mut send) = access.send(stream) {
        let _ = send.write(&mut [Bytes::from(vec![1; luck.bits() as usize % 5000])]);
    }
    if let Ok(mut recv) = access.recv(stream) {
        let mut chunks = [const { Bytes::new() }; 4];
        let _ = recv.read(luck.bits() as usize % 3000 + 1, &mut chunks);
    }
}

fn play(seed: u64, rounds: usize) {
    let mut luck = Rng::new(seed ^ 0x5eed);
    let mut options = Options {
        seed,
        ..Options::default()
    };
    options.transport.stream_receive_window = 8000;
    options.transport.max_streams_bidi = 10;
    options.transport.max_streams_uni = 10;
    let mut pair = Pair::new(options);
    for link in [&mut pair.client.link, &mut pair.server.link] {
        (link.loss, link.duplicates) = (luck.bits() % 150, luck.bits() % 50);
        link.jitter = Duration::from_millis(luck.bits() % 20);
    }
    let mut minds = [Mind::default(), Mind::default()];
    let mut begun = 0;
    for _ in 0..rounds {
        if luck.bits().is_multiple_of(50) || begun == 0 {
            pair.connect();
            begun += 1;
        }
        for (client, mind) in [true, false].into_iter().zip(&mut minds) {
            act(&mut luck, &mut pair, mind, client);
            let Some((key, command)) = think(&mut luck, mind, client) else {
                continue;
            };
            let end = if client {
                &mut pair.client
            } else {
                &mut pair.server
            };
            match end.endpoint.handle_command(pair.now, key, command) {
                Ok(Reply::Stream(stream)) => mind.streams.push((key, stream)),
                Ok(Reply::Session(session)) => mind.sessions.push((key, session)),
                // Most refusals are right: the choice did not look at the state.
                Ok(_) | Err(_) => {}
            }
        }
        pair.advance(Duration::from_millis(luck.bits() % 15));
        minds[0].learn(std::mem::take(&mut pair.client.events));
        minds[1].learn(std::mem::take(&mut pair.server.events));
    }
    pair.client.endpoint.close(pair.now, Code::H3_NO_ERROR, "");
    pair.advance(Duration::from_secs(120));
    minds[0].learn(std::mem::take(&mut pair.client.events));
    minds[1].learn(std::mem::take(&mut pair.server.events));
    assert!(pair.client.endpoint.is_idle() && pair.server.endpoint.is_idle());
    assert_eq!(minds[0].closed.len(), begun);
    for mind in minds {
        assert!(
            mind.connections
                .iter()
                .all(|key| mind.closed.get(key) == Some(&1))
        );
    }
}

#[test]
fn whatever_both_ends_do_everything_ends_once() {
    for seed in 0..10 {
        let outcome = std::panic::catch_unwind(|| play(seed, 300));
        assert!(outcome.is_ok(), "SEED={seed}");
    }
}
