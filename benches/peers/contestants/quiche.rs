//! quiche: QUIC without sessions, and HTTP/3, in the loop that the floor has. Its crypto is
//! BoringSSL.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::Uri;
use quiche::h3::{self, Header, NameValue};
use quiche::{ConnectionId, RecvInfo, SendInfo};

use crate::contestants::io::{FEW, Io};
use crate::load::polled::{self, Got, Role, Wire};
use crate::measure::die;
use crate::setup::{
    DATAGRAM_BUFFER, IDLE, MTU, NAME, Res, STREAM_WINDOW, STREAMS, Setup, WINDOW, size_of_path,
};
use crate::works::Load;

type Told = polled::Event<usize, (usize, u64)>;
type Works = Role<usize, (usize, u64)>;

struct Conn {
    quic: quiche::Connection,
    h3: Option<h3::Connection>,
    told: bool,
    timer: Option<Instant>,
    dirty: bool,
    /// The next stream of each direction.
    next: [u64; 2],
    /// The next stream of both directions that the peer opens.
    peers: u64,
    /// Streams that have not taken all.
    blocked: BTreeSet<u64>,
    /// A stream, a datagram that could not be.
    wants_stream: bool,
    wants_room: bool,
}

struct All {
    config: quiche::Config,
    local: SocketAddr,
    conns: BTreeMap<usize, Conn>,
    /// By connection id.
    ids: HashMap<ConnectionId<'static>, usize>,
    dirty: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
    born: usize,
    wanted: usize,
}

fn config(setup: &Setup, server: bool, http: bool) -> Res<quiche::Config> {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION)?;
    let file = |name| setup.file(name).to_string_lossy().into_owned();
    match (server, http) {
        (true, _) => {
            config.load_cert_chain_from_pem_file(&file("cert.pem"))?;
            config.load_priv_key_from_pem_file(&file("key.pem"))?;
            config.set_application_protos(&[b"h3", b"raw"])?;
        }
        (false, http) => {
            config.load_verify_locations_from_file(&file("cert.pem"))?;
            config.verify_peer(true);
            config.set_application_protos(&[if http { b"h3" } else { b"raw" }])?;
        }
    }
    config.set_max_idle_timeout(IDLE.as_millis() as u64);
    config.set_max_recv_udp_payload_size(1472);
    config.set_max_send_udp_payload_size(MTU.into());
    config.set_initial_max_data(WINDOW.into());
    config.set_max_connection_window(WINDOW.into());
    config.set_initial_max_stream_data_bidi_local(STREAM_WINDOW.into());
    config.set_initial_max_stream_data_bidi_remote(STREAM_WINDOW.into());
    config.set_initial_max_stream_data_uni(STREAM_WINDOW.into());
    config.set_max_stream_window(STREAM_WINDOW.into());
    config.set_initial_max_streams_bidi(STREAMS.into());
    config.set_initial_max_streams_uni(STREAMS.into());
    config.set_cc_algorithm(quiche::CongestionControlAlgorithm::CUBIC);
    config.enable_dgram(true, DATAGRAM_BUFFER / 100, DATAGRAM_BUFFER / 100);
    Ok(config)
}

pub fn run(setup: &Setup, load: Option<Load>) -> Res<()> {
    let server = load.is_none();
    let mut io = Io::new(setup, server, FEW)?;
    let http = matches!(load, Some(Load::Get { .. }));
    let mut all = All {
        config: config(setup, server, http)?,
        local: io.local()?,
        conns: BTreeMap::new(),
        ids: HashMap::new(),
        dirty: Vec::new(),
        timers: BTreeSet::new(),
        born: 0,
        wanted: 0,
    };
    let mut role = Role::new(load, setup);
    all.wanted = role.starts().1;
    let mut out = vec![0; usize::from(MTU) * FEW];
    loop {
        for _ in 0..std::mem::take(&mut all.wanted) {
            all.connect(setup)?;
        }
        let now = Instant::now();
        if role.deadline().is_some_and(|at| at <= now)
            && let Some((&key, conn)) = all.conns.iter_mut().next()
        {
            role.tick(&mut Lent {
                key,
                conn,
                finished: None,
                wanted: 0,
            });
            all.touch(key);
        }
        while let Some(key) = all.dirty.pop() {
            all.process(&mut role, &io, &mut out, key)?;
        }
        let due = all
            .timers
            .first()
            .map(|(at, _)| at.saturating_duration_since(now));
        if all.wanted == 0 {
            io.wait(role.limit(due))?;
        }
        io.receive(|meta, datagram| {
            // It wants to write into them.
            let mut datagram = datagram.to_vec();
            if let Err(error) = all.receive(meta.addr, &mut datagram) {
                die(error);
            }
        })?;
        let now = Instant::now();
        while let Some(&(at, key)) = all.timers.first()
            && at <= now
        {
            all.timers.pop_first();
            if let Some(conn) = all.conns.get_mut(&key) {
                conn.timer = None;
                conn.quic.on_timeout();
            }
            all.touch(key);
        }
    }
}

impl All {
    fn add(&mut self, quic: quiche::Connection) -> usize {
        let (key, server) = (self.born, u64::from(quic.is_server()));
        self.born += 1;
        let conn = Conn {
            quic,
            h3: None,
            told: false,
            timer: None,
            dirty: false,
            next: [server, server + 2],
            peers: 1 - server,
            blocked: BTreeSet::new(),
            wants_stream: false,
            wants_room: false,
        };
        self.conns.insert(key, conn);
        self.touch(key);
        key
    }

    fn touch(&mut self, key: usize) {
        if let Some(conn) = self.conns.get_mut(&key)
            && !std::mem::replace(&mut conn.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Connection ids that nobody has to guess.
    fn id(&self) -> ConnectionId<'static> {
        let mut id = vec![7; quiche::MAX_CONN_ID_LEN];
        id[..8].copy_from_slice(&self.born.to_be_bytes());
        ConnectionId::from_vec(id)
    }

    fn connect(&mut self, setup: &Setup) -> Res<()> {
        let (id, to) = (self.id(), setup.addr);
        let quic = quiche::connect(Some(NAME), &id, self.local, to, &mut self.config)?;
        let key = self.add(quic);
        self.ids.insert(id, key);
        Ok(())
    }

    fn receive(&mut self, from: SocketAddr, datagram: &mut [u8]) -> Res<()> {
        let Ok(header) = quiche::Header::from_slice(datagram, quiche::MAX_CONN_ID_LEN) else {
            return Ok(());
        };
        let key = match self.ids.get(&header.dcid) {
            Some(key) => *key,
            None if header.ty == quiche::Type::Initial => {
                let id = self.id();
                let quic = quiche::accept(&id, None, self.local, from, &mut self.config)?;
                let key = self.add(quic);
                self.ids.insert(id, key);
                self.ids.insert(header.dcid.into_owned(), key);
                key
            }
            None => return Ok(()),
        };
        if let Some(conn) = self.conns.get_mut(&key) {
            // What is wrong closes the connection, which is seen later.
            let _ = conn.quic.recv(
                datagram,
                RecvInfo {
                    from,
                    to: self.local,
                },
            );
            self.touch(key);
        }
        Ok(())
    }

    fn process(&mut self, role: &mut Works, io: &Io, out: &mut [u8], key: usize) -> Res<()> {
        let Some(conn) = self.conns.get_mut(&key) else {
            return Ok(());
        };
        conn.dirty = false;
        let mut lent = Lent {
            key,
            conn,
            finished: None,
            wanted: 0,
        };
        lent.tell(role)?;
        self.wanted += lent.wanted;
        flush(&mut conn.quic, io, out)?;
        let timer = conn.quic.timeout_instant();
        if timer != conn.timer {
            if let Some(old) = conn.timer {
                self.timers.remove(&(old, key));
            }
            self.timers.extend(timer.map(|at| (at, key)));
            conn.timer = timer;
        }
        if conn.quic.is_closed() {
            if let Some(old) = conn.timer {
                self.timers.remove(&(old, key));
            }
            self.conns.remove(&key);
            self.ids.retain(|_, of| *of != key);
        }
        Ok(())
    }
}

/// Sends what there is, packets of one size together.
fn flush(quic: &mut quiche::Connection, io: &Io, out: &mut [u8]) -> Res<()> {
    let (mut filled, mut size, mut to) = (0, 0, None);
    loop {
        let room = out.len() - filled;
        let room = if size > 0 {
            room.min(size)
        } else {
            room.min(MTU.into())
        };
        let sent = match room {
            // A full call, or one that has no room for another packet of its size.
            0 => None,
            _ => match quic.send(&mut out[filled..filled + room]) {
                Ok((len, SendInfo { to: addr, .. })) => Some((len, addr)),
                Err(quiche::Error::Done) => None,
                Err(error) => return Err(error.into()),
            },
        };
        if let Some((len, addr)) = sent {
            filled += len;
            to = Some(addr);
            size = if size == 0 { len } else { size };
            if len == size && filled + size <= out.len() {
                continue;
            }
        }
        let Some(destination) = to.take() else {
            return Ok(());
        };
        io.send(&quinn_udp::Transmit {
            destination,
            ecn: None,
            contents: &out[..filled],
            segment_size: (filled > size).then_some(size),
            src_ip: None,
        })?;
        if sent.is_none() {
            return Ok(());
        }
        (filled, size) = (0, 0);
    }
}

struct Lent<'a> {
    key: usize,
    conn: &'a mut Conn,
    /// The stream whose end HTTP/3 has told.
    finished: Option<u64>,
    wanted: usize,
}

impl Lent<'_> {
    fn tell(&mut self, role: &mut Works) -> Res<()> {
        let key = self.key;
        if !self.conn.quic.is_established() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.conn.told, true) {
            if self.conn.quic.application_proto() == b"h3" {
                let h3 = h3::Connection::with_transport(&mut self.conn.quic, &h3::Config::new()?)?;
                self.conn.h3 = Some(h3);
            }
            if !self.conn.quic.is_server() {
                role.on(self, Told::Ready(key));
            }
        }
        match self.conn.h3 {
            Some(_) => self.requests(role)?,
            None => {
                while let Some(id) = self.conn.quic.stream_readable_next() {
                    // Of both directions, and the peer's.
                    if id & 2 == 0 && id >= self.conn.peers && id & 1 == self.conn.peers & 1 {
                        self.conn.peers = id + 4;
                        role.on(self, Told::Opened((key, id)));
                    } else {
                        role.on(self, Told::Readable((key, id)));
                    }
                }
            }
        }
        if self.conn.quic.dgram_recv_queue_len() > 0 {
            role.on(self, Told::Datagrams(key));
        }
        for id in std::mem::take(&mut self.conn.blocked) {
            role.on(self, Told::Writable((key, id)));
        }
        if std::mem::take(&mut self.conn.wants_stream) {
            role.on(self, Told::Available);
        }
        if self.conn.wants_room && !self.conn.quic.is_dgram_send_queue_full() {
            self.conn.wants_room = false;
            role.on(self, Told::Room(key));
        }
        Ok(())
    }

    fn requests(&mut self, role: &mut Works) -> Res<()> {
        let key = self.key;
        loop {
            let Some(h3) = &mut self.conn.h3 else {
                return Ok(());
            };
            match h3.poll(&mut self.conn.quic) {
                Ok((id, h3::Event::Headers { list, .. })) if self.conn.quic.is_server() => {
                    let path = list.iter().find(|line| line.name() == b":path");
                    let path = path.map(|line| String::from_utf8_lossy(line.value()));
                    let size = size_of_path(&path.unwrap_or_default());
                    role.on(self, Told::Request((key, id), size));
                }
                Ok((id, h3::Event::Data)) => role.on(self, Told::Readable((key, id))),
                Ok((id, h3::Event::Finished)) => {
                    self.finished = Some(id);
                    role.on(self, Told::Readable((key, id)));
                    self.finished = None;
                }
                Ok(_) => {}
                Err(h3::Error::Done) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Wire for Lent<'_> {
    type Conn = usize;
    type Stream = (usize, u64);

    fn connect(&mut self) {
        self.wanted += 1;
    }

    fn further(&mut self) {
        die("quiche has no sessions");
    }

    fn close(&mut self) {
        // It may be closed.
        let _ = self.conn.quic.close(true, 0, b"");
    }

    fn open(&mut self, _: usize, uni: bool) -> Option<Self::Stream> {
        let quic = &self.conn.quic;
        let left = if uni {
            quic.peer_streams_left_uni()
        } else {
            quic.peer_streams_left_bidi()
        };
        if left == 0 {
            self.conn.wants_stream = true;
            return None;
        }
        let next = &mut self.conn.next[usize::from(uni)];
        *next += 4;
        Some((self.key, *next - 4))
    }

    fn write(&mut self, (_, id): Self::Stream, data: &mut Bytes) -> bool {
        let quic = &mut self.conn.quic;
        let taken = match &mut self.conn.h3 {
            Some(h3) => h3.send_body(quic, id, data, false).unwrap_or(0),
            None => quic.stream_send(id, data, false).unwrap_or(0),
        };
        data.advance(taken);
        if !data.is_empty() {
            self.conn.blocked.insert(id);
        }
        data.is_empty()
    }

    fn finish(&mut self, (_, id): Self::Stream) {
        let quic = &mut self.conn.quic;
        // Who asked may have gone.
        match &mut self.conn.h3 {
            Some(h3) => drop(h3.send_body(quic, id, b"", true)),
            None => drop(quic.stream_send(id, b"", true)),
        }
    }

    fn read(&mut self, (_, id): Self::Stream, chunk: &mut Bytes) -> Got {
        let mut buffer = [0; 16 << 10];
        let quic = &mut self.conn.quic;
        let (len, end) = match &mut self.conn.h3 {
            Some(h3) => match h3.recv_body(quic, id, &mut buffer) {
                Ok(len) => (len, false),
                Err(_) if self.finished == Some(id) => return Got::End,
                Err(_) => return Got::Blocked,
            },
            None => match quic.stream_recv(id, &mut buffer) {
                Ok(read) => read,
                Err(quiche::Error::Done) => return Got::Blocked,
                Err(_) => return Got::Gone,
            },
        };
        *chunk = Bytes::copy_from_slice(&buffer[..len]);
        if end { Got::End } else { Got::More }
    }

    fn send_datagram(&mut self, _: usize, data: &[u8]) -> bool {
        let sent = self.conn.quic.dgram_send(data).is_ok();
        self.conn.wants_room |= !sent;
        sent
    }

    fn recv_datagram(&mut self, _: usize) -> Option<Bytes> {
        let mut buffer = [0; 1500];
        let len = self.conn.quic.dgram_recv(&mut buffer).ok()?;
        Some(Bytes::copy_from_slice(&buffer[..len]))
    }

    fn request(&mut self, uri: &Uri) -> Option<Self::Stream> {
        let head = [
            Header::new(b":method", b"GET"),
            Header::new(b":scheme", b"https"),
            Header::new(b":authority", uri.authority()?.as_str().as_bytes()),
            Header::new(b":path", uri.path().as_bytes()),
        ];
        let h3 = self.conn.h3.as_mut()?;
        match h3.send_request(&mut self.conn.quic, &head, true) {
            Ok(id) => Some((self.key, id)),
            Err(_) => {
                self.conn.wants_stream = true;
                None
            }
        }
    }

    fn respond(&mut self, (_, id): Self::Stream) {
        let head = [Header::new(b":status", b"200")];
        if let Some(h3) = &mut self.conn.h3
            && let Err(error) = h3.send_response(&mut self.conn.quic, id, &head, false)
        {
            die(error);
        }
    }
}
