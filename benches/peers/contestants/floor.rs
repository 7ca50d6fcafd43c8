//! The floor: quinn-proto and quinn-udp in a loop, and no HTTP. Two of them: few datagrams a
//! send call keep both ends at work at once, many cost least.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::Uri;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ReadError, SendDatagramError, StreamEvent, StreamId, VarInt,
};

use crate::contestants::io::Io;
use crate::load::polled::{self, Got, Role, Wire};
use crate::measure::die;
use crate::setup::{self, NAME, Res, Setup};
use crate::works::Load;

const ALPN: &[u8] = b"raw";

/// Connections and streams by the handles of quinn-proto.
type Told = polled::Event<usize, (usize, StreamId)>;

struct Floor {
    endpoint: Endpoint,
    conns: BTreeMap<usize, Conn>,
    /// Connections that have been given something.
    dirty: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
    client: Option<ClientConfig>,
    /// Connections to be begun.
    wanted: usize,
}

struct Conn {
    quic: Connection,
    timer: Option<Instant>,
    dirty: bool,
}

/// With so many datagrams a send call.
pub fn run<const GSO: usize>(setup: &Setup, load: Option<Load>) -> Res<()> {
    let is_server = load.is_none();
    let server = is_server
        .then(|| setup::quic_server(setup, ALPN))
        .transpose()?;
    let client = (!is_server)
        .then(|| setup::quic_client(setup, ALPN))
        .transpose()?;
    let mut io = Io::new(setup, is_server, GSO)?;
    let config = Arc::new(EndpointConfig::default());
    let endpoint = Endpoint::new(config, server.map(Arc::new), true, None);
    let (conns, dirty, timers) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    let mut floor = Floor {
        endpoint,
        conns,
        dirty,
        timers,
        client,
        wanted: 0,
    };
    let mut role = Role::new(load, setup);
    floor.wanted = role.starts().1;
    let mut out = Vec::new();
    loop {
        for _ in 0..std::mem::take(&mut floor.wanted) {
            floor.connect(setup)?;
        }
        let now = Instant::now();
        if role.deadline().is_some_and(|at| at <= now)
            && let Some((key, conn)) = floor.conns.iter_mut().next()
        {
            let key = *key;
            role.tick(&mut Lent {
                key,
                quic: &mut conn.quic,
                now,
                wanted: 0,
            });
            floor.touch(key);
        }
        while let Some(key) = floor.dirty.pop() {
            floor.process(&mut role, &io, &mut out, now, key)?;
        }
        let due = floor
            .timers
            .first()
            .map(|(at, _)| at.saturating_duration_since(now));
        if floor.wanted == 0 {
            io.wait(role.limit(due))?;
        }
        let now = Instant::now();
        let mut answers = Vec::new();
        io.receive(|meta, datagram| {
            if let Err(error) = floor.receive(now, meta, datagram, &mut answers) {
                die(error);
            }
        })?;
        for (transmit, contents) in answers {
            send(&io, &transmit, &contents)?;
        }
        while let Some(&(at, key)) = floor.timers.first()
            && at <= now
        {
            floor.timers.pop_first();
            if let Some(conn) = floor.conns.get_mut(&key) {
                conn.timer = None;
                conn.quic.handle_timeout(now);
            }
            floor.touch(key);
        }
    }
}

fn send(io: &Io, transmit: &quinn_proto::Transmit, contents: &[u8]) -> Res<()> {
    io.send(&quinn_udp::Transmit {
        destination: transmit.destination,
        ecn: transmit
            .ecn
            .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
        contents: &contents[..transmit.size],
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    })?;
    Ok(())
}

impl Floor {
    fn add(&mut self, key: ConnectionHandle, quic: Connection) {
        self.conns.insert(
            key.0,
            Conn {
                quic,
                timer: None,
                dirty: false,
            },
        );
        self.touch(key.0);
    }

    fn touch(&mut self, key: usize) {
        if let Some(conn) = self.conns.get_mut(&key)
            && !std::mem::replace(&mut conn.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    fn connect(&mut self, setup: &Setup) -> Res<()> {
        let config = self.client.clone().ok_or("a server connects to nobody")?;
        let (key, quic) = self
            .endpoint
            .connect(Instant::now(), config, setup.addr, NAME)?;
        self.add(key, quic);
        Ok(())
    }

    fn receive(
        &mut self,
        now: Instant,
        meta: &quinn_udp::RecvMeta,
        datagram: &[u8],
        answers: &mut Vec<(quinn_proto::Transmit, Vec<u8>)>,
    ) -> Res<()> {
        let ecn = meta
            .ecn
            .and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
        let (data, mut out) = (BytesMut::from(datagram), Vec::new());
        match self
            .endpoint
            .handle(now, meta.addr, meta.dst_ip, ecn, data, &mut out)
        {
            Some(DatagramEvent::ConnectionEvent(key, event)) => {
                if let Some(conn) = self.conns.get_mut(&key.0) {
                    conn.quic.handle_event(event);
                    self.touch(key.0);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, now, &mut out, None) {
                    Ok((key, quic)) => self.add(key, quic),
                    Err(error) => return Err(error.cause.into()),
                }
            }
            Some(DatagramEvent::Response(transmit)) => answers.push((transmit, out)),
            None => {}
        }
        Ok(())
    }

    /// Events, and what they bring to be sent.
    fn process(
        &mut self,
        role: &mut Role<usize, (usize, StreamId)>,
        io: &Io,
        out: &mut Vec<u8>,
        now: Instant,
        key: usize,
    ) -> Res<()> {
        let Some(conn) = self.conns.get_mut(&key) else {
            return Ok(());
        };
        conn.dirty = false;
        let mut lent = Lent {
            key,
            quic: &mut conn.quic,
            now,
            wanted: 0,
        };
        loop {
            while let Some(event) = lent.quic.poll() {
                lent.tell(role, event);
            }
            out.clear();
            match lent.quic.poll_transmit(now, io.gso(), out) {
                Some(transmit) => send(io, &transmit, out)?,
                None => break,
            }
        }
        self.wanted += lent.wanted;
        while let Some(event) = conn.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(key), event) {
                conn.quic.handle_event(event);
            }
        }
        let timer = conn.quic.poll_timeout();
        if timer != conn.timer {
            if let Some(old) = conn.timer {
                self.timers.remove(&(old, key));
            }
            self.timers.extend(timer.map(|at| (at, key)));
            conn.timer = timer;
        }
        if conn.quic.is_drained() {
            if let Some(old) = conn.timer {
                self.timers.remove(&(old, key));
            }
            self.conns.remove(&key);
        }
        Ok(())
    }
}

struct Lent<'a> {
    key: usize,
    quic: &'a mut Connection,
    now: Instant,
    wanted: usize,
}

impl Lent<'_> {
    fn tell(&mut self, role: &mut Role<usize, (usize, StreamId)>, event: Event) {
        let event = match event {
            Event::Connected if self.quic.side().is_client() => Told::Ready(self.key),
            Event::Stream(StreamEvent::Opened { dir }) => {
                while let Some(id) = self.quic.streams().accept(dir) {
                    let stream = (self.key, id);
                    role.on(
                        self,
                        match dir {
                            Dir::Uni => Told::Readable(stream),
                            Dir::Bi => Told::Opened(stream),
                        },
                    );
                }
                return;
            }
            Event::Stream(StreamEvent::Readable { id }) => Told::Readable((self.key, id)),
            Event::Stream(StreamEvent::Writable { id }) => Told::Writable((self.key, id)),
            Event::Stream(StreamEvent::Available { .. }) => Told::Available,
            Event::DatagramReceived => Told::Datagrams(self.key),
            Event::DatagramsUnblocked => Told::Room(self.key),
            _ => return,
        };
        role.on(self, event);
    }
}

impl Wire for Lent<'_> {
    type Conn = usize;
    type Stream = (usize, StreamId);

    fn connect(&mut self) {
        self.wanted += 1;
    }

    fn further(&mut self) {
        die("QUIC has no sessions");
    }

    fn close(&mut self) {
        self.quic.close(self.now, VarInt::from_u32(0), Bytes::new());
    }

    fn open(&mut self, _: usize, uni: bool) -> Option<Self::Stream> {
        let dir = if uni { Dir::Uni } else { Dir::Bi };
        Some((self.key, self.quic.streams().open(dir)?))
    }

    fn write(&mut self, (_, id): Self::Stream, data: &mut Bytes) -> bool {
        let chunks = std::slice::from_mut(data);
        self.quic.send_stream(id).write_chunks(chunks).is_ok() && data.is_empty()
    }

    fn finish(&mut self, (_, id): Self::Stream) {
        let _ = self.quic.send_stream(id).finish();
    }

    fn read(&mut self, (_, id): Self::Stream, chunk: &mut Bytes) -> Got {
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else {
            return Got::Gone;
        };
        let got = match chunks.next(usize::MAX) {
            Ok(Some(read)) => {
                *chunk = read.bytes;
                Got::More
            }
            Ok(None) => Got::End,
            Err(ReadError::Blocked) => Got::Blocked,
            Err(ReadError::Reset(_)) => Got::Gone,
        };
        // What is to be sent is asked for in any case.
        let _ = chunks.finalize();
        got
    }

    fn send_datagram(&mut self, _: usize, data: &[u8]) -> bool {
        let data = Bytes::copy_from_slice(data);
        match self.quic.datagrams().send(data, false) {
            Ok(()) => true,
            Err(SendDatagramError::Blocked(_)) => false,
            Err(error) => die(error),
        }
    }

    fn recv_datagram(&mut self, _: usize) -> Option<Bytes> {
        self.quic.datagrams().recv()
    }

    fn request(&mut self, _: &Uri) -> Option<Self::Stream> {
        die("QUIC has no requests");
    }

    fn respond(&mut self, _: Self::Stream) {
        die("QUIC has no requests");
    }
}
