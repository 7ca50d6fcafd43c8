//! quinn-proto alone: what an exchange costs below HTTP/3.

use std::sync::Arc;
use std::time::Instant;

use aqueduct_core::id::Side;
use aqueduct_core::testing::cert::Identity;
use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamEvent, StreamId,
};

use super::{Counts, Ends, HUNDRED, PAUSE, Wire, pass};
use crate::working_as;

/// What a request is as HTTP/3 has it: of so many bytes.
const REQUEST: &[u8] = &[7; 30];

/// Two ends of quinn-proto.
#[derive(Debug)]
pub struct Floor {
    ends: [Quic; 2],
}

#[derive(Debug)]
struct Quic {
    side: Side,
    endpoint: Endpoint,
    conn: Option<(ConnectionHandle, Connection)>,
    wire: Wire,
    out: Vec<u8>,
    /// What has come to its end.
    done: usize,
}

impl Floor {
    /// Connected.
    ///
    /// # Panics
    /// When the ends do not do as told.
    #[must_use]
    pub fn new() -> Self {
        let identity = Identity::localhost();
        let (mut server, mut client) = (identity.server(), identity.client());
        server.alpn_protocols = vec![b"h3".to_vec()];
        client.alpn_protocols = vec![b"h3".to_vec()];
        let server = QuicServerConfig::try_from(server).expect("suits");
        let server = Arc::new(ServerConfig::with_crypto(Arc::new(server)));
        let client = QuicClientConfig::try_from(client).expect("suits");
        let client = ClientConfig::new(Arc::new(client));
        let config = Arc::new(EndpointConfig::default());
        let mut sides = [(Side::Client, None), (Side::Server, Some(server))].into_iter();
        let mut ends = Wire::pair().map(|wire| {
            let (side, server) = sides.next().expect("two");
            Quic {
                side,
                endpoint: Endpoint::new(config.clone(), server, false, None),
                conn: None,
                wire,
                out: Vec::new(),
                done: 0,
            }
        });
        let to = Wire::addr(Side::Server);
        let conn = ends[0]
            .endpoint
            .connect(Instant::now(), client, to, "localhost");
        ends[0].conn = Some(conn.expect("begins"));
        let mut floor = Self { ends };
        floor.run();
        floor
    }

    fn exchange(&mut self, at_once: usize, work: impl Fn(&mut Connection)) {
        for end in &mut self.ends {
            end.done = 0;
        }
        working_as(Side::Client);
        let (_, conn) = self.ends[0].conn.as_mut().expect("connected");
        for _ in 0..at_once {
            work(conn);
        }
        self.run();
        pass(PAUSE);
    }

    /// Both ends take turns until nothing is on the wire.
    fn run(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            for end in &mut self.ends {
                working_as(end.side);
                quiet = if end.turn() { 0 } else { quiet + 1 };
            }
        }
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self::new()
    }
}

impl Quic {
    /// Whether anything had come.
    fn turn(&mut self) -> bool {
        let (now, peer) = (Instant::now(), Wire::addr(self.side.peer()));
        let came = self.wire.has_some();
        while let Some(data) = self.wire.take(|datagram| BytesMut::from(datagram)) {
            self.out.clear();
            match self
                .endpoint
                .handle(now, peer, None, None, data, &mut self.out)
            {
                Some(DatagramEvent::ConnectionEvent(_, event)) => {
                    let (_, conn) = self.conn.as_mut().expect("known");
                    conn.handle_event(event);
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let conn = self.endpoint.accept(incoming, now, &mut self.out, None);
                    self.conn = Some(conn.expect("welcome"));
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        let Some((handle, mut conn)) = self.conn.take() else {
            return came;
        };
        if conn.poll_timeout().is_some_and(|at| at <= now) {
            conn.handle_timeout(now);
        }
        while let Some(event) = conn.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                conn.handle_event(event);
            }
        }
        while let Some(event) = conn.poll() {
            self.on(&mut conn, &event);
        }
        loop {
            self.out.clear();
            let Some(transmit) = conn.poll_transmit(now, 44, &mut self.out) else {
                break;
            };
            let size = transmit.segment_size.unwrap_or(transmit.size);
            self.wire.put(&self.out, size);
        }
        self.conn = Some((handle, conn));
        came
    }

    fn on(&mut self, conn: &mut Connection, event: &Event) {
        match event {
            Event::Stream(StreamEvent::Opened { dir }) => {
                while let Some(id) = conn.streams().accept(*dir) {
                    self.read(conn, id);
                }
            }
            Event::Stream(StreamEvent::Readable { id }) => self.read(conn, *id),
            Event::DatagramReceived => {
                while let Some(datagram) = conn.datagrams().recv() {
                    self.done += 1;
                    if self.side == Side::Server {
                        conn.datagrams().send(datagram, false).expect("room");
                    }
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, conn: &mut Connection, id: StreamId) {
        let ended = {
            let mut recv = conn.recv_stream(id);
            let Ok(mut chunks) = recv.read(true) else {
                return;
            };
            let ended = loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            // What is to be sent is asked for in any case.
            let _ = chunks.finalize();
            ended
        };
        if ended {
            self.done += 1;
            if self.side == Side::Server && id.dir() == Dir::Bi {
                let mut send = conn.send_stream(id);
                // A head, and the content's frame.
                let parts = &mut [
                    Bytes::from_static(&REQUEST[..5]),
                    Bytes::from_static(HUNDRED),
                ];
                send.write_chunks(parts).expect("room");
                send.finish().expect("once");
            }
        }
    }
}

impl Ends for Floor {
    fn get(&mut self, at_once: usize) {
        self.exchange(at_once, |conn| {
            let id = conn.streams().open(Dir::Bi).expect("credit");
            let mut send = conn.send_stream(id);
            send.write_chunks(&mut [Bytes::from_static(REQUEST)])
                .expect("room");
            send.finish().expect("once");
        });
        assert_eq!(self.ends[0].done, at_once, "all were answered");
    }

    fn stream(&mut self, at_once: usize) {
        self.exchange(at_once, |conn| {
            let id = conn.streams().open(Dir::Uni).expect("credit");
            let mut send = conn.send_stream(id);
            send.write_chunks(&mut [Bytes::from_static(HUNDRED)])
                .expect("room");
            send.finish().expect("once");
        });
        assert_eq!(self.ends[1].done, at_once, "all arrived");
    }

    fn datagram(&mut self, at_once: usize) {
        self.exchange(at_once, |conn| {
            let datagram = Bytes::copy_from_slice(HUNDRED);
            conn.datagrams().send(datagram, false).expect("room");
        });
        assert_eq!(self.ends[0].done, at_once, "all came back");
    }

    fn sent(&self, side: Side) -> Counts {
        self.ends[side as usize].wire.sent()
    }
}
