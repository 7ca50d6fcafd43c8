//! Tunnels as callbacks, at both ends.

use std::time::Duration;

use aqueduct_core::behaviour::tunnel::{
    TunnelAction, TunnelActionError, TunnelAnswer, TunnelBehaviour, TunnelContext, TunnelEnd,
    TunnelResult, TunnelRunner,
};
use aqueduct_core::behaviour::{Actions, Config, Failure};
use aqueduct_core::code::Code;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::masque::{
    AnswerTunnelError, Dialect, Refusal, TunnelClose, TunnelEvent, TunnelIoError, TunnelRequest,
    TunnelSendError, TunnelsConfig,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_tests::config;
use aqueduct_tests::tunnels::{TunnelPair, asking};
use http::StatusCode;

use super::*;

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// A callback, as it was made.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Requested(String),
    Established(Option<StatusCode>),
    Rejected(StatusCode),
    Payload(Bytes),
    Unblocked,
    Data(Bytes),
    End,
    Writable,
    Message(&'static str),
    Timeout,
    Continued,
    Draining,
    Failed(TunnelActionError),
    Closed(TunnelEnd),
}

/// Writes down what it is told, and answers as a test says.
struct Handler {
    told: Vec<Told>,
    answer: Result<TunnelAnswer, Failure>,
    act: Box<dyn FnMut(&Told) -> TunnelResult>,
}

impl Handler {
    fn new(act: impl FnMut(&Told) -> TunnelResult + 'static) -> Self {
        Self {
            told: Vec::new(),
            answer: Ok(TunnelAnswer::Accept(None)),
            act: Box::new(act),
        }
    }

    fn quiet() -> Self {
        Self::new(|_| Ok(Actions::new()))
    }

    /// Answers messages with these.
    fn answering(answer: fn(&'static str) -> TunnelResult) -> Self {
        Self::new(move |told| match told {
            Told::Message(said) => answer(said),
            _ => Ok(Actions::new()),
        })
    }

    /// Says this when it is asked for the tunnel.
    fn saying(mut self, answer: Result<TunnelAnswer, Failure>) -> Self {
        self.answer = answer;
        self
    }

    fn tell(&mut self, told: Told) -> TunnelResult {
        self.told.push(told.clone());
        (self.act)(&told)
    }
}

impl TunnelBehaviour for Handler {
    type Message = &'static str;

    fn requested(
        &mut self,
        _: &TunnelContext,
        request: &TunnelRequest,
    ) -> Result<TunnelAnswer, Failure> {
        self.told.push(Told::Requested(request.target.to_string()));
        self.answer.clone()
    }
    fn established(&mut self, _: &TunnelContext, head: Option<&ResponseHead>) -> TunnelResult {
        self.tell(Told::Established(head.map(|head| head.status)))
    }
    fn rejected(&mut self, _: &TunnelContext, head: &ResponseHead) {
        self.told.push(Told::Rejected(head.status));
    }
    fn payload(&mut self, _: &TunnelContext, payload: Bytes) -> TunnelResult {
        self.tell(Told::Payload(payload))
    }
    fn datagrams_unblocked(&mut self, _: &TunnelContext) -> TunnelResult {
        self.tell(Told::Unblocked)
    }
    fn data(&mut self, _: &TunnelContext, data: Bytes) -> TunnelResult {
        self.tell(Told::Data(data))
    }
    fn end(&mut self, _: &TunnelContext) -> TunnelResult {
        self.tell(Told::End)
    }
    fn writable(&mut self, cx: &TunnelContext) -> TunnelResult {
        assert_eq!(cx.queued, 0);
        self.tell(Told::Writable)
    }
    fn message(&mut self, _: &TunnelContext, said: &'static str) -> TunnelResult {
        self.tell(Told::Message(said))
    }
    fn timeout(&mut self, _: &TunnelContext) -> TunnelResult {
        self.tell(Told::Timeout)
    }
    fn continued(&mut self, _: &TunnelContext) -> TunnelResult {
        self.tell(Told::Continued)
    }
    fn draining(&mut self, _: &TunnelContext) -> TunnelResult {
        self.tell(Told::Draining)
    }
    fn action_failed(&mut self, _: &TunnelContext, why: TunnelActionError) -> TunnelResult {
        self.tell(Told::Failed(why))
    }
    fn closed(&mut self, _: &TunnelContext, how: &TunnelEnd) {
        self.told.push(Told::Closed(how.clone()));
    }
}

/// Leaves everything out.
struct Nothing;

impl TunnelBehaviour for Nothing {
    type Message = &'static str;
}

/// A tunnel with a behaviour at each end.
struct Talk<S: TunnelBehaviour = Handler> {
    pair: TunnelPair,
    client: TunnelRunner<Handler>,
    server: Option<TunnelRunner<S>>,
    /// Until somebody asks.
    waits: Option<S>,
}

impl<S: TunnelBehaviour<Message = &'static str>> Talk<S> {
    fn over(mut pair: TunnelPair, dialect: Dialect, client: Handler, server: S) -> Self {
        let key = pair.open(&asking(dialect));
        let mut talk = Self {
            pair,
            client: TunnelRunner::new(key, client, Config::new()),
            server: None,
            waits: Some(server),
        };
        talk.drive();
        talk
    }

    fn new(dialect: Dialect, client: Handler, server: S) -> Self {
        Self::over(
            TunnelPair::connected(Knobs::default()),
            dialect,
            client,
            server,
        )
    }

    fn drive(&mut self) {
        for _ in 0..1000 {
            self.pair.drive();
            let client = turn(&mut self.pair, Side::Client, &mut self.client);
            let asked = |(_, event): &(_, TunnelEvent)| matches!(event, TunnelEvent::Requested(_));
            let told = self.pair.all_told(Side::Server);
            if let Some((key, _)) = told.iter().find(|told| asked(told)) {
                let server = self.waits.take().expect("one is asked for");
                self.server = Some(TunnelRunner::new(*key, server, Config::new()));
            }
            let Some(server) = &mut self.server else {
                assert!(told.is_empty());
                return;
            };
            let heard = hear(&mut self.pair, Side::Server, server, told);
            if !(client | heard | work(&mut self.pair, Side::Server, server)) {
                return;
            }
        }
        panic!("it runs in circles");
    }

    fn advance(&mut self, by: Duration) {
        let until = self.pair.pair.now() + by;
        let due = |talk: &Self| {
            let server = talk.server.as_ref().and_then(TunnelRunner::poll_timeout);
            let all = talk.client.poll_timeout().into_iter().chain(server);
            all.map(|due| due.at).min().filter(|at| *at <= until)
        };
        while let Some(at) = due(self) {
            self.pair.advance(at - self.pair.pair.now());
            let now = self.pair.pair.now();
            self.client.run(now);
            if let Some(server) = &mut self.server {
                server.run(now);
            }
            self.drive();
        }
        self.pair.advance(until - self.pair.pair.now());
        self.drive();
    }

    fn say(&mut self, message: &'static str) {
        self.client.message(message);
        self.drive();
    }

    fn client_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.client.behaviour_mut().told)
    }

    /// Nothing of the tunnel is left, and the connection is there.
    fn is_over(&mut self) {
        for side in SIDES {
            assert!(self.pair.tunnels(side).is_empty(), "{}", self.pair.story());
            assert_eq!(self.pair.others(side), []);
        }
        assert!(self.client.is_over());
        assert!(self.server.as_ref().is_some_and(TunnelRunner::is_over));
    }
}

impl Talk {
    fn server(&mut self) -> &mut TunnelRunner<Handler> {
        self.server.as_mut().expect("was asked")
    }

    fn server_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.server().behaviour_mut().told)
    }

    /// Forgets how it began.
    fn begun(mut self) -> Self {
        self.client_told();
        self.server_told();
        self
    }
}

fn hear<B: TunnelBehaviour>(
    pair: &mut TunnelPair,
    side: Side,
    runner: &mut TunnelRunner<B>,
    told: Vec<(aqueduct_core::masque::TunnelKey, TunnelEvent)>,
) -> bool {
    let did = !told.is_empty();
    for event in told {
        let other = pair.with(side, |tunnels, access, now| {
            runner.handle(tunnels, access, now, event)
        });
        assert_eq!(other, None);
    }
    did
}

fn work<B: TunnelBehaviour>(
    pair: &mut TunnelPair,
    side: Side,
    runner: &mut TunnelRunner<B>,
) -> bool {
    let did = runner.has_work();
    while runner.has_work() {
        runner.run(pair.pair.now());
        pair.with(side, |tunnels, access, now| {
            runner.apply(tunnels, access, now);
        });
    }
    did
}

fn turn<B: TunnelBehaviour>(
    pair: &mut TunnelPair,
    side: Side,
    runner: &mut TunnelRunner<B>,
) -> bool {
    let told = pair.all_told(side);
    hear(pair, side, runner, told) | work(pair, side, runner)
}

fn send(data: &'static str) -> TunnelAction {
    TunnelAction::Send(bytes(data))
}

fn closed(why: TunnelClose) -> Told {
    Told::Closed(TunnelEnd::Closed(why))
}

/// Streams that take little at once.
fn narrow() -> Knobs {
    Knobs {
        stream_window: 1024,
        send_buffer: 1024,
        ..Knobs::default()
    }
}

/// A pair on which payloads go in capsules, in the order of the stream.
fn without_datagrams(knobs: Knobs) -> TunnelPair {
    let off = config(|config| config.datagrams = false);
    let mut pair = LoopbackPair::new(off, config(|_| {}), knobs);
    pair.connect();
    TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default())
}

const OPEN: Told = Told::Established(Some(StatusCode::OK));

// ---- how it begins ---------------------------------------------------------------------

#[test]
fn who_is_asked_accepts_and_both_hear_that_it_is_open() {
    for dialect in [Dialect::Udp, Dialect::Tcp12, Dialect::Classic] {
        let mut talk = Talk::new(dialect, Handler::quiet(), Handler::quiet());
        let requested = Told::Requested("target.example:443".into());
        assert_eq!(talk.server_told(), [requested, Told::Established(None)]);
        assert_eq!(talk.client_told(), [OPEN], "{dialect:?}");
    }
}

#[test]
fn who_refuses_says_why_and_both_hear_the_end() {
    let refusal = Refusal::ResolutionTimeout;
    let refusing = Handler::quiet().saying(Ok(TunnelAnswer::Refuse(refusal.clone())));
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), refusing);
    let status = refusal.status();
    let ended = Told::Closed(TunnelEnd::Rejected(status));
    assert_eq!(talk.client_told(), [Told::Rejected(status), ended]);
    let refused = Told::Closed(TunnelEnd::Refused(refusal));
    assert_eq!(talk.server_told()[1..], [refused]);
    talk.is_over();
}

#[test]
fn who_leaves_it_out_refuses() {
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), Nothing);
    let rejected = Told::Rejected(StatusCode::FORBIDDEN);
    assert_eq!(talk.client_told()[..1], [rejected]);
    talk.is_over();
}

#[test]
fn the_answer_may_come_later() {
    for (answer, told) in [
        ("yes", OPEN),
        ("no", Told::Rejected(Refusal::Unroutable.status())),
    ] {
        let server = Handler::answering(|said| match said {
            "yes" => Ok(TunnelAction::Accept(None).into()),
            _ => Ok(TunnelAction::Refuse(Refusal::Unroutable).into()),
        });
        let server = server.saying(Ok(TunnelAnswer::Later));
        let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), server);
        talk.advance(Duration::from_secs(20));
        assert_eq!(talk.client_told(), []);
        talk.server().message(answer);
        talk.drive();
        assert_eq!(talk.client_told()[..1], [told]);
    }
}

#[test]
fn an_answer_is_given_once() {
    let again = Handler::answering(|_| Ok(TunnelAction::Accept(None).into()));
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), again).begun();
    talk.server().message("again");
    talk.drive();
    let answered = TunnelActionError::Answer(AnswerTunnelError::Answered);
    let told = [Told::Message("again"), Told::Failed(answered)];
    assert_eq!(talk.server_told(), told);
}

#[test]
fn who_never_answers_hears_that_it_is_too_late() {
    let server = Handler::quiet().saying(Ok(TunnelAnswer::Later));
    let ten = Duration::from_secs(10);
    let pair = TunnelPair::serving(|config| config.start_timeout = ten);
    let mut talk = Talk::over(pair, Dialect::Udp, Handler::quiet(), server);
    talk.advance(ten);
    let late = closed(TunnelClose::StartTimedOut);
    assert_eq!(talk.server_told()[1..], [late]);
    talk.is_over();
}

#[test]
fn who_fails_when_asked_refuses() {
    let server = Handler::quiet().saying(Err(Failure::new(7)));
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), server);
    let told = talk.client_told();
    assert_eq!(told[..1], [Told::Rejected(Refusal::Internal.status())]);
    let refused = TunnelEnd::Refused(Refusal::Internal);
    assert_eq!(talk.server_told()[1..], [Told::Closed(refused)]);
    talk.is_over();
}

// ---- what goes through -----------------------------------------------------------------

/// Sends back what comes, and the end.
fn echo() -> Handler {
    Handler::new(|told| match told {
        Told::Payload(data) | Told::Data(data) => Ok(TunnelAction::Send(data.clone()).into()),
        Told::End => Ok(TunnelAction::Finish.into()),
        _ => Ok(Actions::new()),
    })
}

#[test]
fn payloads_go_there_and_back() {
    let client = Handler::answering(|_| Ok([send("one"), send(""), send("two")].into()));
    let mut talk = Talk::new(Dialect::Udp, client, echo()).begun();
    talk.say("send");
    let payloads = ["one", "", "two"].map(|data| Told::Payload(bytes(data)));
    assert_eq!(talk.server_told(), payloads);
    assert_eq!(talk.client_told()[1..], payloads);
}

#[test]
fn bytes_go_there_and_back_with_their_ends_and_that_is_the_end() {
    for dialect in [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic] {
        let client = Handler::answering(|_| Ok([send("hello"), TunnelAction::Finish].into()));
        let mut talk = Talk::new(dialect, client, echo()).begun();
        talk.say("send");
        let all = [
            Told::Data(bytes("hello")),
            Told::End,
            closed(TunnelClose::Finished),
        ];
        assert_eq!(talk.server_told(), all, "{dialect:?}");
        assert_eq!(talk.client_told()[1..], all, "{dialect:?}");
        talk.is_over();
    }
}

#[test]
fn more_payloads_than_are_taken_at_once_all_come() {
    let many = 3 * Config::new().datagrams;
    let client = Handler::new(move |told| match told {
        Told::Message(_) => Ok((0..many).map(|_| send("x")).collect()),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("send");
    assert_eq!(talk.server_told().len(), many);
}

#[test]
fn payloads_before_the_peers_end_are_told_before_closed() {
    let client = Handler::answering(|_| Ok([send("last"), TunnelAction::Close].into()));
    let pair = without_datagrams(Knobs::default());
    let mut talk = Talk::over(pair, Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("close");
    let last = Told::Payload(bytes("last"));
    assert_eq!(talk.server_told(), [last, closed(TunnelClose::Finished)]);
    assert_eq!(talk.client_told()[1..], [closed(TunnelClose::Local)]);
    talk.is_over();
}

#[test]
fn bytes_of_a_server_wait_for_its_answer() {
    let server = Handler::answering(|said| match said {
        "early" => Ok([send("early"), TunnelAction::Finish].into()),
        _ => Ok(TunnelAction::Accept(None).into()),
    });
    let server = server.saying(Ok(TunnelAnswer::Later));
    let mut talk = Talk::new(Dialect::Tcp12, Handler::quiet(), server).begun();
    talk.server().message("early");
    talk.drive();
    assert_eq!(talk.client_told(), []);
    talk.server().message("accept");
    talk.drive();
    let all = [OPEN, Told::Data(bytes("early")), Told::End];
    assert_eq!(talk.client_told(), all);
}

#[test]
fn who_had_to_wait_hears_when_there_is_room_for_bytes() {
    let large = |_| Ok(TunnelAction::Send(vec![7; 100_000].into()).into());
    let pair = TunnelPair::connected(narrow());
    let client = Handler::answering(large);
    let mut talk = Talk::over(pair, Dialect::Tcp12, client, Handler::quiet()).begun();
    talk.say("send");
    assert_eq!(talk.client_told(), [Told::Message("send"), Told::Writable]);
    let came = talk.server_told().into_iter().map(|told| match told {
        Told::Data(data) => data.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(came.sum::<usize>(), 100_000);
}

#[test]
fn more_bytes_than_may_wait_are_not_taken() {
    let server = Handler::new(|told| match told {
        Told::Message(_) => Ok([
            TunnelAction::Send(vec![7; 1 << 20].into()),
            send("too much"),
            TunnelAction::Accept(None),
        ]
        .into()),
        _ => Ok(Actions::new()),
    });
    let server = server.saying(Ok(TunnelAnswer::Later));
    let mut talk = Talk::new(Dialect::Tcp12, Handler::quiet(), server).begun();
    talk.server().message("send");
    talk.drive();
    let failed = Told::Failed(TunnelActionError::Queued);
    assert!(talk.server_told().contains(&failed));
    let came = talk.client_told().into_iter().map(|told| match told {
        Told::Data(data) => data.len(),
        _ => 0,
    });
    assert_eq!(came.sum::<usize>(), 1 << 20);
}

#[test]
fn a_payload_without_room_fails_and_room_is_told() {
    let pair = without_datagrams(narrow());
    let client = Handler::answering(|_| {
        let large = || TunnelAction::Send(vec![7; 5000].into());
        Ok([large(), large(), large()].into())
    });
    let mut talk = Talk::over(pair, Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("send");
    let failed = Told::Failed(TunnelActionError::Send(TunnelSendError::Blocked));
    assert_eq!(
        talk.client_told(),
        [Told::Message("send"), failed, Told::Unblocked]
    );
    assert_eq!(talk.server_told().len(), 2);
}

// ---- how it ends -----------------------------------------------------------------------

#[test]
fn stop_says_its_code() {
    for dialect in [Dialect::Udp, Dialect::Tcp12] {
        let client = Handler::answering(|_| Ok(TunnelAction::Stop(0x1234).into()));
        let mut talk = Talk::new(dialect, client, Handler::quiet()).begun();
        talk.say("stop");
        let reset = TunnelClose::Reset(Code::new(0x1234));
        assert_eq!(talk.server_told(), [closed(reset)], "{dialect:?}");
        assert_eq!(talk.client_told()[1..], [closed(TunnelClose::Local)]);
        talk.is_over();
    }
}

#[test]
fn a_code_of_none_is_the_one_that_is_meant_for_it() {
    for (dialect, code) in [
        (Dialect::Udp, Code::H3_INTERNAL_ERROR),
        (Dialect::Tcp12, Code::H3_CONNECT_ERROR),
    ] {
        let client = Handler::answering(|_| Ok(TunnelAction::Stop(0).into()));
        let mut talk = Talk::new(dialect, client, Handler::quiet()).begun();
        talk.say("stop");
        assert_eq!(talk.server_told(), [closed(TunnelClose::Reset(code))]);
    }
}

#[test]
fn a_failure_ends_the_tunnel_and_nothing_else() {
    let server = Handler::new(|told| match told {
        Told::Payload(_) => Err(Failure::new(u64::MAX)),
        _ => Ok(Actions::new()),
    });
    let client = Handler::answering(|_| Ok(send("x").into()));
    let mut talk = Talk::new(Dialect::Udp, client, server).begun();
    let other = talk.pair.open(&asking(Dialect::Udp));
    let (there, _) = talk.pair.requested().expect("is asked for");
    talk.pair.accept(there);
    talk.pair.drive();
    talk.pair.all_told(Side::Client);
    talk.say("send");
    let largest = TunnelClose::Reset(Code::new((1 << 62) - 1));
    assert_eq!(talk.client_told()[1..], [closed(largest)]);
    let last = talk.server_told().pop();
    assert_eq!(last, Some(closed(TunnelClose::Local)));
    assert_eq!(talk.pair.send(Side::Client, other, b"on"), Ok(()));
}

#[test]
fn the_strongest_of_a_list_counts() {
    let client = Handler::answering(|said| {
        let (stop, drain) = (
            TunnelAction::Stop(0x1234),
            TunnelAction::Drain(Duration::MAX),
        );
        match said {
            "stop" => Ok([TunnelAction::Continue, drain, stop, send("first")].into()),
            _ => Ok([TunnelAction::Continue, drain].into()),
        }
    });
    let mut talk = Talk::new(Dialect::Tcp12, client, Handler::quiet()).begun();
    talk.say("drain");
    assert_eq!(talk.client_told(), [Told::Message("drain")]);
    assert_eq!(talk.server_told(), [Told::End]);
    talk.say("stop");
    let failed = Told::Failed(TunnelActionError::Io(TunnelIoError::Finished));
    let ends = [failed, closed(TunnelClose::Local)];
    assert_eq!(talk.client_told()[1..], ends);
    talk.is_over();
}

#[test]
fn what_is_sent_in_the_list_that_ends_it_is_sent() {
    let client = Handler::answering(|_| Ok([TunnelAction::Close, send("last")].into()));
    let pair = without_datagrams(Knobs::default());
    let mut talk = Talk::over(pair, Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("close");
    assert_eq!(talk.server_told()[0], Told::Payload(bytes("last")));
}

#[test]
fn who_goes_on_is_called_behind_what_is_due() {
    let client = Handler::answering(|said| match said {
        "go on" => Ok(TunnelAction::Continue.into()),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    talk.client.message("go on");
    talk.say("due");
    let due = [Told::Message("go on"), Told::Message("due")];
    let told = talk.client_told();
    assert_eq!(told[..2], due);
    assert_eq!(told[2..], [Told::Continued]);
}

#[test]
fn a_drained_udp_tunnel_hears_on_and_is_closed_in_order() {
    let client = Handler::answering(|said| match said {
        "drain" => Ok(TunnelAction::Drain(Duration::from_secs(5)).into()),
        _ => Ok(send("late").into()),
    });
    let server = Handler::answering(|_| Ok(send("still heard").into()));
    let mut talk = Talk::new(Dialect::Udp, client, server).begun();
    talk.say("drain");
    talk.say("send");
    talk.server().message("send");
    talk.advance(Duration::from_millis(4_999));
    let failed = Told::Failed(TunnelActionError::Send(TunnelSendError::Gone));
    let heard = Told::Payload(bytes("still heard"));
    assert_eq!(talk.client_told()[2..], [failed, heard]);
    talk.server_told();
    talk.advance(Duration::from_millis(1));
    assert_eq!(talk.server_told(), [closed(TunnelClose::Finished)]);
    assert_eq!(talk.client_told(), [closed(TunnelClose::Local)]);
    talk.is_over();
}

#[test]
fn a_drained_tcp_tunnel_ends_when_the_peer_has_ended_as_well() {
    let client = Handler::answering(|_| {
        let drain = TunnelAction::Drain(Duration::from_secs(5));
        Ok([drain, send("before")].into())
    });
    let mut talk = Talk::new(Dialect::Tcp12, client, echo()).begun();
    talk.say("drain");
    let all = [
        Told::Data(bytes("before")),
        Told::End,
        closed(TunnelClose::Finished),
    ];
    assert_eq!(talk.client_told()[1..], all);
    assert_eq!(talk.server_told(), all);
    talk.advance(Duration::from_secs(6));
    assert_eq!(talk.client_told(), []);
}

#[test]
fn the_end_of_the_connection_is_told_once() {
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), Handler::quiet()).begun();
    let failure = aqueduct_core::error::TransportFailure::TimedOut;
    talk.pair.pair.fail(&failure);
    talk.drive();
    for told in [talk.client_told(), talk.server_told()] {
        let how = &told[..];
        let ended = matches!(
            how,
            [Told::Closed(TunnelEnd::Closed(TunnelClose::Connection(_)))]
        );
        assert!(ended, "{told:?}");
    }
}

#[test]
fn who_stops_is_told_of_nothing_that_had_come() {
    let server = Handler::new(|told| match told {
        Told::Payload(_) => Ok(TunnelAction::Stop(0).into()),
        _ => Ok(Actions::new()),
    });
    let client = Handler::answering(|_| Ok([send("one"), send("two")].into()));
    let mut talk = Talk::new(Dialect::Udp, client, server).begun();
    talk.say("send");
    let one = Told::Payload(bytes("one"));
    assert_eq!(talk.server_told(), [one, closed(TunnelClose::Local)]);
}

#[test]
fn who_ends_first_has_ended_it() {
    let client = Handler::answering(|_| Ok(TunnelAction::Close.into()));
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    let there = talk.server().tunnel();
    let (client, now) = (&mut talk.client, talk.pair.pair.now());
    client.message("close");
    client.run(now);
    let sent = talk.pair.send(Side::Server, there, b"late");
    sent.expect("room");
    talk.pair.drive();
    let told = talk.pair.all_told(Side::Client);
    assert!(hear(&mut talk.pair, Side::Client, client, told));
    talk.pair.with(Side::Client, |tunnels, access, now| {
        client.apply(tunnels, access, now);
        // Was on its way to the runner.
        let late = TunnelEvent::Closed(TunnelClose::Idle);
        client.handle(tunnels, access, now, (client.tunnel(), late))
    });
    talk.drive();
    assert_eq!(talk.client_told()[1..], [closed(TunnelClose::Local)]);
}

// ---- what else is told -----------------------------------------------------------------

#[test]
fn a_connection_that_winds_down_is_told_and_the_tunnel_goes_on() {
    let client = Handler::answering(|_| Ok(send("still here").into()));
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    let until = talk.pair.pair.now() + Duration::from_secs(60);
    talk.pair.pair.server().drain(until);
    talk.drive();
    talk.say("go on");
    assert_eq!(talk.client_told()[0], Told::Draining);
    let here = Told::Payload(bytes("still here"));
    assert_eq!(talk.server_told().last(), Some(&here));
}

#[test]
fn there_is_one_time_to_wake() {
    let client = Handler::answering(|said| match said {
        "wake" => {
            let [late, soon] = [9, 2].map(Duration::from_secs);
            Ok([TunnelAction::WakeAfter(late), TunnelAction::WakeAfter(soon)].into())
        }
        _ => Ok(TunnelAction::Sleep.into()),
    });
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("wake");
    talk.advance(Duration::from_secs(2));
    assert_eq!(talk.client_told(), [Told::Message("wake"), Told::Timeout]);
    talk.say("wake");
    talk.say("sleep");
    talk.advance(Duration::from_secs(10));
    assert!(!talk.client_told().contains(&Told::Timeout));
}

#[test]
fn an_alarm_that_is_always_due_keeps_nothing_up() {
    let client = Handler::new(|_| Ok(TunnelAction::WakeAfter(Duration::ZERO).into()));
    let mut talk = Talk::new(Dialect::Udp, Handler::quiet(), Handler::quiet()).begun();
    let mut config = Config::new();
    config.callbacks = 1;
    talk.client = TunnelRunner::new(talk.client.tunnel(), client, config);
    for said in ["one", "two", "three"] {
        talk.client.message(said);
    }
    (0..3).for_each(|_| talk.client.run(talk.pair.pair.now()));
    assert!(talk.client_told().contains(&Told::Message("three")));
}

#[test]
fn who_fails_after_a_failed_action_ends_the_tunnel() {
    let client = Handler::new(|told| match told {
        Told::Message(_) => Ok(TunnelAction::Send(vec![0; 70_000].into()).into()),
        Told::Failed(_) => Err(Failure::new(0x99)),
        _ => Ok(Actions::new()),
    });
    let mut talk = Talk::new(Dialect::Udp, client, Handler::quiet()).begun();
    talk.say("send");
    let failed = Told::Failed(TunnelActionError::Send(TunnelSendError::TooLarge));
    assert_eq!(
        talk.client_told()[1..],
        [failed, closed(TunnelClose::Local)]
    );
    let reset = TunnelClose::Reset(Code::new(0x99));
    assert_eq!(talk.server_told(), [closed(reset)]);
}
