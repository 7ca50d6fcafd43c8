//! What mio adds to the core: tokens, sources of others, other threads. That the
//! protocol works over it is shown by `tests/runtimes`.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use aqueduct_mio::protocol::code::Code;
use aqueduct_mio::protocol::config::Config;
use aqueduct_mio::protocol::connection::{Command, CommandError, Reply};
use aqueduct_mio::protocol::endpoint::{ConnectError, EndpointConfig, Target};
use aqueduct_mio::protocol::error::CloseReason;
use aqueduct_mio::protocol::event::Event;
use aqueduct_mio::protocol::id::ConnKey;
use aqueduct_mio::protocol::testing::cert::Identity;
use aqueduct_mio::{App, PortKey, Ports, Remote, run};
use mio::net::TcpListener;
use mio::{Interest, Poll, Token};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn ports(poll: &Poll, tokens: std::ops::Range<usize>) -> Ports {
    Ports::new(poll.registry(), tokens).expect("one waker")
}

fn server() -> EndpointConfig {
    let tls = Identity::localhost().server().into();
    EndpointConfig::server(tls, Config::default()).expect("suits")
}

/// Both ends of one connection, and what else a test wants to see.
#[derive(Default)]
struct Both {
    connected: Vec<PortKey>,
    closed: usize,
    remote: Option<Remote>,
    asked: Option<thread::JoinHandle<Receiver<Result<Reply, CommandError>>>>,
    listener: Option<TcpListener>,
    visitors: usize,
}

impl App for Both {
    fn on_event(&mut self, _: &mut Ports, port: PortKey, connection: ConnKey, event: Event) {
        match event {
            Event::Connected { .. } => {
                self.connected.push(port);
                let Some(remote) = self.remote.take() else {
                    return;
                };
                // Another thread closes what this one has opened.
                let close = Command::Close(Code::H3_NO_ERROR, "by another thread".into());
                let ask = move || remote.command(port, connection, close).expect("room");
                self.asked = Some(thread::spawn(ask));
            }
            Event::Closed(_) => self.closed += 1,
            _ => {}
        }
    }

    fn on_source(&mut self, _: &mut Ports, event: &mio::event::Event) {
        assert_eq!(event.token(), Token(3));
        let listener = self.listener.as_ref().expect("is registered");
        while listener.accept().is_ok() {
            self.visitors += 1;
        }
    }

    fn is_over(&mut self, ports: &mut Ports) -> bool {
        let visited = self.listener.is_none() || self.visitors > 0;
        self.closed == 2 && visited && ports.is_idle()
    }
}

#[test]
fn another_thread_commands_and_is_answered() {
    let mut poll = Poll::new().expect("a poll");
    let mut ports = ports(&poll, 0..3);
    let server = ports.bind(server(), ANY).expect("binds");
    let client = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    let address = ports.local_addr(server).expect("is bound");
    let target = Target::new(address, "localhost", Identity::localhost().client_arc());
    ports.connect(client, target).expect("begins");
    let mut app = Both {
        remote: Some(ports.remote()),
        ..Both::default()
    };
    run(&mut poll, &mut ports, &mut app).expect("the sockets work");
    app.connected.sort();
    assert_eq!(app.connected, [server, client]);
    let answer = app.asked.expect("was asked").join().expect("no panic");
    assert_eq!(answer.recv(), Ok(Ok(Reply::Done)));
}

#[test]
fn sources_of_the_application_live_in_the_same_poll() {
    let mut poll = Poll::new().expect("a poll");
    let mut ports = ports(&poll, 0..3);
    let server = ports.bind(server(), ANY).expect("binds");
    let client = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    let mut listener = TcpListener::bind(ANY).expect("binds");
    let registry = poll.registry();
    let readable = Interest::READABLE;
    let registered = registry.register(&mut listener, Token(3), readable);
    registered.expect("a new source");
    let visit = listener.local_addr().expect("is bound");
    let address = ports.local_addr(server).expect("is bound");
    let target = Target::new(address, "localhost", Identity::localhost().client_arc());
    ports.connect(client, target).expect("begins");
    let mut app = Both {
        remote: Some(ports.remote()),
        listener: Some(listener),
        ..Both::default()
    };
    let visitor = thread::spawn(move || TcpStream::connect(visit)?.write_all(b"hello"));
    run(&mut poll, &mut ports, &mut app).expect("the sockets work");
    visitor.join().expect("no panic").expect("is let in");
    assert_eq!((app.visitors, app.closed), (1, 2));
}

/// Ends all ports at once when both ends of a connection are there.
struct Leaving {
    leave: fn(&mut Ports),
    connected: usize,
    reasons: Vec<CloseReason>,
}

impl App for Leaving {
    fn on_event(&mut self, ports: &mut Ports, _: PortKey, _: ConnKey, event: Event) {
        match event {
            Event::Connected { .. } => {
                self.connected += 1;
                if self.connected == 2 {
                    (self.leave)(ports);
                }
            }
            Event::Closed(reason) => self.reasons.push(*reason),
            _ => {}
        }
    }

    fn is_over(&mut self, ports: &mut Ports) -> bool {
        self.reasons.len() == 2 && ports.is_idle()
    }
}

/// What both ends were told, and whether another connection can begin after that.
fn left(leave: fn(&mut Ports)) -> (Vec<CloseReason>, Option<ConnectError>) {
    let mut poll = Poll::new().expect("a poll");
    let mut ports = ports(&poll, 0..3);
    let server = ports.bind(server(), ANY).expect("binds");
    let client = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    let address = ports.local_addr(server).expect("is bound");
    let target = Target::new(address, "localhost", Identity::localhost().client_arc());
    ports.connect(client, target.clone()).expect("begins");
    let mut app = Leaving {
        leave,
        connected: 0,
        reasons: Vec::new(),
    };
    run(&mut poll, &mut ports, &mut app).expect("the sockets work");
    (app.reasons, ports.connect(client, target).err())
}

#[test]
fn all_ports_close_with_the_same_words() {
    let (reasons, again) = left(|ports| ports.close(Code::H3_NO_ERROR, "bye"));
    let code = Code::H3_NO_ERROR;
    let reason = "bye".into();
    let local = CloseReason::Local { code, reason };
    assert_eq!(reasons, [local.clone(), local]);
    assert_eq!(again, Some(ConnectError::Refused));
}

/// Without a limit in time, too: what is idle has nothing to wait for.
#[test]
fn all_ports_drain() {
    let (reasons, again) = left(|ports| ports.drain(Duration::MAX));
    assert_eq!(reasons.len(), 2);
    assert_eq!(again, Some(ConnectError::Refused));
}

#[test]
fn tokens_limit_ports_and_keys_outlive_them_harmlessly() {
    let poll = Poll::new().expect("a poll");
    let mut ports = ports(&poll, 5..7);
    let first = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    let none_left = ports.bind(EndpointConfig::client(), ANY);
    let error = none_left.expect_err("one token is the waker's");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(ports.remove(first).is_some());
    let second = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    assert_ne!(first, second);
    assert!(ports.endpoint(first).is_none() && ports.endpoint(second).is_some());
    let error = ports.local_addr(first).expect_err("is gone");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn an_idle_loop_sleeps_until_it_is_woken() {
    let mut poll = Poll::new().expect("a poll");
    let mut events = mio::Events::with_capacity(8);
    let mut ports = ports(&poll, 0..2);
    let port = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    // The first edges of a new socket are spent.
    while ports.send() == Some(Duration::ZERO) {
        ports.receive().expect("the socket works");
    }
    assert_eq!(ports.send(), None);
    let remote = ports.remote();
    let job = thread::spawn(move || remote.run(move |ports| drop(ports.remove(port))));
    while ports.endpoint(port).is_some() {
        poll.poll(&mut events, None).expect("no signals");
        assert!(events.iter().all(|event| ports.ready(event)));
        ports.receive().expect("the socket works");
    }
    job.join().expect("no panic").expect("room");
}

#[test]
fn a_full_or_orphaned_inbox_refuses() {
    let poll = Poll::new().expect("a poll");
    let mut ports = ports(&poll, 0..1);
    let remote = ports.remote();
    let kind = |result: io::Result<()>| result.expect_err("refused").kind();
    for _ in 0..1024 {
        remote.run(|_| {}).expect("room");
    }
    assert_eq!(kind(remote.run(|_| {})), io::ErrorKind::WouldBlock);
    // One round takes a part of it and says that there is more.
    ports.receive().expect("no sockets");
    assert_eq!(ports.send(), Some(Duration::ZERO));
    remote.run(|_| {}).expect("room again");
    drop(ports);
    assert_eq!(kind(remote.run(|_| {})), io::ErrorKind::BrokenPipe);
}
