//! Row B29: a WebTransport session's handler as callbacks.

use std::time::Duration;

use aqueduct_core::behaviour::webtransport::{
    SessionAction, SessionActionError, SessionBehaviour, SessionContext, SessionResult,
    SessionRunner, Terminated,
};
use aqueduct_core::behaviour::{Actions, Config, Failure};
use aqueduct_core::error::{DatagramError, ResetError};
use aqueduct_core::event::Event;
use aqueduct_core::id::StreamId;
use aqueduct_core::testing::pair::{End, Options, Pair};
use aqueduct_core::webtransport::{
    ConnectAnswer, OpenStreamError, SessionClose, SessionError, SessionEvent,
};

use super::*;

/// A callback, as it was made.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Opened,
    StreamOpened(StreamKey, bool),
    Stream(StreamKey, Bytes),
    Fin(StreamKey, Bytes),
    Aborted(StreamKey, bool, Option<u32>),
    StreamClosed(StreamKey),
    Datagram(Bytes),
    Message(&'static str),
    Draining,
    Failed(SessionActionError),
    Terminated(Terminated),
}

type Act = Box<dyn FnMut(&Told) -> SessionResult>;

/// Writes down what it is told, and answers as a test says.
struct Handler {
    told: Vec<Told>,
    act: Act,
    /// It has a callback of its own for the last piece.
    fin: bool,
}

impl Handler {
    fn new(act: impl FnMut(&Told) -> SessionResult + 'static) -> Self {
        Self {
            told: Vec::new(),
            act: Box::new(act),
            fin: true,
        }
    }

    fn tell(&mut self, told: Told) -> SessionResult {
        self.told.push(told.clone());
        (self.act)(&told)
    }
}

fn quiet(_: &Told) -> SessionResult {
    Ok(Actions::new())
}

impl SessionBehaviour for Handler {
    type Message = &'static str;

    fn opened(&mut self, _: &SessionContext) -> SessionResult {
        self.tell(Told::Opened)
    }
    fn stream_opened(
        &mut self,
        _: &SessionContext,
        key: StreamKey,
        by_peer: bool,
    ) -> SessionResult {
        self.tell(Told::StreamOpened(key, by_peer))
    }
    fn stream(&mut self, _: &SessionContext, key: StreamKey, data: Bytes) -> SessionResult {
        self.tell(Told::Stream(key, data))
    }
    fn stream_fin(&mut self, cx: &SessionContext, key: StreamKey, data: Bytes) -> SessionResult {
        match self.fin {
            true => self.tell(Told::Fin(key, data)),
            false => Plain(self).stream_fin(cx, key, data),
        }
    }
    fn stream_aborted(
        &mut self,
        _: &SessionContext,
        key: StreamKey,
        sending: bool,
        code: aqueduct_core::error::PeerCode,
    ) -> SessionResult {
        self.tell(Told::Aborted(key, sending, code.app))
    }
    fn stream_closed(&mut self, _: &SessionContext, key: StreamKey) -> SessionResult {
        self.tell(Told::StreamClosed(key))
    }
    fn datagram(&mut self, _: &SessionContext, datagram: Bytes) -> SessionResult {
        self.tell(Told::Datagram(datagram))
    }
    fn message(&mut self, _: &SessionContext, said: &'static str) -> SessionResult {
        self.tell(Told::Message(said))
    }
    fn draining(&mut self, _: &SessionContext) -> SessionResult {
        self.tell(Told::Draining)
    }
    fn action_failed(&mut self, _: &SessionContext, why: SessionActionError) -> SessionResult {
        self.tell(Told::Failed(why))
    }
    fn terminate(&mut self, _: &SessionContext, how: &Terminated) {
        let _ = self.tell(Told::Terminated(how.clone()));
    }
}

/// The same, without a callback for the last piece.
struct Plain<'a>(&'a mut Handler);

impl SessionBehaviour for Plain<'_> {
    type Message = ();

    fn stream(&mut self, cx: &SessionContext, key: StreamKey, data: Bytes) -> SessionResult {
        self.0.stream(cx, key, data)
    }
}

/// A session, with a handler at each end.
struct Talk {
    pair: Pair,
    keys: [aqueduct_core::id::ConnKey; 2],
    client: SessionRunner<Handler>,
    server: SessionRunner<Handler>,
}

impl Talk {
    fn new(client: Handler, server: Handler) -> Self {
        let mut options = Options::default();
        options.client.webtransport.flow = None;
        options.server.webtransport.flow = None;
        let (mut pair, at_client, at_server) = Pair::connected(options);
        pair.drive();
        let asked = pair
            .client(at_client)
            .access()
            .open_session(&aqueduct_tests::wt::there());
        let asked = asked.expect("asks");
        pair.drive();
        let requested = pair
            .server
            .take(at_server)
            .into_iter()
            .find_map(|event| match event {
                Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key),
                _ => None,
            });
        let requested = requested.expect("arrives");
        let mut connection = pair.server(at_server);
        let mut access = connection.access();
        let accepted = access.webtransport(requested).accept(&ConnectAnswer::new());
        accepted.expect("accepts");
        let mut talk = Self {
            pair,
            keys: [at_client, at_server],
            client: SessionRunner::asked(asked, client, Config::new()),
            server: SessionRunner::accepted(requested, server, Config::new()),
        };
        talk.drive();
        talk
    }

    fn drive(&mut self) {
        for _ in 0..1000 {
            self.pair.drive();
            let now = self.pair.now;
            let [client, server] = self.keys;
            let ours = turn(&mut self.client, &mut self.pair.client, now, client);
            let theirs = turn(&mut self.server, &mut self.pair.server, now, server);
            if !ours && !theirs {
                return;
            }
        }
        panic!("it runs in circles");
    }

    fn say(&mut self, message: &'static str) {
        self.client.message(message);
        self.drive();
    }

    fn client_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.client.behaviour_mut().told)
    }

    fn server_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.server.behaviour_mut().told)
    }
}

fn turn(
    runner: &mut SessionRunner<Handler>,
    end: &mut End,
    now: std::time::Instant,
    key: aqueduct_core::id::ConnKey,
) -> bool {
    let events = end.take(key);
    let did = !events.is_empty() || runner.has_work();
    let Some(mut connection) = end.endpoint.connection(now, key) else {
        for event in events {
            runner.handle_gone(event);
        }
        runner.run(now);
        return did;
    };
    for event in events {
        runner.handle(&mut connection.access(), event);
    }
    while runner.has_work() {
        runner.run(now);
        runner.apply(&mut connection.access());
    }
    did
}

/// A handler that answers messages with these.
fn answering(answer: fn(&'static str) -> SessionResult) -> Handler {
    Handler::new(move |told| match told {
        Told::Message(said) => answer(said),
        _ => Ok(Actions::new()),
    })
}

fn open(_: &'static str) -> SessionResult {
    Ok(SessionAction::Open(Dir::Bi, bytes("hello")).into())
}

/// The stream that was opened, by what was told of it.
fn stream(told: &[Told]) -> StreamKey {
    let opened = told.iter().find_map(|told| match told {
        Told::StreamOpened(key, _) => Some(*key),
        _ => None,
    });
    opened.expect("opened")
}

#[test]
fn both_ends_hear_that_the_session_is_open() {
    let mut talk = Talk::new(Handler::new(quiet), Handler::new(quiet));
    assert_eq!(talk.client_told(), [Told::Opened]);
    assert_eq!(talk.server_told(), [Told::Opened]);
}

#[test]
fn a_stream_goes_there_and_back_and_ends() {
    let echo = Handler::new(|told| match told {
        Told::Stream(key, data) => Ok(SessionAction::Send(*key, data.clone()).into()),
        Told::Fin(key, data) => {
            let send = SessionAction::Send(*key, data.clone());
            Ok([send, SessionAction::Finish(*key)].into())
        }
        _ => Ok(Actions::new()),
    });
    let client = Handler::new(|told| match told {
        Told::Message(_) => open(""),
        Told::StreamOpened(key, _) => Ok(SessionAction::Finish(*key).into()),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(client, echo);
    talk.client_told();
    talk.server_told();
    talk.say("open");
    let told = talk.server_told();
    let key = stream(&told);
    let hello = bytes("hello");
    assert_eq!(
        told,
        [
            Told::StreamOpened(key, true),
            Told::Fin(key, hello.clone()),
            Told::StreamClosed(key),
        ]
    );
    let told = talk.client_told();
    let key = stream(&told);
    assert_eq!(told[2..], [Told::Fin(key, hello), Told::StreamClosed(key)]);
}

#[test]
fn the_last_piece_is_a_piece_to_who_leaves_it_out() {
    let mut server = Handler::new(quiet);
    server.fin = false;
    let client = Handler::new(|told| match told {
        Told::Message(_) => open(""),
        Told::StreamOpened(key, _) => Ok(SessionAction::Finish(*key).into()),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(client, server);
    talk.say("open");
    let told = talk.server_told();
    let key = stream(&told);
    let opened = Told::StreamOpened(key, true);
    let piece = Told::Stream(key, bytes("hello"));
    assert_eq!(told, [Told::Opened, opened, piece]);
}

#[test]
fn the_strongest_of_a_list_counts() {
    let client = answering(|_| {
        Ok([
            SessionAction::Drain,
            SessionAction::Close(7, "enough".into()),
            SessionAction::Stop,
            SessionAction::Datagram(bytes("last")),
        ]
        .into())
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.server_told();
    talk.say("end");
    let told = talk.server_told();
    assert!(!told.contains(&Told::Draining));
    let close = SessionClose::Closed {
        by: Side::Client,
        code: 7,
        reason: "enough".into(),
    };
    let how = Terminated::Closed(close);
    assert_eq!(told.last(), Some(&Told::Terminated(how.clone())));
    let told = talk.client_told();
    assert_eq!(told.last(), Some(&Told::Terminated(how)));
    assert!(talk.client.is_over() && talk.server.is_over());
}

#[test]
fn draining_is_told_and_the_session_goes_on() {
    let client = answering(|said| match said {
        "drain" => Ok(SessionAction::Drain.into()),
        _ => Ok(SessionAction::Datagram(bytes("still here")).into()),
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.server_told();
    talk.say("drain");
    talk.say("go on");
    let here = Told::Datagram(bytes("still here"));
    assert_eq!(talk.server_told(), [Told::Draining, here]);
}

#[test]
fn who_goes_on_after_a_failed_action_goes_on() {
    let too_large = |_| Ok(SessionAction::Datagram(vec![0; 100_000].into()).into());
    let mut talk = Talk::new(answering(too_large), Handler::new(quiet));
    talk.client_told();
    talk.say("send");
    let failed = SessionActionError::Datagram(DatagramError::TooLarge);
    assert_eq!(
        talk.client_told(),
        [Told::Message("send"), Told::Failed(failed)]
    );
    assert!(!talk.client.is_over());
}

#[test]
fn actions_that_fail_say_which_and_why() {
    let nobody = StreamKey::new(StreamId::from_wire(400).expect("an id"), 9);
    let mut mine = nobody;
    let client = Handler::new(move |told| {
        if let Told::StreamOpened(key, _) = told {
            mine = *key;
        }
        let Told::Message(said) = told else {
            return Ok(Actions::new());
        };
        Ok(match *said {
            "open" => SessionAction::Open(Dir::Bi, bytes("hello")).into(),
            "nobody" => SessionAction::Finish(nobody).into(),
            "too many" => [const { SessionAction::Open(Dir::Uni, Bytes::new()) }; 200].into(),
            "finish" => SessionAction::Finish(mine).into(),
            "reset" => SessionAction::Reset(mine, 5).into(),
            _ => SessionAction::Close(0, "x".repeat(2000)).into(),
        })
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.say("open");
    let key = stream(&talk.client_told());
    let mut failed = |said| {
        talk.say(said);
        let told = talk.client_told().into_iter();
        let errors = told.filter_map(|told| match told {
            Told::Failed(error) => Some(error),
            _ => None,
        });
        errors.collect::<Vec<_>>()
    };
    let gone = SessionActionError::NoSuchStream(nobody);
    assert_eq!(failed("nobody"), [gone]);
    assert_eq!(failed("finish"), []);
    let over = SessionActionError::Reset(key, ResetError::Gone);
    assert_eq!(failed("reset"), [over]);
    let blocked = failed("too many");
    let open = SessionActionError::Open(OpenStreamError::Blocked);
    assert_eq!(blocked.last(), Some(&open));
    let long = SessionActionError::Session(SessionError::ReasonTooLong);
    assert_eq!(failed("close"), [long]);
}

#[test]
fn what_waits_on_a_stream_is_bounded() {
    let client = Handler::new(|told| match told {
        Told::Message(_) => open(""),
        Told::StreamOpened(key, _) => {
            let much = SessionAction::Send(*key, vec![0; 4 << 20].into());
            Ok([much, SessionAction::Send(*key, bytes("more"))].into())
        }
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.say("open");
    let told = talk.client_told();
    let key = stream(&told);
    let queued = Told::Failed(SessionActionError::Queued(key));
    assert!(told.contains(&queued), "{told:?}");
}

#[test]
fn who_fails_after_a_failed_action_stops_the_session_alone() {
    let client = Handler::new(|told| match told {
        Told::Message(_) => Ok(SessionAction::Datagram(vec![0; 100_000].into()).into()),
        Told::Failed(_) => Err(Failure::new(9).reason("cannot")),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.say("send");
    let close = SessionClose::Closed {
        by: Side::Client,
        code: 9,
        reason: "cannot".into(),
    };
    let told = talk.server_told();
    assert_eq!(
        told.last(),
        Some(&Told::Terminated(Terminated::Closed(close)))
    );
    // The connection is there.
    let [client, _] = talk.keys;
    talk.pair.advance(Duration::from_secs(1));
    assert!(
        talk.pair
            .client
            .endpoint
            .connection(talk.pair.now, client)
            .is_some()
    );
}

#[test]
fn streams_end_before_their_session() {
    let client = answering(|said| match said {
        "open" => open(""),
        _ => Ok(SessionAction::Stop.into()),
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.say("open");
    let key = stream(&talk.server_told());
    talk.say("stop");
    let told = talk.server_told();
    // QUIC stops what this side would still send, with a code of WebTransport's own.
    let ends = [Told::Aborted(key, false, None), Told::StreamClosed(key)];
    assert_eq!(told[..2], ends);
    assert!(matches!(told[2..], [Told::Terminated(_)]), "{told:?}");
}

#[test]
fn codes_of_streams_reach_the_peer() {
    let client = Handler::new(|told| match told {
        Told::Message(_) => open(""),
        Told::StreamOpened(key, _) => {
            let (reset, stop) = (
                SessionAction::Reset(*key, 5),
                SessionAction::StopSending(*key, 6),
            );
            Ok([reset, stop].into())
        }
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(client, Handler::new(quiet));
    talk.say("open");
    let told = talk.server_told();
    let key = stream(&told);
    assert!(
        told.contains(&Told::Aborted(key, true, Some(5))),
        "{told:?}"
    );
    assert!(
        told.contains(&Told::Aborted(key, false, Some(6))),
        "{told:?}"
    );
    assert_eq!(told.last(), Some(&Told::StreamClosed(key)));
}

/// The connection goes while the server has not answered.
#[test]
fn a_session_that_was_asked_for_ends_with_its_connection() {
    let (mut pair, at_client, at_server) = Pair::connected(Options::default());
    pair.drive();
    let mut connection = pair.client(at_client);
    let asked = connection
        .access()
        .open_session(&aqueduct_tests::wt::there());
    let handler = Handler::new(|_| Ok(Actions::new()));
    let mut runner = SessionRunner::asked(asked.expect("asks"), handler, Config::new());
    pair.drive();
    let mut connection = pair.server(at_server);
    let no_error = aqueduct_core::code::Code::H3_NO_ERROR;
    connection.access().close(no_error, "bye");
    pair.drive();
    turn(&mut runner, &mut pair.client, pair.now, at_client);
    let told = std::mem::take(&mut runner.behaviour_mut().told);
    let closed = |how: &Terminated| matches!(how, Terminated::Closed(SessionClose::Connection(_)));
    assert!(
        matches!(&told[..], [Told::Terminated(how)] if closed(how)),
        "{told:?}"
    );
    assert!(runner.is_over());
}
