//! Our core in the loop that the floor has: no driver, each transmit sent as it is made.

use std::time::Instant;

use aqueduct_mio::protocol::endpoint::{Arrival, Ecn, Endpoint};
use quinn_udp::EcnCodepoint;

use crate::contestants::io::{FEW, Io};
use crate::contestants::ours;
use crate::setup::{Res, Setup};
use crate::works::Load;

pub fn run(setup: &Setup, load: Option<Load>) -> Res<()> {
    let server = load.is_none();
    let config = if server {
        ours::server(setup)?
    } else {
        ours::client()?
    };
    let mut io = Io::new(setup, server, FEW)?;
    let mut endpoint = Endpoint::new(config.may_fragment(false))?;
    let (mut app, mut out) = (ours::App::new(load, setup)?, Vec::new());
    loop {
        app.dial(|target| Ok(endpoint.connect(Instant::now(), &target)?));
        while let Some((key, event)) = endpoint.poll_event() {
            if let Some(mut lent) = endpoint.connection(Instant::now(), key) {
                app.on(key, &mut lent, event);
            }
        }
        app.tick(|key| endpoint.connection(Instant::now(), key));
        let now = Instant::now();
        while let Some(transmit) = endpoint.poll_transmit(now, io.gso(), &mut out) {
            io.send(&quinn_udp::Transmit {
                destination: transmit.remote,
                ecn: transmit
                    .ecn
                    .and_then(|ecn| EcnCodepoint::from_bits(bits(ecn))),
                contents: &out[..transmit.size],
                segment_size: transmit.segment_size,
                src_ip: transmit.local_ip,
            })?;
        }
        let busy = app.wanted > 0 || endpoint.has_events();
        let due = endpoint
            .poll_timeout()
            .map(|due| due.at.saturating_duration_since(now));
        io.wait(if busy {
            Some(std::time::Duration::ZERO)
        } else {
            app.limit(due)
        })?;
        let now = Instant::now();
        io.receive(|meta, datagram| {
            let mut from = Arrival::new(meta.addr).local_ip(meta.dst_ip);
            from.ecn = meta.ecn.map(|ecn| match ecn {
                EcnCodepoint::Ect0 => Ecn::Ect0,
                EcnCodepoint::Ect1 => Ecn::Ect1,
                EcnCodepoint::Ce => Ecn::Ce,
            });
            let datagram = endpoint.copy_datagram(datagram);
            endpoint.handle_datagram(now, from, datagram);
        })?;
        endpoint.handle_timeout(now);
    }
}

fn bits(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::Ect0 => 0b10,
        Ecn::Ect1 => 0b01,
        Ecn::Ce => 0b11,
    }
}
