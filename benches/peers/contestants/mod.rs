//! Everybody in the table, each a small file.

pub mod bare;
pub mod floor;
pub mod h3_quinn;
pub mod h3_webtransport;
pub mod io;
pub mod mio;
pub mod ours;
#[cfg(feature = "quiche")]
pub mod quiche;
pub mod quinn;
#[cfg(feature = "s2n")]
pub mod s2n;
pub mod tokio;
pub mod web_transport_quinn;
pub mod wtransport;

use std::io::Write as _;
use std::net::UdpSocket;

use quinn_udp::{UdpSockRef, UdpSocketState};

use crate::load::awaited::{self, block_on};
use crate::setup::{Res, Setup};
use crate::works::{Load, Needs};

/// Bytes of a socket's buffers, each way, if the system grants them.
const SOCKET: usize = 2 << 20;

/// A socket of this end; a server tells where it is, once.
pub fn bound(setup: &Setup, server: bool) -> Res<UdpSocket> {
    let mut addr = setup.addr;
    if !server {
        addr.set_port(0);
    }
    let socket = UdpSocket::bind(addr)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET)?;
    state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET)?;
    if server {
        println!("{}", socket.local_addr()?);
        std::io::stdout().flush()?;
    }
    Ok(socket)
}

pub struct Contestant {
    pub name: &'static str,
    pub title: &'static str,
    /// Whose figures the table sets in bold.
    pub ours: bool,
    has: &'static [Needs],
    /// The server if there is no load.
    pub run: fn(&Setup, Option<Load>) -> Res<()>,
}

impl Contestant {
    pub fn can(&self, needs: Needs) -> bool {
        self.has.contains(&needs)
    }
}

/// What QUIC alone has.
const QUIC: &[Needs] = &[Needs::Streams, Needs::Datagrams, Needs::Connections];
#[cfg(feature = "quiche")]
const QUICHE: &[Needs] = &[
    Needs::Streams,
    Needs::Datagrams,
    Needs::Requests,
    Needs::Connections,
];
const HTTP: &[Needs] = &[Needs::Requests, Needs::Connections];
const WEBTRANSPORT: &[Needs] = &[Needs::Streams, Needs::Datagrams, Needs::Sessions];
const ALL: &[Needs] = &[
    Needs::Streams,
    Needs::Datagrams,
    Needs::Requests,
    Needs::Connections,
    Needs::Sessions,
    Needs::ManySessions,
];

const fn contestant(
    name: &'static str,
    title: &'static str,
    has: &'static [Needs],
    run: fn(&Setup, Option<Load>) -> Res<()>,
) -> Contestant {
    Contestant {
        name,
        title,
        ours: false,
        has,
        run,
    }
}

const fn ours(
    name: &'static str,
    title: &'static str,
    run: fn(&Setup, Option<Load>) -> Res<()>,
) -> Contestant {
    Contestant {
        name,
        title,
        ours: true,
        has: ALL,
        run,
    }
}

/// Runs an end of a contestant that is awaited.
macro_rules! awaited {
    ($of:ident) => {
        |setup, load| {
            block_on(async {
                match load {
                    None => $of::serve(setup).await,
                    Some(load) => awaited::run($of::Client::new(setup)?, load, setup).await,
                }
            })
        }
    };
}

pub const CONTESTANTS: &[Contestant] = &[
    contestant("floor", "floor", QUIC, floor::run::<{ io::FEW }>),
    contestant(
        "floor-many",
        "floor, 45 a call",
        QUIC,
        floor::run::<{ io::MANY }>,
    ),
    ours("core", "our core", bare::run),
    ours("mio", "our mio", mio::run),
    ours("tokio", "our tokio", awaited!(tokio)),
    contestant("quinn", "quinn", QUIC, awaited!(quinn)),
    contestant(
        "web-transport-quinn",
        "web-transport-quinn",
        WEBTRANSPORT,
        awaited!(web_transport_quinn),
    ),
    contestant(
        "wtransport",
        "wtransport",
        WEBTRANSPORT,
        awaited!(wtransport),
    ),
    contestant(
        "h3-webtransport",
        "h3-webtransport, client wtransport",
        WEBTRANSPORT,
        awaited!(h3_webtransport),
    ),
    contestant("h3-quinn", "h3-quinn", HTTP, awaited!(h3_quinn)),
    #[cfg(feature = "quiche")]
    contestant("quiche", "quiche", QUICHE, quiche::run),
    #[cfg(feature = "s2n")]
    contestant("s2n", "s2n-quic", &[Needs::Streams], awaited!(s2n)),
];
