//! What is behind a proxy: sockets on loopback that do one thing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends back what comes. On this address, IPv4 or IPv6.
pub fn udp_echo(on: &str) -> SocketAddr {
    let socket = UdpSocket::bind((on, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}

/// Answers with all that came, backwards, once that has ended.
pub fn tcp_backwards(on: &str) -> SocketAddr {
    tcp(on, |mut stream| {
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).is_ok() {
            all.reverse();
            let _ = stream.write_all(&all);
        }
    })
}

/// Does something with each connection.
pub fn tcp(on: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((on, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream);
        }
    });
    address
}

/// A port on which nobody listens for TCP.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A port on which nobody listens for UDP.
pub fn nobody_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A path to `there` on which packets of more than `most` bytes are lost, both ways: where it
/// begins. It is one client's.
pub fn narrow(there: SocketAddr, most: usize) -> SocketAddr {
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").unwrap();
    back.connect(there).unwrap();
    let begin = front.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        let (_, client) = front.peek_from(&mut buffer).unwrap();
        front.connect(client).unwrap();
        let [from, to] = [&front, &back].map(|socket| socket.try_clone().unwrap());
        thread::spawn(move || carry(&from, &to, most));
        carry(&back, &front, most);
    });
    begin
}

fn carry(from: &UdpSocket, to: &UdpSocket, most: usize) {
    let mut buffer = [0; 65_536];
    loop {
        if let Ok(len) = from.recv(&mut buffer)
            && len <= most
        {
            let _ = to.send(&buffer[..len]);
        }
    }
}

/// A program that sends packets to one place.
pub struct Sender(UdpSocket);

impl Sender {
    pub fn to(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address.ip(), 0)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn send(&self, packet: &[u8]) {
        self.0.send(packet).unwrap();
    }

    #[track_caller]
    pub fn recv(&self) -> Vec<u8> {
        let mut buffer = [0; 65_536];
        let len = self.0.recv(&mut buffer).expect("an answer");
        buffer[..len].to_vec()
    }

    /// Sends it again and again until it comes back.
    #[track_caller]
    pub fn until_back(&self, packet: &[u8]) {
        let mut buffer = [0; 65_536];
        self.0
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        for _ in 0..100 {
            self.send(packet);
            if let Ok(len) = self.0.recv(&mut buffer)
                && buffer[..len] == *packet
            {
                return self.0.set_read_timeout(Some(PATIENCE)).unwrap();
            }
        }
        panic!("nothing came back");
    }
}

/// A connection that gives up waiting in the end.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends all of it, ends, and reads to the end.
#[track_caller]
pub fn exchange(mut stream: TcpStream, data: &[u8]) -> Vec<u8> {
    let mut writing = stream.try_clone().unwrap();
    let sent = data.to_vec();
    let writer = thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("all of it");
    writer.join().unwrap();
    got
}
