//! HTTP/1.1 connections to the page that pipeline requests and never read.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;

pub(super) const ATTACK: Attack = Attack::new(
    "page_pipeline",
    "64 TCP connections that pipeline and never read",
    run,
)
.by(64)
.page()
.on(&[Kind::Program]);

fn run(a: &mut Attacker) {
    let Some(page) = a.page else {
        return;
    };
    let requests = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let mut sockets: Vec<TcpStream> = Vec::new();
    while a.on() {
        if (sockets.len() as u64) < a.connections
            && let Ok(socket) = TcpStream::connect_timeout(&page, Duration::from_millis(100))
            && socket.set_nonblocking(true).is_ok()
        {
            sockets.push(socket);
        }
        sockets.retain_mut(|socket| match socket.write(&requests) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        a.ops = sockets.len() as u64;
    }
}
