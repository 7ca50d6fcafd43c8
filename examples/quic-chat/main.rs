//! A chat room on raw QUIC, a protocol of its own without HTTP/3, whose two behaviours
//! ([`room`], [`visitor`]) run unchanged on tokio, async-std, smol and mio.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin quic-chat -- mio serve 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-examples --bin quic-chat -- tokio join 127.0.0.1:4433 cert.der ann
//! cargo run -p aqueduct-examples --bin quic-chat -- smol join 127.0.0.1:4433 cert.der bob
//! ```
//!
//! Whoever joins opens a stream and says a name, then lines, which all others are sent. A
//! datagram says that somebody is typing. The end of a stream is the end of the visit.

mod lines;
mod on_async_std;
mod on_mio;
mod on_tokio;
mod room;
mod visitor;

use std::net::SocketAddr;
use std::time::SystemTime;

use aqueduct_core::endpoint::tls::{self, Identity, Trust};
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::quic;

use crate::visitor::Typed;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the protocol is called in TLS.
const ALPN: [&str; 1] = ["chat"];

const USAGE: &str = "quic-chat tokio|async-std|smol|mio serve|join ADDRESS CERTIFICATE [NAME]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [on, "serve", address, file] => {
            let (address, config) = (address.parse()?, server(file)?);
            match on {
                "tokio" => on_tokio::serve(config, address),
                "async-std" => on_async_std::serve(config, address, on_async_std::async_std()),
                "smol" => on_async_std::serve(config, address, on_async_std::smol()),
                "mio" => on_mio::serve(config, address),
                _ => Err(USAGE.into()),
            }
        }
        [on, "join", address, file, name] => {
            let target = target(address.parse()?, file)?;
            match on {
                "tokio" => on_tokio::join(target, name),
                "async-std" => on_async_std::join(target, name, on_async_std::async_std()),
                "smol" => on_async_std::join(target, name, on_async_std::smol()),
                "mio" => on_mio::join(target, name),
                _ => Err(USAGE.into()),
            }
        }
        _ => Err(USAGE.into()),
    }
}

/// A server of the chat alone. With [`EndpointConfig::quic`] it would have HTTP/3 as well.
fn server(file: &str) -> Result<EndpointConfig> {
    let identity = Identity::self_signed(["localhost"], SystemTime::now())?;
    std::fs::write(file, &identity.chain[0])?;
    let tls = tls::server_config(identity.chain, identity.key)?;
    let config = quic::Config::new();
    Ok(EndpointConfig::quic_server(tls.into(), ALPN, config)?)
}

fn target(address: SocketAddr, file: &str) -> Result<Target> {
    let tls = tls::client_config(Trust::certificates([std::fs::read(file)?.into()]))?;
    let target = Target::new(address, "localhost", tls.into());
    Ok(target.quic(ALPN, quic::Config::new())?)
}

/// Where a client's socket is bound.
fn any(target: &Target) -> SocketAddr {
    match target.addr.is_ipv4() {
        true => ([0; 4], 0).into(),
        false => ([0; 16], 0).into(),
    }
}

/// Tells a behaviour what is typed, from a thread of its own: reading a terminal waits.
fn read_keyboard(tell: impl Fn(Typed) + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            tell(Typed::Line(line));
        }
        tell(Typed::End);
    });
}
