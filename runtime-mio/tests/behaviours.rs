//! Behaviours of raw QUIC in an application's own loop, beside HTTP/3 on the same port. That
//! they are told what other adapters' are is shown by `tests/runtimes`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aqueduct_mio::protocol::behaviour::{
    Action, Actions, Behaviour, ConnectionClosed, ConnectionResult, Context,
};
use aqueduct_mio::protocol::bytes::Bytes;
use aqueduct_mio::protocol::config::Config;
use aqueduct_mio::protocol::endpoint::{ConnectError, EndpointConfig, Target};
use aqueduct_mio::protocol::event::Event;
use aqueduct_mio::protocol::id::ConnKey;
use aqueduct_mio::protocol::quic;
use aqueduct_mio::protocol::testing::cert::Identity;
use aqueduct_mio::protocol::transport::EarlyData;
use aqueduct_mio::{App, Behaviours, Mailbox, PortKey, Ports, SendMessageError, run};
use mio::Poll;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Longer than any of these takes.
const LIMIT: Duration = Duration::from_secs(20);

type Log = Arc<Mutex<Vec<String>>>;
type Does = Actions<Action<u32>>;

/// Notes what it is told, and does what a closure says.
struct Script {
    log: Log,
    does: Box<dyn FnMut(&str) -> Does + Send>,
}

impl Script {
    fn new(log: &Log, does: impl FnMut(&str) -> Does + Send + 'static) -> Self {
        let (log, does) = (log.clone(), Box::new(does));
        Self { log, does }
    }

    fn told(&mut self, told: String) -> ConnectionResult<u32> {
        let does = (self.does)(&told);
        self.log.lock().expect("no panic").push(told);
        Ok(does)
    }
}

impl Behaviour for Script {
    type Message = u32;

    fn connected(&mut self, _: &Context<'_>, _: EarlyData) -> ConnectionResult<u32> {
        self.told("connected".into())
    }

    fn message(&mut self, _: &Context<'_>, number: u32) -> ConnectionResult<u32> {
        self.told(format!("message {number}"))
    }

    fn timeout(&mut self, _: &Context<'_>) -> ConnectionResult<u32> {
        self.told("timeout".into())
    }

    fn continued(&mut self, _: &Context<'_>) -> ConnectionResult<u32> {
        self.told("continued".into())
    }

    fn shutdown_by_peer(&mut self, _: &Context<'_>, code: u64, _: &Bytes) -> ConnectionResult<u32> {
        self.told(format!("closed with {code}"))
    }

    fn closed(&mut self, _: &Context<'_>, _: &ConnectionClosed) {
        // What it says is not done: it is the end.
        let _ = self.told("closed".into());
    }
}

fn noted(log: &Log) -> Vec<String> {
    log.lock().expect("no panic").clone()
}

/// Both ends of everything in one loop, over when as many behaviours are.
struct Both {
    behaviours: Behaviours<Script>,
    over: Log,
    until: usize,
    /// Connections of HTTP/3 that were heard of.
    http: usize,
    /// A connection of raw QUIC that is the application's.
    own: Option<ConnKey>,
    began: Instant,
}

impl App for Both {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, connection: ConnKey, event: Event) {
        match self.behaviours.on_event(ports, port, connection, event) {
            Some(Event::Connected { .. }) => self.http += 1,
            Some(Event::Quic(event)) if self.own != Some(connection) => {
                panic!("{event:?} is a behaviour's")
            }
            _ => {}
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.behaviours.deadline()
    }

    fn on_timeout(&mut self, ports: &mut Ports) {
        self.behaviours.turn(ports);
    }

    fn is_over(&mut self, _: &mut Ports) -> bool {
        assert!(self.began.elapsed() < LIMIT, "it hangs");
        noted(&self.over).len() >= self.until
    }
}

/// A loop with a client's port and a server's, which speaks HTTP/3 too.
struct World {
    poll: Poll,
    ports: Ports,
    client: PortKey,
    server: PortKey,
    app: Both,
    /// What the behaviours are told, those of the client and of the server.
    logs: [Log; 2],
}

impl World {
    fn new(quic: quic::Config, does: fn(&str) -> Does) -> Self {
        let poll = Poll::new().expect("the system allows it");
        let mut ports = Ports::new(poll.registry(), 0..3).expect("one waker");
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        let config = config.quic(["chat"], quic).expect("a name");
        let server = ports.bind(config, ANY).expect("binds");
        let client = ports.bind(EndpointConfig::client(), ANY).expect("binds");
        let (logs, over) = (<[Log; 2]>::default(), Log::default());
        let (log, ended) = (logs[1].clone(), over.clone());
        let behaviours = Behaviours::new(&ports, move |_| Script::new(&log, does));
        let behaviours = behaviours.on_over(move |port, _, _| {
            let what = if port == server { "server" } else { "client" };
            ended.lock().expect("no panic").push(what.into());
        });
        let app = Both {
            behaviours,
            over,
            until: 2,
            http: 0,
            own: None,
            began: Instant::now(),
        };
        Self {
            poll,
            ports,
            client,
            server,
            app,
            logs,
        }
    }

    fn http_target(&self) -> Target {
        let address = self.ports.local_addr(self.server).expect("is bound");
        Target::new(address, "localhost", Identity::localhost().client_arc())
    }

    fn connect(&mut self, does: impl FnMut(&str) -> Does + Send + 'static) -> Mailbox<u32> {
        let target = self.http_target().quic(["chat"], quic::Config::new());
        let (log, mut way) = (self.logs[0].clone(), None);
        let make = |mailbox| {
            way = Some(mailbox);
            Script::new(&log, does)
        };
        let connected = self.app.behaviours.connect(
            &mut self.ports,
            self.client,
            target.expect("a name"),
            make,
        );
        connected.expect("begins");
        way.expect("it was made")
    }

    fn run(&mut self) {
        run(&mut self.poll, &mut self.ports, &mut self.app).expect("the sockets work");
    }
}

fn closes(told: &str) -> Does {
    match told {
        "connected" => Action::Close(5, "".into()).into(),
        _ => Does::new(),
    }
}

fn listens(_: &str) -> Does {
    Does::new()
}

#[test]
fn both_ends_run_to_the_end() {
    for quic in [quic::Config::new(), quic::Config::new().pull_events(true)] {
        let mut world = World::new(quic, closes);
        world.connect(listens);
        world.run();
        let told = ["connected", "closed with 5", "closed"];
        assert_eq!(noted(&world.logs[0]), told);
        assert_eq!(noted(&world.logs[1]), ["connected", "closed"]);
        assert_eq!(world.app.behaviours.connections().count(), 0);
    }
}

#[test]
fn what_is_not_raw_quic_is_given_back() {
    let mut world = World::new(quic::Config::new(), listens);
    let target = world.http_target();
    world
        .ports
        .connect(world.client, target.clone())
        .expect("begins");
    world.connect(|told| match told {
        "connected" => Action::WakeAfter(Duration::from_millis(200)).into(),
        "timeout" => Action::Stop.into(),
        _ => Does::new(),
    });
    world.run();
    assert_eq!(world.app.http, 2, "both ends of the other connection");
    let (ports, port) = (&mut world.ports, world.client);
    let made = |_: Mailbox<u32>| unreachable!("it is refused");
    let wrong = world.app.behaviours.connect(ports, port, target, made);
    assert_eq!(wrong.expect_err("HTTP/3"), ConnectError::WrongProtocol);
}

#[test]
fn so_is_what_the_application_began_itself() {
    let mut world = World::new(quic::Config::new(), closes);
    let target = world.http_target().quic(["chat"], quic::Config::new());
    let (ports, port) = (&mut world.ports, world.client);
    let own = ports.connect(port, target.expect("a name"));
    world.app.own = Some(own.expect("begins"));
    world.app.until = 1;
    world.run();
    assert_eq!(noted(&world.app.over), ["server"]);
    assert_eq!(world.app.http, 1, "its end here");
}

#[test]
fn a_time_comes_when_it_was_asked_for() {
    let mut world = World::new(quic::Config::new(), listens);
    let wait = Duration::from_millis(50);
    world.connect(move |told| match told {
        "connected" => Action::WakeAfter(wait).into(),
        "timeout" => Action::Stop.into(),
        _ => Does::new(),
    });
    world.run();
    assert_eq!(noted(&world.logs[0]), ["connected", "timeout", "closed"]);
    assert!(world.app.began.elapsed() >= wait);
}

#[test]
fn messages_of_another_thread_wake_the_loop() {
    let mut world = World::new(quic::Config::new(), listens);
    let (tell, told) = mpsc::channel();
    let mailbox = world.connect(move |told| {
        // The other thread has gone at the end.
        let _ = tell.send(told.to_owned());
        match told {
            "message 29" => Action::Stop.into(),
            _ => Does::new(),
        }
    });
    let way = mailbox.clone();
    let other = thread::spawn(move || {
        let next = || told.recv_timeout(LIMIT).expect("the loop wakes");
        assert_eq!(next(), "connected");
        for number in 0..30 {
            way.try_send(number).expect("room");
            assert_eq!(next(), format!("message {number}"));
        }
    });
    world.run();
    other.join().expect("no panic");
    assert_eq!(mailbox.try_send(3), Err(SendMessageError::Over(3)));
}

#[test]
fn as_many_messages_wait_as_may_and_all_are_told() {
    let mut world = World::new(quic::Config::new(), listens);
    let mailbox = world.connect(|told| match told {
        "message 1023" => Action::Stop.into(),
        _ => Does::new(),
    });
    for number in 0..1024 {
        mailbox.try_send(number).expect("room");
    }
    assert_eq!(mailbox.try_send(7), Err(SendMessageError::Full(7)));
    world.run();
    let told = noted(&world.logs[0]);
    let messages = told.iter().filter(|told| told.starts_with("message"));
    let expected: Vec<_> = (0..1024)
        .map(|number| format!("message {number}"))
        .collect();
    assert!(messages.eq(&expected), "{told:?}");
}

#[test]
fn one_that_never_rests_gives_way() {
    let mut world = World::new(quic::Config::new(), listens);
    world.connect(|told| match told {
        "connected" | "continued" => Action::Continue.into(),
        _ => Does::new(),
    });
    world.connect(closes);
    world.run();
    assert_eq!(noted(&world.app.over).len(), 2);
    let told = noted(&world.logs[0]);
    assert!(told.contains(&"closed".into()), "the other came to its end");
}

#[test]
fn what_ran_on_a_port_that_is_gone_is_given_back() {
    let mut world = World::new(quic::Config::new(), listens);
    let mailbox = world.connect(listens);
    world.ports.remove(world.client);
    world.app.behaviours.forget(world.client);
    assert_eq!(noted(&world.app.over), ["client"]);
    assert_eq!(mailbox.try_send(1), Err(SendMessageError::Over(1)));
}
