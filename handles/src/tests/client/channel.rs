//! Row D16: requests whose datagrams are the point.

use aqueduct_core::error::CloseReason;
use aqueduct_core::head::Protocol;

use super::*;
use crate::client::{Channel, ChannelEvent};
use crate::error::DatagramError;

fn connect() -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(URI);
    let request = request.extension(Protocol::new("echo")).body(());
    request.expect("valid")
}

/// Datagrams go both ways, those before the answer too, and to no other request.
#[test]
fn datagrams_are_those_of_their_request() {
    let mut lab = Lab::new();
    let open = |lab: &Lab| {
        let client = lab.client.clone();
        lab.spawn(async move { client.open(connect()).await })
    };
    let (first, second) = (open(&lab), open(&lab));
    let theirs = lab.accept();
    let ours = [lab.finish(&first), lab.finish(&second)];
    let [first, second] = ours.map(|open| open.expect("is sent"));
    let channels = [first.stream.datagrams(), second.stream.datagrams()];
    for (channel, text) in channels.iter().zip(["one", "two"]) {
        channel
            .send(text.as_bytes())
            .expect("room, before the answer");
    }
    for _ in 0..2 {
        let (_, mut server) = lab.request(&theirs);
        let datagrams = server.datagrams();
        let echo = lab.run(datagrams.recv()).expect("open");
        server
            .send_response(Response::new(()))
            .expect("not sent yet");
        lab.run(datagrams.send_wait(&echo)).expect("open");
        // The stream ends with its handle.
        std::mem::forget(server);
    }
    for (channel, text) in channels.iter().zip(["one", "two"]) {
        let echo = lab.run(channel.recv()).expect("open");
        assert_eq!(echo, text, "no cross-talk");
    }
    assert_eq!(lab.active(), 2);
    drop(first);
    assert_eq!(lab.active(), 1, "at once");
    lab.settle();
    assert_eq!(channels[0].send(b"late"), Err(DatagramError::Closed));
    theirs.close(Code::H3_INTERNAL_ERROR, "");
    lab.settle();
    let error = lab
        .run(channels[1].recv())
        .expect_err("the connection is over");
    assert!(matches!(error, ReadError::Connection(_)), "{error:?}");
    drop(second);
}

fn request(method: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(URI);
    request.body(()).expect("valid")
}

fn open(lab: &Lab, request: Request<()>) -> Later<Result<Channel, Error>> {
    let client = lab.client.clone();
    lab.spawn(async move { client.open_channel(request).await })
}

/// A channel and its server's end, of a connection that may be there.
fn opened(lab: &mut Lab, theirs: &mut Option<Connection>) -> (Channel, ServerRequest) {
    let later = open(lab, request("GET"));
    let theirs = theirs.get_or_insert_with(|| lab.accept());
    let (_, server) = lab.request(theirs);
    (lab.finish(&later).expect("is sent"), server)
}

/// What comes next, in short.
fn next(lab: &mut Lab, channel: &mut Channel) -> String {
    match lab.run(channel.event()) {
        Some(ChannelEvent::Response(head)) => format!("response {}", head.status()),
        Some(ChannelEvent::Datagram(payload)) => format!("datagram {payload:?}"),
        Some(ChannelEvent::Data(data)) => format!("data {data:?}"),
        Some(ChannelEvent::Trailers(fields)) => format!("trailers {}", fields.len()),
        Some(ChannelEvent::Ended) => "ended".into(),
        Some(ChannelEvent::Failed(error)) => format!("{error:?}"),
        None => "nothing".into(),
    }
}

/// All that happens is told, in its order, datagrams before the answer among it.
#[test]
fn a_channel_tells_what_comes() {
    let mut lab = Lab::new();
    let (mut ours, mut server) = opened(&mut lab, &mut None);
    let channel = server.datagrams();
    ours.send(b"ping").expect("room");
    assert_eq!(lab.run(channel.recv()).expect("open"), "ping");
    channel.send(b"early").expect("room");
    assert_eq!(next(&mut lab, &mut ours), r#"datagram b"early""#);
    server
        .send_response(Response::new(()))
        .expect("not sent yet");
    assert_eq!(next(&mut lab, &mut ours), "response 200 OK");
    lab.run(ours.send_data("up".into())).expect("is taken");
    assert_eq!(
        lab.run(server.recv_data()).expect("open"),
        Some("up".into())
    );
    lab.run(server.send_data("down".into())).expect("is taken");
    channel.send(b"late").expect("room");
    channel.send(b"later").expect("room");
    lab.settle();
    // Neither waits until there is none of the other.
    assert_eq!(next(&mut lab, &mut ours), r#"datagram b"late""#);
    assert_eq!(next(&mut lab, &mut ours), r#"data b"down""#);
    assert_eq!(next(&mut lab, &mut ours), r#"datagram b"later""#);
    channel.send(b"last").expect("room");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("sum", http::HeaderValue::from_static("1"));
    server.send.send_trailers(&trailers).expect("open");
    lab.settle();
    assert_eq!(next(&mut lab, &mut ours), "trailers 1");
    assert_eq!(next(&mut lab, &mut ours), r#"datagram b"last""#);
    assert_eq!(next(&mut lab, &mut ours), "ended");
    assert_eq!(next(&mut lab, &mut ours), "nothing");
    // This side ends its own half when it likes.
    ours.send(b"more").expect("room");
    ours.finish().expect("open");
    assert_eq!(ours.send(b"late"), Err(DatagramError::Closed));
    drop(ours);
    assert_eq!(lab.active(), 0);
}

/// Datagrams that have come are told before the end of their request.
#[test]
fn what_came_before_the_end_is_told_before_it() {
    let mut lab = Lab::new();
    let (mut ours, mut server) = opened(&mut lab, &mut None);
    let channel = server.datagrams();
    for _ in 0..3 {
        channel.send(b"x").expect("room");
    }
    reply(&mut server);
    lab.settle();
    let told: Vec<_> = (0..5).map(|_| next(&mut lab, &mut ours)).collect();
    let datagrams = told.iter().filter(|told| told.starts_with("datagram"));
    assert_eq!(datagrams.count(), 3, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("ended"));
}

/// Whoever has enough halts: the server is told, the place is free, and nobody else knows.
#[test]
fn a_channel_that_is_dropped_is_cancelled() {
    let mut lab = Lab::new();
    let mut theirs = None;
    let (ours, mut server) = opened(&mut lab, &mut theirs);
    let (mut other, beside) = opened(&mut lab, &mut theirs);
    let channel = server.datagrams();
    drop(ours);
    assert_eq!(lab.active(), 1, "at once");
    // What is under way to it meanwhile goes nowhere.
    channel.send(b"crossing").expect("room");
    let code = lab.run(server.send.stopped()).expect("is told");
    let reset = lab.run(server.recv_data()).expect_err("is told");
    let ReadError::Reset(reset) = reset else {
        panic!("{reset:?}");
    };
    let cancelled = Code::H3_REQUEST_CANCELLED;
    assert_eq!(code.expect("is told").wire, cancelled);
    assert_eq!(reset.wire, cancelled);
    beside.datagrams().send(b"theirs").expect("room");
    assert_eq!(next(&mut lab, &mut other), r#"datagram b"theirs""#);
}

/// Each end of a request and of its connection has its reason.
#[test]
fn a_channel_tells_why_it_is_over() {
    let mut lab = Lab::new();
    let mut theirs = None;
    let (mut reset, mut server) = opened(&mut lab, &mut theirs);
    let (mut other, beside) = opened(&mut lab, &mut theirs);
    server.send.reset(Code::H3_INTERNAL_ERROR).expect("open");
    server.recv.stop(Code::H3_INTERNAL_ERROR).expect("open");
    let told = lab.run(reset.event());
    let Some(ChannelEvent::Failed(ReadError::Reset(code))) = told else {
        panic!("{told:?}");
    };
    assert_eq!(code.wire, Code::H3_INTERNAL_ERROR);
    assert_eq!(next(&mut lab, &mut reset), "nothing");
    assert_eq!(reset.send(b"late"), Err(DatagramError::Closed));

    // The server goes away: what it has begun goes on, what it has not seen is told so.
    let theirs = theirs.expect("is there");
    theirs.drain(Duration::from_secs(20));
    let (worker, wire) = &mut lab.net.ends[1];
    worker.turn(now(), wire).expect("no errors here");
    let crossing = open(&lab, request("GET"));
    lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
    let mut crossing = lab.finish(&crossing).expect("is sent");
    assert_eq!(next(&mut lab, &mut crossing), "Unprocessed");
    assert_eq!(crossing.send(b"late"), Err(DatagramError::Closed));
    beside.datagrams().send(b"on").expect("room");
    assert_eq!(next(&mut lab, &mut other), r#"datagram b"on""#);
    other.send(b"and on").expect("room");

    theirs.close(Code::H3_EXCESSIVE_LOAD, "enough");
    let told = lab.run(other.event());
    let Some(ChannelEvent::Failed(ReadError::Connection(reason))) = told else {
        panic!("{told:?}");
    };
    let expected = CloseReason::Remote {
        code: Code::H3_EXCESSIVE_LOAD,
        reason: "enough".into(),
    };
    assert_eq!(reason, expected);
    assert_eq!(other.send(b"late"), Err(DatagramError::Connection(reason)));
    lab.settle();
    assert_eq!(lab.client.stats().cut_off, 3, "each had its stream");
    drop((reset, crossing, other));
    lab.settle();
    assert_eq!(lab.active(), 0);
}

/// Without datagrams there is no channel, and the server hears of none.
#[test]
fn a_server_without_datagrams_is_asked_for_nothing() {
    let mut http = Config::default();
    http.datagrams = false;
    freeze();
    let mut lab = Lab::on(Net::with(http), builder());
    let later = open(&lab, request("GET"));
    let theirs = lab.accept();
    let error = lab.finish(&later).expect_err("no datagrams");
    assert!(matches!(error, Error::DatagramsDisabled), "{error:?}");
    assert!(error.is_unprocessed() && !error.is_retryable());
    assert_eq!(lab.active(), 0);
    let asked = lab.get();
    let (_, mut server) = lab.request(&theirs);
    assert_eq!(server.id().to_string(), "0", "nothing was sent before");
    reply(&mut server);
    lab.finish(&asked).expect("is answered");
}

/// What does not fit is told with why, and ends nothing.
#[test]
fn a_datagram_that_does_not_fit_is_told() {
    let mut lab = Lab::new();
    let (mut ours, server) = opened(&mut lab, &mut None);
    let most = ours
        .datagrams()
        .max_datagram_size()
        .expect("there are some");
    let large = vec![0; most + 1];
    assert_eq!(ours.send(&large), Err(DatagramError::TooLargeForPath));
    let never = vec![0; 70_000];
    assert_eq!(ours.send(&never), Err(DatagramError::TooLarge));
    ours.send(&large[1..]).expect("room");
    let came = lab.run(server.datagrams().recv()).expect("open");
    assert_eq!(came.len(), most);
    server.datagrams().send(b"still").expect("room");
    assert_eq!(next(&mut lab, &mut ours), r#"datagram b"still""#);
}
