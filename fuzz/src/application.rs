//! An application that does anything at any time, and a ledger of what it is
//! told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::connection::Access;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, SessionKey, StreamKey};
use aqueduct_core::testing::loopback;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_core::wire::priority::Priority;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::input::Input;

/// What every application may rely on, whatever the peer does.
#[derive(Debug, Default)]
pub struct Ledger {
    closed: bool,
    /// Sessions ever heard of, and whether they are over.
    sessions: BTreeMap<SessionKey, bool>,
    requests: BTreeSet<StreamKey>,
    gone: BTreeSet<StreamKey>,
}

impl Ledger {
    /// Notes a session that this side opened.
    pub fn opened(&mut self, session: SessionKey) {
        assert_eq!(self.sessions.insert(session, false), None, "a key twice");
    }

    /// Notes a session that this side rejected: no event of it follows.
    pub fn rejected(&mut self, session: SessionKey) {
        self.sessions.insert(session, true);
    }

    /// Whether the connection's last event came.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Checks an event against what was heard before.
    pub fn hear(&mut self, event: &Event) {
        assert!(!self.closed, "{event:?} after Closed");
        match event {
            Event::Closed(why) => {
                self.closed = true;
                let open = self.sessions.iter().find(|(_, over)| !**over);
                assert!(open.is_none(), "{open:?} outlives the connection ({why:?})");
            }
            Event::Request { stream, .. } => {
                assert!(self.requests.insert(*stream), "{stream:?} told twice");
            }
            Event::Stream(stream, what) => {
                assert!(
                    !self.gone.contains(stream),
                    "{stream:?} is gone, and {what:?}"
                );
                let last = matches!(
                    what,
                    StreamEvent::Unprocessed | StreamEvent::Malformed(_) | StreamEvent::SessionGone
                );
                if last {
                    self.gone.insert(*stream);
                }
            }
            Event::WebTransport(session, SessionEvent::Requested(_)) => {
                assert_eq!(
                    self.sessions.insert(*session, false),
                    None,
                    "{session:?} told twice"
                );
            }
            Event::WebTransport(session, what) => {
                let over = self.sessions.get_mut(session);
                let over = over.unwrap_or_else(|| panic!("{what:?} of an unknown {session:?}"));
                assert!(!*over, "{session:?} is over, and {what:?}");
                *over = matches!(
                    what,
                    SessionEvent::Closed(_) | SessionEvent::Rejected { .. }
                );
            }
            _ => {}
        }
    }
}

/// An application steered by bytes.
#[derive(Debug, Default)]
pub struct Application {
    /// What it heard.
    pub ledger: Ledger,
    eager: bool,
    streams: Vec<StreamKey>,
    sessions: Vec<SessionKey>,
}

/// What it works with.
type Work<'a> = Access<'a, loopback::End>;

impl Application {
    /// One that has heard nothing. An eager one does at once what is expected of
    /// it, beside what it is steered to do.
    #[must_use]
    pub fn new(eager: bool) -> Self {
        Self {
            eager,
            ..Self::default()
        }
    }

    /// From here on it only does what it is steered to do.
    pub fn calm(&mut self) {
        self.eager = false;
    }

    /// Takes an event, and acts on it if eager.
    pub fn hear(&mut self, event: &Event, work: &mut Work<'_>) {
        self.ledger.hear(event);
        match event {
            Event::Request { stream, .. } => {
                self.streams.push(*stream);
                if self.eager {
                    let head = ResponseHead::new(StatusCode::OK);
                    let _ = work.respond(*stream, &head, End::More);
                    write(work, *stream, b"content");
                    let _ = work.send(*stream).map(|mut send| send.finish());
                }
            }
            Event::WebTransport(session, SessionEvent::Requested(_)) => {
                self.sessions.push(*session);
                if self.eager {
                    let _ = work
                        .webtransport(*session)
                        .accept(&ConnectAnswer::default());
                }
            }
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                self.streams.push(*stream);
            }
            Event::WebTransport(session, SessionEvent::Datagrams) if self.eager => {
                while let Some(datagram) = work.recv_datagram(*session) {
                    let _ = work.send_datagram(*session, &datagram);
                }
            }
            Event::Stream(stream, StreamEvent::Readable) if self.eager => {
                while read(work, *stream, usize::MAX) {}
            }
            _ => {}
        }
    }

    /// Does one thing. Whether it succeeds does not matter; that it returns does.
    pub fn act(&mut self, input: &mut Input<'_>, now: Instant, work: &mut Work<'_>) {
        let choice = input.below(24);
        let at = usize::from(input.byte());
        match choice {
            0 => {
                let uri = Uri::from_static("https://example.com/a");
                let mut head = RequestHead::new(Method::POST, uri);
                if at & 2 != 0 {
                    head.headers
                        .insert("content-length", HeaderValue::from_static("4"));
                }
                let end = if at & 1 == 0 { End::More } else { End::Fin };
                self.streams.extend(work.request(&head, end));
                return;
            }
            1 => {
                let request = ConnectRequest::new(Uri::from_static("https://example.com/wt"));
                if let Ok(session) = work.open_session(&request) {
                    self.ledger.opened(session);
                    self.sessions.push(session);
                }
                return;
            }
            2 if at == 0 => return work.drain(now + Duration::from_secs(input.byte().into())),
            2 if at == 1 => return work.close(Code::H3_NO_ERROR, "enough"),
            _ => {}
        }
        if let Some(session) = pick(&self.sessions, at) {
            let len = usize::from(input.byte());
            match choice {
                3 => drop(work.webtransport(session).accept(&ConnectAnswer::default())),
                4 if work
                    .webtransport(session)
                    .reject(StatusCode::NOT_FOUND)
                    .is_ok() =>
                {
                    self.ledger.rejected(session);
                }
                5 => drop(work.webtransport(session).close(len as u32, "reason")),
                6 => drop(work.webtransport(session).drain()),
                7 => self
                    .streams
                    .extend(work.webtransport(session).open_stream(Dir::Bi)),
                8 => self
                    .streams
                    .extend(work.webtransport(session).open_stream(Dir::Uni)),
                9 => drop(work.send_datagram(session, &vec![0; len * 8])),
                10 => drop(work.recv_datagram(session)),
                11 => {
                    let _ = (
                        work.webtransport(session).stats(),
                        work.max_datagram_size(session),
                    );
                }
                // A session's stream is not the application's to touch.
                12 => {
                    assert!(work.send(session.stream()).is_err() || self.over(session));
                }
                _ => {}
            }
        }
        let Some(stream) = pick(&self.streams, at) else {
            return;
        };
        match choice {
            13 => {
                let status = [200, 204, 404, 103, 100][input.below(5)];
                let status = StatusCode::from_u16(status).expect("a status");
                let end = if input.byte() & 1 == 0 {
                    End::More
                } else {
                    End::Fin
                };
                let _ = work.respond(stream, &ResponseHead::new(status), end);
            }
            14 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", HeaderValue::from_static("end"));
                let _ = work.trailers(stream, &trailers);
            }
            15 | 16 => drop(read(work, stream, usize::from(input.byte()))),
            17 | 18 => write(work, stream, input.chunk()),
            19 => drop(work.send(stream).map(|mut send| send.finish())),
            20 => drop(
                work.send(stream)
                    .map(|mut send| send.reset(u64::from(input.byte()))),
            ),
            21 => drop(
                work.recv(stream)
                    .map(|mut recv| recv.stop(u64::from(input.byte()))),
            ),
            22 => {
                let urgency = input.byte() % 8;
                let _ = work.set_priority(stream, Priority::new(urgency, at & 1 == 0));
                let _ = work
                    .send(stream)
                    .map(|mut send| send.set_send_order(i32::from(urgency)));
            }
            23 => {
                let _ = work.enable_datagrams(stream);
                let payload = input.chunk();
                let _ = work.send_datagram(stream, payload);
                let _ = work.send_datagram_in(stream, ContextId::from_u32(70), payload);
                let _ = work.datagrams_overflowed(stream);
                let _ = work.recv_datagram(stream);
            }
            _ => {}
        }
    }

    /// Ends everything this side knows of, without ending the connection.
    pub fn wind_down(&mut self, work: &mut Work<'_>) {
        for session in self.sessions.drain(..) {
            let _ = work.webtransport(session).close(0, "");
        }
        for stream in self.streams.drain(..) {
            let _ = work.send(stream).map(|mut send| send.reset(0));
            let _ = work.recv(stream).map(|mut recv| recv.stop(0));
        }
    }

    fn over(&self, session: SessionKey) -> bool {
        self.ledger.sessions.get(&session).copied().unwrap_or(true)
    }
}

fn pick<T: Copy>(things: &[T], at: usize) -> Option<T> {
    things.get(at % things.len().max(1)).copied()
}

fn write(work: &mut Work<'_>, stream: StreamKey, bytes: &[u8]) {
    let Ok(mut send) = work.send(stream) else {
        return;
    };
    let mut chunks = [Bytes::copy_from_slice(bytes)];
    if let Ok(taken) = send.write(&mut chunks) {
        assert_eq!(taken + chunks[0].len(), bytes.len());
    }
}

/// Reads once; whether there may be more at once.
fn read(work: &mut Work<'_>, stream: StreamKey, max: usize) -> bool {
    let Ok(mut recv) = work.recv(stream) else {
        return false;
    };
    let mut out = [const { Bytes::new() }; 3];
    let Ok(read) = recv.read(max, &mut out) else {
        return false;
    };
    assert!(read.chunks <= out.len() && read.bytes <= max);
    assert_eq!(
        out.iter().take(read.chunks).map(Bytes::len).sum::<usize>(),
        read.bytes
    );
    if read.state == ReadState::Finished {
        let again = work.recv(stream).map(|mut recv| recv.read(max, &mut out));
        assert!(
            !matches!(again, Ok(Ok(_))),
            "an end was told and then {again:?}"
        );
    }
    read.state == ReadState::Open && read.bytes > 0
}
