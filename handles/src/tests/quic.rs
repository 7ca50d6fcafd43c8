//! Raw QUIC: behaviours at work as tasks, polled when they are woken and at no other time.

mod ends;
mod fair;
mod mailbox;
mod protocols;
mod time;

use aqueduct_core::behaviour::{
    Accept, Action, Actions, At, Behaviour, ConnectionClosed, ConnectionResult, Context as Seen,
    Failure, Mode, Opened, Owner, StreamAction, StreamBehaviour, StreamContext, StreamResult,
};
use aqueduct_core::error::TransportFailure;
use aqueduct_core::id::StreamKey;
use aqueduct_core::quic;
use aqueduct_core::transport::EarlyData;

use super::*;
use crate::{QuicConnection, Run};

/// What a behaviour is told.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Told {
    Begun,
    Connected,
    Opened,
    Data(Bytes, bool),
    Datagram(Bytes),
    Message(u32),
    Timeout,
    Continued,
    ByPeer(u64),
    ByTransport,
    Closed,
}

type Log = Arc<Mutex<Vec<Told>>>;
type Does = Actions<Action<u32>>;

/// Notes what it is told, and does what a closure says.
struct Script {
    log: Log,
    does: Box<dyn FnMut(&Told) -> Does + Send>,
    mode: Mode,
}

impl Script {
    fn new(does: impl FnMut(&Told) -> Does + Send + 'static) -> Self {
        Self {
            log: Log::default(),
            does: Box::new(does),
            mode: Mode::Active,
        }
    }

    /// One that does nothing but listen.
    fn idle() -> Self {
        Self::new(|_| Does::new())
    }

    fn told(&mut self, told: Told) -> ConnectionResult<u32> {
        note(&self.log, told.clone());
        Ok((self.does)(&told))
    }
}

fn note(log: &Log, told: Told) {
    log.lock().expect("no panic").push(told);
}

/// What was noted since it was asked last.
fn noted(log: &Log) -> Vec<Told> {
    std::mem::take(&mut *log.lock().expect("no panic"))
}

impl Behaviour for Script {
    type Message = u32;

    fn new_connection(&mut self, _: &Seen<'_>) -> ConnectionResult<u32> {
        self.told(Told::Begun)
    }

    fn connected(&mut self, _: &Seen<'_>, _: EarlyData) -> ConnectionResult<u32> {
        self.told(Told::Connected)
    }

    fn new_stream(
        &mut self,
        _: &Seen<'_>,
        _: StreamKey,
        _: Opened,
    ) -> Result<Accept<u32>, Failure> {
        self.told(Told::Opened)?;
        Ok(Accept::Own(reader(&self.log), self.mode))
    }

    fn datagram(&mut self, _: &Seen<'_>, datagram: Bytes) -> ConnectionResult<u32> {
        self.told(Told::Datagram(datagram))
    }

    fn message(&mut self, _: &Seen<'_>, message: u32) -> ConnectionResult<u32> {
        self.told(Told::Message(message))
    }

    fn timeout(&mut self, _: &Seen<'_>) -> ConnectionResult<u32> {
        self.told(Told::Timeout)
    }

    fn continued(&mut self, _: &Seen<'_>) -> ConnectionResult<u32> {
        self.told(Told::Continued)
    }

    fn shutdown_by_peer(&mut self, _: &Seen<'_>, code: u64, _: &Bytes) -> ConnectionResult<u32> {
        self.told(Told::ByPeer(code))
    }

    fn shutdown_by_transport(
        &mut self,
        _: &Seen<'_>,
        _: &TransportFailure,
    ) -> ConnectionResult<u32> {
        self.told(Told::ByTransport)
    }

    fn closed(&mut self, _: &Seen<'_>, _: &ConnectionClosed) {
        // What it says is not done: it is the end.
        let _ = self.told(Told::Closed);
    }
}

/// Notes what arrives, and tells the connection of the end.
struct Reader(Log);

fn reader(log: &Log) -> Owner<u32> {
    Box::new(Reader(log.clone()))
}

impl StreamBehaviour<u32> for Reader {
    fn data(&mut self, _: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<u32> {
        note(&self.0, Told::Data(data, at.end));
        Ok(match at.end {
            true => StreamAction::Tell(0).into(),
            false => Actions::new(),
        })
    }
}

/// A task of a runtime.
struct Task {
    run: Option<Run<Script>>,
    woken: Arc<Count>,
    /// What it has given.
    over: Option<Script>,
    log: Log,
}

impl Task {
    fn new(connection: QuicConnection, behaviour: Script) -> Self {
        let log = behaviour.log.clone();
        Self {
            run: Some(connection.run(behaviour)),
            woken: Arc::new(Count(AtomicUsize::new(1))),
            over: None,
            log,
        }
    }

    /// Polls it if it was woken; whether it was.
    fn go(&mut self) -> bool {
        if self.woken.0.swap(0, Ordering::Relaxed) == 0 {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        if let Some(run) = &mut self.run
            && let Poll::Ready(behaviour) = Pin::new(run).poll(&mut Context::from_waker(&waker))
        {
            self.over = Some(behaviour);
            self.run = None;
        }
        true
    }

    fn noted(&self) -> Vec<Told> {
        noted(&self.log)
    }
}

/// A server that speaks raw QUIC alone.
fn net() -> Net {
    net_with(quic::Config::new())
}

fn net_with(config: quic::Config) -> Net {
    let tls = Identity::localhost().server().into();
    Net::of(EndpointConfig::quic_server(tls, ["chat"], config).expect("suits"))
}

impl Net {
    fn quic_target(&self) -> Target {
        let tls = Identity::localhost().client_arc();
        let target = Target::new(self.server.local_addr(), "localhost", tls);
        target.quic(["chat"], quic::Config::new()).expect("a name")
    }

    /// Both ends of a connection on which nobody has taken anything.
    fn quic(&mut self) -> (QuicConnection, QuicConnection) {
        let (client, server) = (self.client.clone(), self.server.clone());
        let ours = client.connect_quic(self.quic_target()).expect("begins");
        let theirs = self.run(server.accept_quic()).expect("arrives");
        (ours, theirs)
    }

    /// The same with behaviours at work on them.
    fn tasks(&mut self, client: Script, server: Script) -> (Task, Task) {
        let (ours, theirs) = self.quic();
        (Task::new(ours, client), Task::new(theirs, server))
    }

    /// Runs drivers and tasks until nothing is left to do.
    fn settle_with(&mut self, tasks: &mut [&mut Task]) {
        let (mut quiet, mut rounds) = (0, 0);
        while quiet < 4 {
            let busy = self.turn();
            let worked = tasks.iter_mut().fold(false, |any, task| task.go() | any);
            quiet = if busy || worked { 0 } else { quiet + 1 };
            rounds += 1;
            assert!(rounds < 10_000, "somebody is woken without end");
        }
    }
}
